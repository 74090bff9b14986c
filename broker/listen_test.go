package broker

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A port that is taken is named, the others are served, and it is opened when
// it is free.
func TestListenerIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b := New("", Options{Listeners: map[string]Listener{
		"first": {Address: taken.Addr().String()}, "second": {Address: "127.0.0.1:0"},
	}}, nil, quietLog())
	err = b.Listen()
	if err == nil || !strings.Contains(err.Error(), "listener first") || strings.Contains(err.Error(), "second") {
		t.Fatalf("Listen: %v", err)
	}
	if b.Addr("first") != nil || b.Addr("nobody") != nil {
		t.Error("a listener that is not open has an address")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	dialLoad(t, b.Addr("second").String(), "a")
	taken.Close()
	if _, err := b.doors.find("first").open(); err != nil { // as Run does when its time has come
		t.Fatal(err)
	}
	l := dialLoad(t, b.Addr("second").String(), "b")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, _, err := l.packet(); err == nil {
		t.Error("the connection outlives Run")
	}
	if b.Addr("second") != nil {
		t.Error("the listener outlives Run")
	}
	client, server := net.Pipe()
	defer client.Close()
	b.Serve(server, "second") // returns at once
}

func TestListenWaitsBetweenTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New("", Options{Listeners: map[string]Listener{"x": {Address: "nonsense"}}}, nil, quietLog())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		<-ended
	})
}

// Two thousand connections that say nothing: they are shut, and nothing is left.
func TestConnectionsWithoutConnect(t *testing.T) {
	noLeak(t, func() {
		bubble(t, func(t *testing.T, b *Broker) {
			p := enter(t, b, "a")
			for range 2000 {
				joinSilent(t, b)
			}
			synctest.Wait()
			b.mu.Lock()
			n := len(b.conns)
			b.mu.Unlock()
			if n != b.limits.unidentified+1 {
				t.Errorf("%d connections", n)
			}
			p.lives()
			time.Sleep(b.limits.connectTimeout)
			synctest.Wait()
			b.mu.Lock()
			n = len(b.conns)
			b.mu.Unlock()
			if n != 1 {
				t.Errorf("%d connections after the timeout", n)
			}
		})
	})
}

func TestSys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New("pad-7", Options{Listeners: map[string]Listener{}}, nil, quietLog())
		b.Version = "1.2.3"
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		client, server := net.Pipe()
		go func() {
			b.doors.all = []*door{{name: "pipe", anonymous: true}}
			b.Serve(server, "pipe")
		}()
		p := &peer{t: t, nc: client}
		go p.collect()
		p.send(connectPacket("a", true))
		p.expect(accepted)
		p.send(subscribePacket(1, "$SYS/broker/+", 1))
		p.expect(hx("90 03 00 01 01"), pub(1, 0, "$SYS/broker/uptime", "0 seconds"), pub(1, 0, "$SYS/broker/version", "gaugeway 1.2.3"))
		time.Sleep(sysInterval)
		p.expect(pub(0, 0, "$SYS/broker/uptime", "10 seconds")) // only what changed
		p.send(subscribePacket(1, "$SYS/broker/clients/connected", 1))
		p.expect(hx("90 03 00 01 01"), pub(1, 0, "$SYS/broker/clients/connected", "1"))
		cancel()
		<-ended
		p.ends()
	})
}

func TestOptionsFaults(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	good := Options{
		Topic: "plant/{site}/{device}/{tag}", Payload: "value", TagQoS: 1,
		Listeners: map[string]Listener{"local": {}, "plant": {Address: ":1884"}, "any": {Address: "[::]:0", AllowAnonymous: &yes}, "six": {Address: "[::1]:1883"}},
		Users:     map[string]User{"hmi": {PasswordHash: string(hash), Publish: []string{"hmi/#"}, Subscribe: []string{"#", "$SYS/#"}}},
	}
	for _, o := range []Options{{}, Defaults(), good} {
		if f := o.Validate(); len(f) != 0 {
			t.Errorf("%+v: %v", o, f)
		}
	}
	bad := Options{
		Topic: "{site}/{device}", Payload: "xml", TagQoS: 2,
		Listeners: map[string]Listener{
			"a": {Address: "127.0.0.1:1883"}, "b": {Address: "127.0.0.1:1883"}, "c": {Address: "1883"}, "d": {}, "e": {Address: "127.0.0.1:http"}, "f g": {Address: "127.0.0.1:1"},
		},
		Users: map[string]User{"hmi": {Publish: []string{"a/#/b"}}, "eve": {PasswordHash: "secret", Subscribe: []string{"a+"}}},
	}
	want := []string{
		"topic", "payload", "tag_qos", "listener.b.address", "listener.c.address", "listener.d.address", "listener.e.address", "listener.f g",
		"user.eve.password_hash", "user.eve.subscribe", "user.hmi.password_hash", "user.hmi.publish",
	}
	var got []string
	for _, f := range bad.Validate() {
		got = append(got, f.Key)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("faults: %q", bad.Validate())
	}
	for _, topic := range []string{"{site}/{device}/{tga}/{tag}", "$x/{device}/{tag}", "{device}/{tag}/#", "{device}/{tag}" + strings.Repeat("/", 128)} {
		if f := (Options{Topic: topic}).Validate(); len(f) != 1 || f[0].Key != "topic" {
			t.Errorf("topic %q: %v", topic, f)
		}
	}
	open := Options{Listeners: map[string]Listener{"plant": {Address: "0.0.0.0:1883"}}}
	if f := open.Validate(); len(f) != 1 || f[0].Key != "listener.plant" {
		t.Errorf("a listener where nobody could log in: %v", f)
	}
}
