package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

const (
	minReconnect = time.Second
	maxReconnect = 2 * time.Minute
	// stableAfter is how long a connection must hold before the wait begins
	// small again; servers that take and drop connections are not hammered.
	stableAfter = 30 * time.Second
)

// Uplink is one remote destination: one connection at a time, to the first of
// its servers that answers.
//
//	down ──CONNECT, birth──► up ──lost, no PUBACK, ctx──► down
type Uplink struct {
	// Deliver is handed what the server sends on the topics of Options.Subscribe;
	// it must not block. Set before Run.
	Deliver func(topic string, payload []byte, retained bool)

	name    string
	options Options
	version string
	topics  topics
	dialer  *Dialer
	log     *slog.Logger

	mu      sync.Mutex
	session *session      // nil while down
	up      chan struct{} // closed while session is there
	status  Status

	sending sync.Mutex // one batch at a time: the encoder has one buffer
	encoder codec.JSON
}

type topics struct{ root, state, data string }

// Status says how an uplink is.
type Status struct {
	Connected bool      `json:"connected"`
	Server    string    `json:"server,omitempty"` // the one connected to
	Since     time.Time `json:"since"`            // of the last change
	Error     string    `json:"error,omitempty"`  // why it is down
	Batches   uint64    `json:"batches"`          // acknowledged since the start
	Readings  uint64    `json:"readings"`
	BytesUp   uint64    `json:"bytes_up"` // above TCP, since the start
	BytesDown uint64    `json:"bytes_down"`
	LastAck   time.Time `json:"last_ack,omitzero"`
}

var _ gateway.Uplink = (*Uplink)(nil)

// New returns the uplink of this name; Run connects it. The options are valid.
func New(name, site, version string, o Options, log *slog.Logger) *Uplink {
	root := o.Prefix + "/" + site
	return &Uplink{
		name: name, options: o, version: version, dialer: NewDialer(o), log: log.With("uplink", name),
		topics:  topics{root: root, state: root + "/state", data: root + "/data"},
		encoder: codec.JSON{Site: site},
		up:      make(chan struct{}),
		status:  Status{Since: time.Now(), Error: "not connected yet"},
	}
}

// String returns the uplink's name.
func (u *Uplink) String() string { return u.name }

// Status returns how the uplink is. It is safe for concurrent use.
func (u *Uplink) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	s.BytesUp, s.BytesDown = u.dialer.Meter.Bytes()
	return s
}

// Run keeps a connection until ctx ends, then says goodbye.
func (u *Uplink) Run(ctx context.Context) error {
	pause := minReconnect
	for {
		for _, server := range u.options.Servers {
			began := time.Now()
			err := u.connect(ctx, server)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			u.down(server, err)
			if time.Since(began) > stableAfter {
				pause = minReconnect
				break // it was up: begin again with the first server
			}
		}
		if !gateway.Sleep(ctx, gateway.Jitter(pause)) {
			return ctx.Err()
		}
		pause = min(2*pause, maxReconnect)
	}
}

// connect is the life of one connection; it returns why it ended.
func (u *Uplink) connect(ctx context.Context, server string) error {
	s := &session{lost: make(chan error, 1), gone: make(chan struct{})}
	options, err := u.dialer.ClientOptions(server, s.opened)
	if err != nil {
		return err
	}
	options.SetCleanSession(true).
		SetKeepAlive(u.options.Liveness*2/3). // a server waits one and a half keepalives
		SetPingTimeout(pingTimeout).
		SetWriteTimeout(ackTimeout).
		SetOrderMatters(false).
		SetBinaryWill(u.topics.state, u.state("offline", "lost"), 1, true).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lose(err) })
	s.client = mqtt.NewClient(options)
	defer s.close()
	if err := s.wait(ctx, s.client.Connect(), dialTimeout+pingTimeout); err != nil {
		return err
	}
	if err := s.publish(ctx, u.topics.state, true, u.state("online", "")); err != nil {
		return fmt.Errorf("publish the state: %w", err)
	}
	if err := u.subscribe(ctx, s); err != nil {
		return err
	}
	u.connected(s, server)
	defer u.disconnected()
	select {
	case err := <-s.lost:
		return fmt.Errorf("connection lost: %w", err)
	case <-ctx.Done():
		s.goodbye(u.topics.state, u.state("offline", "stopped"))
		return ctx.Err()
	}
}

// subscribe asks for what is to come down. What the gateway itself sends there
// is none of it: it would go round for ever.
func (u *Uplink) subscribe(ctx context.Context, s *session) error {
	if len(u.options.Subscribe) == 0 || u.Deliver == nil {
		return nil
	}
	filters := make(map[string]byte, len(u.options.Subscribe))
	for _, filter := range u.options.Subscribe {
		filters[filter] = 1
	}
	token := s.client.SubscribeMultiple(filters, func(_ mqtt.Client, m mqtt.Message) {
		if !strings.HasPrefix(m.Topic(), u.topics.root+"/") {
			u.Deliver(m.Topic(), m.Payload(), m.Retained())
		}
	})
	if err := s.wait(ctx, token, ackTimeout); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for filter, code := range token.(*mqtt.SubscribeToken).Result() {
		if code > 2 { // others may be granted, and readings go up all the same
			u.log.Warn("the server refuses a subscription", "filter", filter)
		}
	}
	return nil
}

// connected lets Send go on.
func (u *Uplink) connected(s *session, server string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log.Info("uplink is up", "server", server, "after", time.Since(u.status.Since).Round(time.Second))
	u.session = s
	close(u.up)
	u.status.Connected, u.status.Server, u.status.Error, u.status.Since = true, server, "", time.Now()
}

func (u *Uplink) disconnected() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.session = nil
	u.up = make(chan struct{})
	u.status.Connected, u.status.Server, u.status.Since = false, "", time.Now()
}

// down notes why; the log has it once until the reason changes.
func (u *Uplink) down(server string, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if reason := server + ": " + err.Error(); reason != u.status.Error {
		u.log.Warn("uplink is down", "server", server, "error", err)
		u.status.Error = reason
	}
}

// Send publishes one batch at QoS 1 and returns nil once the server has
// acknowledged it. While the link is down it blocks, until ctx ends. After an
// error the server may or may not have the batch.
func (u *Uplink) Send(ctx context.Context, b gateway.Batch) error {
	u.sending.Lock()
	defer u.sending.Unlock()
	s, err := u.current(ctx)
	if err != nil {
		return err
	}
	payload := bytes.Clone(u.encoder.Encode(b)) // the client may hold it longer than this call
	if err := s.publish(ctx, u.topics.data, false, payload); err != nil {
		return fmt.Errorf("publish a batch: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Batches++
	u.status.Readings += uint64(len(b.Readings))
	u.status.LastAck = time.Now()
	return nil
}

// current waits for a connection.
func (u *Uplink) current(ctx context.Context) (*session, error) {
	for {
		u.mu.Lock()
		s, up := u.session, u.up
		u.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// state is the payload of the state topic, the last will included.
func (u *Uplink) state(state, reason string) []byte {
	text, err := json.Marshal(struct {
		State   string `json:"state"`
		Reason  string `json:"reason,omitempty"`
		Version string `json:"version,omitempty"`
	}{state, reason, u.version})
	if err != nil {
		panic(err) // three strings
	}
	return text
}
