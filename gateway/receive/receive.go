package receive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
}

// Receiver takes batches from a server and gives their records to an output.
type Receiver struct {
	options Options
	output  Output
	log     *slog.Logger
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
	if err := wait(ctx, client.SubscribeMultiple(filters, nil)); err != nil {
		return fmt.Errorf("subscribe: %w", err)
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

// take writes the records of one message and acknowledges it. What is no batch
// is logged and acknowledged: it would come for ever.
func (r *Receiver) take(m mqtt.Message) error {
	records, err := codec.Decode(m.Payload())
	if err != nil {
		r.log.Warn("message left out", "topic", m.Topic(), "error", err)
	} else if err := r.output.Write(records); err != nil {
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
