package receive

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
	"github.com/gaugeway/gaugeway/gateway/uplink"
)

const (
	connectTimeout = 30 * time.Second
	keepAlive      = 30 * time.Second
	minReconnect   = time.Second
	maxReconnect   = 30 * time.Second
)

// Options say where a receiver gets its batches from.
type Options struct {
	Server  uplink.Options // Servers, ClientID, credentials and TLS files; ClientID names the session that the server keeps
	Filters []string       // what to subscribe to
	Rejects io.Writer      // takes what is no batch of a known format, as lines that Decode reads
}

// Receiver takes batches from a server and gives their records to an output.
type Receiver struct {
	options Options
	log     *slog.Logger

	mu     sync.Mutex // a lost client may still be at work when the next one begins
	output Output
}

// New returns a receiver; Run starts it.
func New(o Options, output Output, log *slog.Logger) *Receiver {
	return &Receiver{options: o, output: output, log: log}
}

// Run receives until ctx ends or the output fails. A message is acknowledged to
// the server only after the output has it, and the server keeps the session, so
// that nothing is missed while the receiver is away.
func (r *Receiver) Run(ctx context.Context) error {
	dialer := uplink.NewDialer(r.options.Server)
	pause := minReconnect
	for {
		for _, server := range r.options.Server.Servers {
			began := time.Now()
			err := r.session(ctx, dialer, server)
			if ctx.Err() != nil || errors.As(err, new(outputError)) {
				return err
			}
			r.log.Warn("receiver is not connected", "server", server, "error", err)
			if time.Since(began) > maxReconnect {
				pause = minReconnect
			}
		}
		if !gateway.Sleep(ctx, gateway.Jitter(pause)) {
			return ctx.Err()
		}
		pause = min(2*pause, maxReconnect)
	}
}

// session is one connection; it returns why it ended.
func (r *Receiver) session(ctx context.Context, dialer *uplink.Dialer, server string) error {
	lost := make(chan error, 1)
	failed := make(chan error, 1)
	options, err := dialer.ClientOptions(server, nil)
	if err != nil {
		return err
	}
	broken := false // of the handler alone
	options.SetCleanSession(false).
		SetKeepAlive(keepAlive).
		SetOrderMatters(true). // one message at a time, in order
		SetAutoAckDisabled(true).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			if broken {
				return // nothing may be written after what could not be
			}
			if err := r.take(m); err != nil {
				broken = true
				failed <- outputError{err}
			}
		})
	client := mqtt.NewClient(options)
	defer client.Disconnect(100)
	if err := wait(ctx, client.Connect()); err != nil {
		return err
	}
	filters := make(map[string]byte)
	for _, f := range r.options.Filters {
		filters[f] = 1
	}
	if err := subscribe(ctx, client, filters); err != nil {
		return err
	}
	r.log.Info("receiver is connected", "server", server)
	select {
	case err := <-lost:
		return err
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refused is the return code of a subscription that the server does not grant ([MQTT-3.9.3-2]).
const refused = 0x80

func subscribe(ctx context.Context, client mqtt.Client, filters map[string]byte) error {
	token := client.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if granted, ok := token.(*mqtt.SubscribeToken); ok {
		for filter, code := range granted.Result() {
			if code == refused {
				return fmt.Errorf("the server refuses the subscription to %s; may this user read there?", filter)
			}
		}
	}
	return nil
}

// take writes the records of one message and acknowledges it. What is no batch
// of a known format is set aside: it may be of a gateway that is newer.
func (r *Receiver) take(m mqtt.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	records, err := codec.Decode(m.Payload())
	if err == nil {
		err = r.output.Write(records)
	} else {
		r.log.Warn("message set aside", "topic", m.Topic(), "error", err)
		_, err = fmt.Fprintf(r.options.Rejects, "%s\t%s\n", m.Topic(), base64.StdEncoding.EncodeToString(m.Payload()))
	}
	if err != nil {
		return err
	}
	m.Ack()
	return nil
}

func wait(ctx context.Context, token mqtt.Token) error {
	timer := time.NewTimer(connectTimeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timer.C:
		return fmt.Errorf("no answer in %v", connectTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outputError is a failure of the output, which no new connection mends.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }
