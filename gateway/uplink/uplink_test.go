package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

// server plays remote MQTT servers; one goroutine per connection reads all.
type server struct {
	mu       sync.Mutex
	events   []string
	refuse   map[string]bool // hosts that do not answer
	silent   int             // how many PUBLISHes to data get no PUBACK
	hangUp   int             // how many PUBLISHes to data end the connection
	batches  [][]byte
	keepSecs uint16
}

func (s *server) dial(u *url.URL, _ *tls.Config, _ *Meter) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse[u.Host] {
		s.events = append(s.events, "refused "+u.Host)
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	go s.serve(u.Host, far)
	return near, nil
}

func (s *server) serve(host string, conn net.Conn) {
	defer conn.Close()
	clean := false
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			if !clean {
				s.note("will of " + host)
			}
			return
		}
		switch p := p.(type) {
		case *packets.ConnectPacket:
			s.note(fmt.Sprintf("connect %s v%d clean=%v will=%s %s", host, p.ProtocolVersion, p.CleanSession, p.WillTopic, p.WillMessage))
			s.keepSecs = p.Keepalive
			ack := packets.NewControlPacket(packets.Connack)
			ack.Write(conn)
		case *packets.PublishPacket:
			if !s.publish(p) {
				return
			}
			if s.swallow() && strings.HasSuffix(p.TopicName, "/data") {
				continue
			}
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = p.MessageID
			ack.Write(conn)
		case *packets.DisconnectPacket:
			clean = true
			s.note("disconnect " + host)
		case *packets.PingreqPacket:
			packets.NewControlPacket(packets.Pingresp).Write(conn)
		}
	}
}

func (s *server) publish(p *packets.PublishPacket) (goOn bool) {
	if strings.HasSuffix(p.TopicName, "/state") {
		s.note(fmt.Sprintf("state %s retain=%v", p.Payload, p.Retain))
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangUp > 0 {
		s.hangUp--
		return false
	}
	s.batches = append(s.batches, p.Payload)
	return true
}

func (s *server) swallow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent > 0 {
		s.silent--
		return true
	}
	return false
}

func (s *server) note(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.events, "\n")
}

// play runs an uplink against s until the test function returns.
func play(t *testing.T, s *server, servers []string, test func(ctx context.Context, u *Uplink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var o Options
		o.SetDefaults()
		o.ClientID, o.Servers = "gaugeway-s", servers
		u := New("scada", "s", "v1", o, slog.New(slog.DiscardHandler))
		u.dialer.open = s.dial
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- u.Run(ctx) }()
		test(ctx, u)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		time.Sleep(time.Hour) // what the client left running ends by itself
		synctest.Wait()
	})
}

func oneReading(n int64) gateway.Batch {
	return gateway.Batch{Epoch: 1, Class: gateway.Normal, First: 1, Readings: []gateway.Reading{{Tag: &gateway.Tag{Device: "d", Name: "t"}, Value: gateway.Int(n)}}}
}

