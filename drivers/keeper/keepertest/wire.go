// Package keepertest is what the tests of drivers share: a wire in memory, and a
// driver that runs on it.
package keepertest

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// Wire is one end of a wire in memory that keeps what is not read yet, as a
// kernel does. It is a gateway.Line; without a time for a character it is a
// connection, of which a read with a passed deadline takes nothing, whatever is there.
type Wire struct {
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

// NewWire returns both ends of a wire.
func NewWire(char time.Duration) (line, far *Wire) {
	a := &direction{ready: make(chan struct{}, 1)}
	b := &direction{ready: make(chan struct{}, 1)}
	return &Wire{in: a, out: b, char: char}, &Wire{in: b, out: a}
}

func (d *direction) wake() {
	select {
	case d.ready <- struct{}{}:
	default:
	}
}

func (w *Wire) Read(p []byte) (int, error) {
	for {
		if w.char == 0 && !w.deadline.IsZero() && !time.Now().Before(w.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
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

func (w *Wire) Write(p []byte) (int, error) {
	w.out.mu.Lock()
	defer w.out.mu.Unlock()
	if w.out.closed {
		return 0, errors.New("closed")
	}
	w.out.buf = append(w.out.buf, p...)
	w.out.wake()
	return len(p), nil
}

func (w *Wire) Close() error {
	for _, d := range []*direction{w.in, w.out} {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.wake()
	}
	return nil
}

func (w *Wire) SetReadDeadline(t time.Time) error { w.deadline = t; return nil }
func (w *Wire) CharTime() time.Duration           { return w.char }
func (w *Wire) Discard() error {
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	w.in.buf = w.in.buf[:0]
	if w.in.closed {
		return io.EOF
	}
	return nil
}
