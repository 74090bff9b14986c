package line

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"go.bug.st/serial"
)

const (
	// A request has at most 256 bytes. The wire may take its time; beyond that
	// the driver or its flow control is stuck: the kernel blocks such a write
	// for ever, and closing the port does not wake it.
	writeMargin = 2 * time.Second

	// Closing a UART whose output cannot drain takes up to 30 s (closing_wait).
	closePatience = 200 * time.Millisecond
)

var _ gateway.Line = (*serialLine)(nil)

// port is what we use of serial.Port, so that a test can stand in for it.
type port interface {
	io.ReadWriteCloser
	SetReadTimeout(time.Duration) error
	ResetInputBuffer() error
	ResetOutputBuffer() error
	Break(time.Duration) error
}

// serialLine is a serial port as a line. One goroutine reads, writes and closes it:
// the library closes the descriptor before it wakes a reader, who could then read from
// another's. Writes happen in a goroutine of their
// own, which ends with Close, or when the kernel lets go of a stuck write.
type serialLine struct {
	path     string
	port     port
	unlock   func()
	charTime time.Duration
	deadline time.Time

	buf      []byte      // what the writer writes: a stuck write keeps it
	out      chan []byte // to the writer; closed by Close
	written  chan error  // from the writer, one per message on out
	patience *time.Timer
	stuck    bool // the writer never came back
	closed   atomic.Bool

	hardware sync.Mutex // guards fd, which Close gives back
	fd       int
	counted  interruptCounts // at open
	counts   bool            // whether the hardware counts at all
}

func openSerial(o Options) (gateway.Line, error) {
	fd, release, err := lock(o.Serial)
	if err != nil {
		return nil, err
	}
	if o.RS485 == rs485Kernel {
		if err := switchDirection(fd, o.Serial); err != nil {
			release()
			return nil, err
		}
	}
	if o.LowLatency == nil || *o.LowLatency {
		lowerLatency(fd, o.Serial)
	}
	p, err := serial.Open(o.Serial, mode(o))
	if err != nil {
		release()
		return nil, serialError(o.Serial, err)
	}
	// What a pseudo-terminal kept from before is nobody's answer; a real port
	// forgets it by itself.
	if err := p.ResetInputBuffer(); err != nil {
		_ = p.Close()
		release()
		return nil, fmt.Errorf("open %s: flush the input: %w", o.Serial, err)
	}
	l := newSerialLine(o, p, release)
	l.fd = fd
	l.counted, l.counts = countErrors(fd)
	return l, nil
}

// mode is what we ask the kernel for. The library leaves it to the kernel to put a
// zero byte where parity is wrong or the line breaks: a checksum finds it, and what
// has none must not take a NUL within an answer. Seven bits and parity cannot be
// tried on a pseudo-terminal, which takes any mode and ignores most of it. InitialStatusBits stay unset: without
// modem lines (pseudo-terminals, some USB adapters) they fail, and the kernel
// raises DTR and RTS at open by itself.
func mode(o Options) *serial.Mode {
	m := &serial.Mode{BaudRate: o.BaudRate, DataBits: o.dataBits(), Parity: serial.NoParity, StopBits: serial.OneStopBit}
	switch o.Parity {
	case "even":
		m.Parity = serial.EvenParity
	case "odd":
		m.Parity = serial.OddParity
	}
	if o.stopBits() == 2 {
		m.StopBits = serial.TwoStopBits
	}
	return m
}

func newSerialLine(o Options, p port, release func()) *serialLine {
	l := &serialLine{
		path: o.Serial, port: p, unlock: release, charTime: o.CharTime(),
		out: make(chan []byte), written: make(chan error, 1), patience: time.NewTimer(time.Hour),
	}
	l.patience.Stop()
	go l.writer(l.out, l.written)
	return l
}

func (l *serialLine) writer(out <-chan []byte, written chan<- error) {
	for b := range out {
		n, err := l.port.Write(b)
		if err == nil && n != len(b) {
			err = io.ErrShortWrite
		}
		written <- err
	}
}