func TestBirthWillAndGoodbye(t *testing.T) {
	s := &server{}
	play(t, s, []string{"mqtt://a:1"}, func(ctx context.Context, u *Uplink) {
		if err := u.Send(ctx, oneReading(7)); err != nil {
			t.Error(err)
		}
		if st := u.Status(); !st.Connected || st.Batches != 1 || st.Readings != 1 || st.LastAck.IsZero() {
			t.Errorf("status %+v", st)
		}
	})
	want := `connect a:1 v4 clean=true will=gaugeway/s/state {"state":"offline","reason":"lost","version":"v1"}
state {"state":"online","version":"v1"} retain=true
state {"state":"offline","reason":"stopped","version":"v1"} retain=true
disconnect a:1`
	if got := s.log(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s.keepSecs != 800 { // liveness 20 min: the will comes after 1.5 × 800 s
		t.Errorf("keepalive %d s", s.keepSecs)
	}
	rs, err := codec.Decode(s.batches[0])
	if err != nil || len(rs) != 1 || string(rs[0].Value) != "7" {
		t.Errorf("batch %s, %v", s.batches[0], err)
	}
}

func TestServersInOrder(t *testing.T) {
	s := &server{refuse: map[string]bool{"a:1": true}}
	play(t, s, []string{"mqtt://a:1", "mqtt://b:1"}, func(ctx context.Context, u *Uplink) {
		if err := u.Send(ctx, oneReading(1)); err != nil {
			t.Error(err)
		}
		if st := u.Status(); st.Server != "mqtt://b:1" {
			t.Errorf("status %+v", st)
		}
	})
	if !strings.HasPrefix(s.log(), "refused a:1\nconnect b:1") {
		t.Errorf("got\n%s", s.log())
	}
}

func TestConnectionLostBeforePubackIsAnError(t *testing.T) {
	s := &server{hangUp: 1}
	play(t, s, []string{"mqtt://a:1"}, func(ctx context.Context, u *Uplink) {
		if err := u.Send(ctx, oneReading(1)); err == nil {
			t.Error("a batch without PUBACK counts as delivered")
		}
		synctest.Wait()
		if err := u.Send(ctx, oneReading(1)); err != nil { // after the reconnection
			t.Error(err)
		}
	})
	if len(s.batches) != 1 || strings.Count(s.log(), "connect a:1 v4") != 2 {
		t.Errorf("%d batches, log\n%s", len(s.batches), s.log())
	}
}

// TestServerThatAcknowledgesNothing is the half-dead session that takes data for
// ever: it must be left, without a DISCONNECT, so that its will is published.
func TestServerThatAcknowledgesNothing(t *testing.T) {
	s := &server{}
	play(t, s, []string{"mqtt://a:1"}, func(ctx context.Context, u *Uplink) {
		if err := u.Send(ctx, oneReading(0)); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.silent = 1
		s.mu.Unlock()
		began := time.Now()
		if err := u.Send(ctx, oneReading(1)); err == nil || time.Since(began) < ackTimeout {
			t.Errorf("Send returned %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		if err := u.Send(ctx, oneReading(1)); err != nil {
			t.Error(err)
		}
	})
	if got := s.log(); !strings.Contains(got, "will of a:1\nconnect a:1") {
		t.Errorf("got\n%s", got)
	}
}

func TestSendWaitsForTheLink(t *testing.T) {
	s := &server{refuse: map[string]bool{"a:1": true}}
	play(t, s, []string{"mqtt://a:1"}, func(ctx context.Context, u *Uplink) {
		sent := make(chan error)
		go func() { sent <- u.Send(ctx, oneReading(1)) }()
		time.Sleep(time.Hour)
		select {
		case err := <-sent:
			t.Errorf("Send returned %v while the link was down", err)
		default:
		}
		if st := u.Status(); st.Connected || !strings.Contains(st.Error, "refused") {
			t.Errorf("status %+v", st)
		}
		s.mu.Lock()
		s.refuse = nil
		s.mu.Unlock()
		if err := <-sent; err != nil {
			t.Error(err)
		}
	})
	// An hour of attempts, waiting up to two minutes with jitter: no hammering.
	if n := strings.Count(s.log(), "refused"); n < 20 || n > 120 {
		t.Errorf("%d attempts in an hour", n)
	}
}

func TestValidate(t *testing.T) {
	var good Options
	good.SetDefaults()
	good.ClientID, good.Servers = "c", []string{"mqtts://scada.example.com:8883"}
	if f := good.Validate(); len(f) > 0 {
		t.Errorf("faults %v", f)
	}
	for key, spoil := range map[string]func(*Options){
		"servers":        func(o *Options) { o.Servers = []string{"scada.example.com:8883"} },
		"client_id":      func(o *Options) { o.ClientID = "" },
		"password_file":  func(o *Options) { o.PasswordFile = "x" },
		"tls_cert":       func(o *Options) { o.TLSCert = "x" },
		"tls_ca":         func(o *Options) { o.Servers, o.TLSCA = []string{"mqtt://h:1"}, "x" },
		"format":         func(o *Options) { o.Format = "compact" },
		"json_layout":    func(o *Options) { o.JSONLayout = "telegraf" },
		"prefix":         func(o *Options) { o.Prefix = "a/#" },
		"batch_interval": func(o *Options) { o.Interval = 0 },
		"liveness":       func(o *Options) { o.Liveness = time.Second },
		"forward":        func(o *Options) { o.Forward = []string{"a#"} },
	} {
		o := good
		spoil(&o)
		if f := o.Validate(); len(f) != 1 || f[0].Key != key {
			t.Errorf("%s: faults %v", key, f)
		}
	}
	secret := good
	secret.Servers = []string{"mqtt://user:geheim@h:1"}
	if f := secret.Validate(); len(f) != 1 || strings.Contains(f[0].Text, "geheim") {
		t.Errorf("faults %v", f)
	}
}
