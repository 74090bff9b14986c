// Package demo plays the whole way of a reading on one machine: simulated
// instruments on real pseudo-terminals, the gateway as its own process, a link
// that fails, a remote server, and somebody who counts.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/gaugeway/gaugeway/broker"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/receive"
	"github.com/gaugeway/gaugeway/gateway/uplink"
)

// Options say how the demonstration is played.
type Options struct {
	For      time.Duration // how long the story is
	Speed    float64       // how many times faster than that it is played
	Keep     bool          // keep the files and the server until ctx ends
	Runner   string        // put before the command of the gateway, where a processor is emulated
	Out      io.Writer
	Terminal bool // Out is a terminal: draw a picture
}

// stage holds what is on it.
type stage struct {
	options     Options
	pace        pace
	dir         string
	began       time.Time
	length      time.Duration
	server      *broker.Broker
	link        *link
	instruments *plant
	child       *child
	account     *account
	siteAddress string

	mu    sync.Mutex
	scene string
	kills []time.Time
	fault error // of what should not fail
}

// Run plays the demonstration and reports whether every promise was kept.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "gaugeway-demo-")
	if err != nil {
		return err
	}
	if !o.Keep {
		defer os.RemoveAll(dir)
	}
	s := &stage{options: o, pace: newPace(o.Speed), dir: dir, length: time.Duration(float64(o.For) / o.Speed)}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	if err := s.build(ctx, &work); err != nil {
		return err
	}
	defer s.child.stop()
	s.play(ctx)
	if ctx.Err() != nil {
		return errors.New("ended before the account could be drawn")
	}
	r := s.settle(ctx)
	s.tell(r)
	if o.Keep {
		fmt.Fprintf(o.Out, "\nThe gateway and the server go on until Ctrl-C; the files are in %s\n  %s\n", dir, s.invitation())
		<-ctx.Done()
	}
	if s.failed() != nil {
		return s.failed()
	}
	if !r.well() {
		return errors.New("the account above does not add up")
	}
	return nil
}

// build starts everything that the story needs.
func (s *stage) build(ctx context.Context, work *sync.WaitGroup) error {
	quiet := slog.New(slog.DiscardHandler)
	anonymous := true
	s.server = broker.New("", broker.Options{Listeners: map[string]broker.Listener{
		"remote": {Address: "127.0.0.1:0", AllowAnonymous: &anonymous},
	}}, nil, quiet)
	if err := s.server.Listen(); err != nil {
		return fmt.Errorf("start the remote server: %w", err)
	}
	remote := s.server.Addr("remote").String()
	work.Go(func() { s.fail(ctx, s.server.Run(ctx)) })
	var err error
	if s.link, err = newLink(remote); err != nil {
		return fmt.Errorf("start the link: %w", err)
	}
	work.Go(func() { s.link.run(ctx) })

	truth := newTruth(s.pace.freshness())
	if s.instruments, err = newPlant(truth); err != nil {
		return fmt.Errorf("start the instruments: %w", err)
	}
	work.Go(func() { s.fail(ctx, s.instruments.run(ctx)) })
	s.account = newAccount(truth)
	work.Go(func() {
		o := uplink.Options{Servers: []string{"mqtt://" + remote}, ClientID: "demo-receiver"}
		s.fail(ctx, receive.New(receive.Options{Server: o, Filters: []string{"gaugeway/+/data"}, Rejects: io.Discard}, s.account, quiet).Run(ctx))
	})

	if s.siteAddress, err = freeAddress(); err != nil {
		return err
	}
	config, err := writeConfig(s.dir, s.instruments.ports(), s.siteAddress, s.link.address(), s.pace)
	if err != nil {
		return err
	}
	if s.child, err = newChild(s.options.Runner, config, filepath.Join(s.dir, "gateway.log")); err != nil {
		return err
	}
	work.Go(func() { s.watchSite(ctx) })
	return s.child.start()
}

// freeAddress finds a port for the on-box broker, which must keep it over its restart.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

const siteRetry = 50 * time.Millisecond

// watchSite listens on the on-box broker as an operator panel would, over its restarts.
func (s *stage) watchSite(ctx context.Context) {
	for gateway.Sleep(ctx, siteRetry) {
		lost := make(chan struct{})
		o := mqtt.NewClientOptions().AddBroker("tcp://" + s.siteAddress).SetClientID("demo-panel").
			SetProtocolVersion(4).SetAutoReconnect(false).
			SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.account.onSite(m.Topic(), m.Payload()) }).
			SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
		client := mqtt.NewClient(o)
		if token := client.Connect(); token.Wait() && token.Error() != nil {
			continue
		}
		client.Subscribe(site+"/+/+", 0, nil)
		select {
		case <-lost:
		case <-ctx.Done():
		}
		client.Disconnect(0)
	}
}

// fail notes that something ended which should go on.
func (s *stage) fail(ctx context.Context, err error) {
	if ctx.Err() != nil || err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = err
	}
}

func (s *stage) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// play plays the script.
func (s *stage) play(ctx context.Context) {
	s.began = time.Now()
	screen := newScreen(s)
	next := 0
	tick := time.NewTicker(screenInterval)
	defer tick.Stop()
	for {
		elapsed := time.Since(s.began)
		for next < len(script) && elapsed >= time.Duration(script[next].at*float64(s.length)) {
			s.enter(script[next])
			screen.announce(script[next].name)
			script[next].play(s)
			next++
		}
		screen.draw()
		if elapsed >= s.length {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *stage) enter(sc scene) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene = sc.name
}

// kill ends the gateway with SIGKILL and starts it again.
func (s *stage) kill() {
	s.mu.Lock()
	s.kills = append(s.kills, time.Now())
	s.mu.Unlock()
	s.child.kill()
	if err := s.child.start(); err != nil {
		s.mu.Lock()
		s.fault = err
		s.mu.Unlock()
	}
}

const (
	settleTimeout = 30 * time.Second
	// flushTime is what a commit may itself take on a busy machine. A committed
	// reading that is lost shows in any case, as a seq that never arrives.
	flushTime  = 2 * time.Second
	settlePoll = 100 * time.Millisecond
)

// settle waits until what was read up to now has arrived, and counts.
func (s *stage) settle(ctx context.Context) result {
	s.account.freeze(time.Now())
	window := commitInterval + flushTime
	deadline := time.Now().Add(settleTimeout)
	for {
		r := s.account.result(s.kills, window, s.link.bytes())
		if r.lost == 0 && r.missing == 0 || time.Now().After(deadline) || !gateway.Sleep(ctx, settlePoll) {
			return r
		}
	}
}

// invitation is a line that a person can paste into another terminal.
func (s *stage) invitation() string {
	host, port, _ := net.SplitHostPort(s.siteAddress)
	return fmt.Sprintf("mosquitto_sub -h %s -p %s -v -t '%s/#'", host, port, site)
}
