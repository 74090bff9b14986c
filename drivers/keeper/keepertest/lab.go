package keepertest

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Sheet collects readings by tag.
type Sheet struct {
	mu       sync.Mutex
	readings map[string][]gateway.Reading
	Calls    int // of Append
}

// Append implements gateway.Sink.
func (s *Sheet) Append(rs []gateway.Reading, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readings == nil {
		s.readings = make(map[string][]gateway.Reading)
	}
	s.Calls++
	for _, r := range rs {
		s.readings[r.Tag.String()] = append(s.readings[r.Tag.String()], r)
	}
	if done != nil {
		done(nil)
	}
}

// Of returns the readings of a tag.
func (s *Sheet) Of(tag string) []gateway.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gateway.Reading(nil), s.readings[tag]...)
}

// Stamps returns a clock for readings that runs with the test's.
func Stamps() func() gateway.Stamp {
	boot, start := gateway.NewBoot("test"), time.Now()
	return func() gateway.Stamp { return gateway.Stamp{Boot: boot, At: time.Since(start).Milliseconds()} }
}

// Lab is a driver with instruments on wires in memory, in a synctest bubble.
type Lab[D gateway.Driver] struct {
	Driver D
	Sheet  *Sheet
	Cancel context.CancelFunc // stops the driver without waiting for its end

	t    *testing.T
	done chan error
}

// Start runs a driver on the lines that open returns, until the test ends.
func Start[D gateway.Driver](t *testing.T, d D, open func(context.Context) (gateway.Line, error)) *Lab[D] {
	ctx, cancel := context.WithCancel(t.Context())
	l := &Lab[D]{Driver: d, Sheet: &Sheet{}, t: t, Cancel: cancel, done: make(chan error, 1)}
	go func() { l.done <- d.Run(ctx, open, l.Sheet) }()
	t.Cleanup(l.Stop)
	return l
}

// Serve returns an open that makes a new wire each time, and has serve play its
// far end. Call it before Start: it waits for them after the driver has stopped.
func Serve(t *testing.T, char time.Duration, serve func(ctx context.Context, far io.ReadWriter) error) func(context.Context) (gateway.Line, error) {
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	return func(ctx context.Context) (gateway.Line, error) {
		line, far := NewWire(char)
		serving.Go(func() { _ = serve(ctx, far) })
		return line, nil
	}
}

// Stop stops the driver. It may be called again.
func (l *Lab[D]) Stop() {
	l.Cancel()
	if err := <-l.done; !errors.Is(err, context.Canceled) {
		l.t.Errorf("Run ended with %v, want context.Canceled", err)
	}
	l.done <- context.Canceled // Stop may be called again
}