// Read waits until the read deadline for the first byte, and takes with it what
// else is there. With a passed deadline it takes what is there without waiting.
func (l *serialLine) Read(p []byte) (n int, err error) {
	// The library's select panics for a file descriptor beyond 1023.
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("read %s: %v; too many files are open for a serial port", l.path, r)
		}
	}()
	for {
		wait := serial.NoTimeout
		if !l.deadline.IsZero() {
			wait = max(time.Until(l.deadline), 0)
		}
		if err := l.port.SetReadTimeout(wait); err != nil {
			return 0, fmt.Errorf("read %s: %w", l.path, err)
		}
		n, err := l.port.Read(p)
		if err != nil {
			return n, l.lost(err)
		}
		if n > 0 {
			return n, nil
		}
		// The library reports a timeout as no byte and no error, and may do so
		// a microsecond early.
		if wait == 0 || !time.Now().Before(l.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// lost tells of a port that does not read any more; an unplugged adapter reads
// as closed.
func (l *serialLine) lost(err error) error {
	var e *serial.PortError
	if errors.As(err, &e) && e.Code() == serial.PortClosed && !l.closed.Load() {
		return fmt.Errorf("read %s: the port is gone; was it unplugged?", l.path)
	}
	return fmt.Errorf("read %s: %w", l.path, err)
}

// Write hands p to the kernel. A write that hangs is abandoned with an error;
// the line must then be closed.
func (l *serialLine) Write(p []byte) (int, error) {
	if l.stuck {
		return 0, fmt.Errorf("write %s: an earlier write is stuck", l.path)
	}
	l.buf = append(l.buf[:0], p...)
	l.out <- l.buf
	l.patience.Reset(writeMargin + time.Duration(len(p))*l.charTime)
	select {
	case err := <-l.written:
		l.patience.Stop()
		if err != nil {
			return 0, fmt.Errorf("write %s: %w", l.path, err)
		}
		return len(p), nil
	case <-l.patience.C:
		l.stuck = true
		return 0, fmt.Errorf("write %s: the port takes no bytes; check flow control and adapter", l.path)
	}
}

// SetReadDeadline says until when Read waits; the zero time means for ever.
func (l *serialLine) SetReadDeadline(t time.Time) error {
	l.deadline = t
	return nil
}

// Discard throws away what has arrived.
func (l *serialLine) Discard() error {
	if err := l.port.ResetInputBuffer(); err != nil {
		return fmt.Errorf("discard input of %s: %w", l.path, err)
	}
	return nil
}

// CharTime returns how long one character is on the wire.
func (l *serialLine) CharTime() time.Duration { return l.charTime }

// Break holds the line in break for so long, which wakes some instruments.
func (l *serialLine) Break(d time.Duration) error {
	if err := l.port.Break(d); err != nil {
		return fmt.Errorf("break on %s: %w", l.path, err)
	}
	return nil
}

// UART returns what the hardware has counted since the port was opened. It is
// safe for concurrent use with everything.
func (l *serialLine) UART() gateway.UARTErrors {
	l.hardware.Lock()
	defer l.hardware.Unlock()
	if !l.counts {
		return gateway.UARTErrors{}
	}
	now, ok := countErrors(l.fd)
	if !ok {
		return gateway.UARTErrors{}
	}
	return now.since(l.counted)
}

// Close gives the port back. It throws unsent and unread bytes away first, and
// does not wait for a port that cannot let go; such a port stays locked until it does.
func (l *serialLine) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	l.hardware.Lock()
	l.counts = false
	l.hardware.Unlock()
	close(l.out)
	done := make(chan error, 1)
	go func() {
		_ = l.port.ResetOutputBuffer() // an unplugged port refuses; what matters is Close
		_ = l.port.ResetInputBuffer()  // a pseudo-terminal would keep it for the next who opens
		err := l.port.Close()
		l.unlock()
		done <- err
	}()
	l.patience.Reset(closePatience)
	defer l.patience.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("close %s: %w", l.path, err)
		}
		return nil
	case <-l.patience.C:
		return nil
	}
}
