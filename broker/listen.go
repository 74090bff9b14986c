package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// door is one listener.
type door struct {
	name      string
	address   string
	anonymous bool
	options   Listener
	log       *slog.Logger

	mu       sync.Mutex
	listener net.Listener // nil while it is not open
}

// doors are the listeners. Run closes them.
type doors struct {
	all []*door
}

func (ds *doors) init(listeners map[string]Listener, log *slog.Logger) {
	for name, l := range listeners {
		if name == defaultListener && l.Address == "" {
			l.Address = defaultAddress
		}
		ds.all = append(ds.all, &door{name: name, address: l.Address, anonymous: l.anonymous(), options: l, log: log.With(logListener, name)})
	}
	slices.SortFunc(ds.all, func(a, b *door) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
}

func (ds *doors) find(name string) *door {
	for _, d := range ds.all {
		if d.name == name {
			return d
		}
	}
	return nil
}

func (ds *doors) addr(name string) net.Addr {
	d := ds.find(name)
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return nil
	}
	return d.listener.Addr()
}

func (ds *doors) close() {
	for _, d := range ds.all {
		d.shut()
	}
}

// Listen opens all listeners. What it returns names every one that could not be
// opened; the others are open, and Run tries the failed ones again.
func (b *Broker) Listen() error {
	var all []error
	for _, d := range b.doors.all {
		if _, err := d.open(); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// open returns the open listener, opening it where it is not.
func (d *door) open() (net.Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		return d.listener, nil
	}
	config, err := d.options.tlsConfig(d.log)
	if err != nil {
		return nil, fmt.Errorf("broker listener %s: %w", d.name, err)
	}
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		return nil, fmt.Errorf("broker listener %s: %w", d.name, err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	d.listener = l
	return l, nil
}

func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		d.listener.Close()
		d.listener = nil
	}
}

// serveDoor accepts connections until ctx ends, opening the listener again
// after it failed.
func (b *Broker) serveDoor(ctx context.Context, d *door) {
	log := b.log.With(logListener, d.name)
	failed := false
	for ctx.Err() == nil {
		l, err := d.open()
		if err != nil {
			if !failed {
				log.Error("listener cannot be opened, trying again", logWhy, err)
			}
			failed = true
			pause(ctx, reopenInterval)
			continue
		}
		if failed {
			log.Info("listener is open", "address", l.Addr())
			failed = false
		}
		accept := b.accept
		if d.options.WebSocket {
			accept = b.serveWebSocket
		}
		if err := accept(ctx, l, d.name); ctx.Err() == nil {
			log.Error("listener failed, opening it again", logWhy, err)
			d.shut()
			pause(ctx, time.Second)
		}
	}
}

// accept serves what connects until the listener fails. Running out of file
// descriptors is not a failure of the listener, and passes.
func (b *Broker) accept(ctx context.Context, l net.Listener, listener string) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() && ctx.Err() == nil {
				b.quiet.warn(b.log, "connection cannot be accepted", logListener, listener, logWhy, err)
				pause(ctx, 100*time.Millisecond)
				continue
			}
			return err
		}
		b.work.Go(func() { b.Serve(nc, listener) })
	}
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
