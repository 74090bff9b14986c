package text_test

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

// wireEnd is one end of a wire in memory that keeps what is not read yet, as a
// kernel does. It is a gateway.Line.
type wireEnd struct {
	in, out  *direction
	char     time.Duration
	deadline time.Time
	timer    *time.Timer
}

type direction struct {
	mu     sync.Mutex
	buf    []byte
	closed bool
	ready  chan struct{}
}

func newWire(char time.Duration) (line, far *wireEnd) {
	a := &direction{ready: make(chan struct{}, 1)}
	b := &direction{ready: make(chan struct{}, 1)}
	return &wireEnd{in: a, out: b, char: char}, &wireEnd{in: b, out: a}
}

func (d *direction) wake() {
	select {
	case d.ready <- struct{}{}:
	default:
	}
}

func (w *wireEnd) Read(p []byte) (int, error) {
	for {
		w.in.mu.Lock()
		n := copy(p, w.in.buf)
		w.in.buf = w.in.buf[:copy(w.in.buf, w.in.buf[n:])]
		closed := w.in.closed
		w.in.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		if closed {
			return 0, io.EOF
		}
		if w.deadline.IsZero() {
			<-w.in.ready
			continue
		}
		wait := time.Until(w.deadline)
		if wait <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		if w.timer == nil {
			w.timer = time.NewTimer(wait)
		} else {
			w.timer.Reset(wait)
		}
		select {
		case <-w.in.ready:
			w.timer.Stop()
		case <-w.timer.C:
		}
	}
}

func (w *wireEnd) Write(p []byte) (int, error) {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	if w.out.closed {
		return 0, errors.New("closed")
	}
	w.out.buf = append(w.out.buf, p...)
	w.out.wake()
	return len(p), nil
}

func (w *wireEnd) Close() error {
	for _, d := range []*direction{w.in, w.out} {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.wake()
	}
	return nil
}

func (w *wireEnd) SetReadDeadline(t time.Time) error { w.deadline = t; return nil }
func (w *wireEnd) CharTime() time.Duration           { return w.char }
func (w *wireEnd) Discard() error {
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	w.in.buf = w.in.buf[:0]
	if w.in.closed {
		return io.EOF
	}
	return nil
}

// sheet collects readings by tag.
type sheet struct {
	mu       sync.Mutex
	readings map[string][]gateway.Reading
	calls    int
}

func (s *sheet) Append(rs []gateway.Reading, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readings == nil {
		s.readings = make(map[string][]gateway.Reading)
	}
	s.calls++
	for _, r := range rs {
		s.readings[r.Tag.String()] = append(s.readings[r.Tag.String()], r)
	}
	if done != nil {
		done(nil)
	}
}

func (s *sheet) of(tag string) []gateway.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gateway.Reading(nil), s.readings[tag]...)
}

// stamps returns a clock for readings that runs with the test's.
func stamps() func() gateway.Stamp {
	boot, start := gateway.NewBoot("test"), time.Now()
	return func() gateway.Stamp { return gateway.Stamp{Boot: boot, At: time.Since(start).Milliseconds()} }
}

// lab is a driver with instruments on wires in memory, in a synctest bubble.
type lab struct {
	t      *testing.T
	driver *text.Driver
	sheet  *sheet
	cancel context.CancelFunc
	done   chan error
}

// start runs a driver; serve plays the far end of every line it opens.
func start(t *testing.T, o text.Options, char time.Duration, serve func(ctx context.Context, far io.ReadWriter) error) *lab {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait) // after the driver has stopped
	return startWith(t, o, func(ctx context.Context) (gateway.Line, error) {
		line, far := newWire(char)
		serving.Go(func() { _ = serve(ctx, far) })
		return line, nil
	})
}

func startWith(t *testing.T, o text.Options, open func(context.Context) (gateway.Line, error)) *lab {
	t.Helper()
	if o.Now == nil {
		o.Now = stamps()
	}
	d, err := text.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &lab{t: t, driver: d, sheet: &sheet{}, cancel: cancel, done: make(chan error, 1)}
	go func() { l.done <- d.Run(ctx, open, l.sheet) }()
	t.Cleanup(l.stop)
	return l
}

func (l *lab) stop() {
	l.cancel()
	if err := <-l.done; !errors.Is(err, context.Canceled) {
		l.t.Errorf("Run ended with %v, want context.Canceled", err)
	}
	l.done <- context.Canceled // stop may be called again
}
