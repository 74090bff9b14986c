package simulate

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// pacing is how long things take.
type pacing struct {
	char  time.Duration // one character on the wire
	think time.Duration // an instrument, before it answers
}

// maxPending bounds the answers that wait for their time.
const maxPending = 1024

// conn is one connection, of which late answers may still have to leave.
type conn struct {
	in   *Instruments
	rw   io.ReadWriter
	pace pacing
	wg   sync.WaitGroup
	slot chan struct{}

	mu  sync.Mutex // guards writing, and err
	err error
}

func newConn(in *Instruments, rw io.ReadWriter, pace pacing) *conn {
	return &conn{in: in, rw: rw, pace: pace, slot: make(chan struct{}, maxPending)}
}

// ServeRTU answers requests in RTU frames until reading fails, and returns why.
// Answers that are still to come when ctx ends or reading fails do not come.
func (in *Instruments) ServeRTU(ctx context.Context, rw io.ReadWriter) error {
	return in.serveRTU(ctx, rw, pacing{})
}

func (in *Instruments) serveRTU(ctx context.Context, rw io.ReadWriter, pace pacing) error {
	frame := func(unit byte, pdu []byte) []byte { return wire.AppendRTU(nil, unit, pdu) }
	find := func(b []byte) (wire.RTUFrame, []byte, int, bool) {
		f, drop, found := wire.FindRTURequest(b)
		return f, b[max(0, drop-len(f.PDU)-3):drop], drop, found
	}
	return in.serveFrames(ctx, rw, pace, frame, find)
}

// ServeASCII answers requests in ASCII frames until reading fails, and returns why.
func (in *Instruments) ServeASCII(ctx context.Context, rw io.ReadWriter) error {
	return in.serveASCII(ctx, rw, pacing{})
}

func (in *Instruments) serveASCII(ctx context.Context, rw io.ReadWriter, pace pacing) error {
	frame := func(unit byte, pdu []byte) []byte { return wire.AppendASCII(nil, unit, pdu) }
	var room [wire.MaxRTU]byte
	find := func(b []byte) (wire.RTUFrame, []byte, int, bool) {
		for i := range b {
			switch f, n, status := wire.ASCIIFrameAt(b[i:], room[:]); status {
			case wire.Complete:
				return f, b[i : i+n], i + n, true
			case wire.Incomplete:
				return f, nil, i, false
			}
		}
		return wire.RTUFrame{}, nil, len(b), false
	}
	return in.serveFrames(ctx, rw, pace, frame, find)
}

// finder finds the first request in b: its frame, its bytes, and how many bytes
// are done with.
type finder func(b []byte) (f wire.RTUFrame, request []byte, drop int, found bool)

func (in *Instruments) serveFrames(ctx context.Context, rw io.ReadWriter, pace pacing, frame framing, find finder) error {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(in, rw, pace)
	defer c.wg.Wait()
	defer cancel()
	var buf []byte
	var chunk [wire.MaxRTU]byte
	for {
		n, err := rw.Read(chunk[:])
		if err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for {
			f, request, drop, found := find(buf)
			if found {
				c.send(ctx, len(request), in.respond(f.Unit, f.PDU, request, frame, true))
			}
			buf = slices.Delete(buf, 0, drop)
			if !found {
				break
			}
		}
	}
}

// ServeTCP answers requests in MBAP frames until reading fails or what comes is
// no Modbus, and returns why.
func (in *Instruments) ServeTCP(ctx context.Context, rw io.ReadWriter) error {
	return in.serveTCP(ctx, rw, pacing{})
}

func (in *Instruments) serveTCP(ctx context.Context, rw io.ReadWriter, pace pacing) error {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(in, rw, pace)
	defer c.wg.Wait()
	defer cancel()
	var buf []byte
	var chunk [wire.MaxMBAP]byte
	for {
		n, err := rw.Read(chunk[:])
		if err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for {
			f, n, status := wire.MBAPAt(buf)
			if status == wire.Invalid {
				return io.ErrUnexpectedEOF
			}
			if status == wire.Incomplete {
				break
			}
			frame := func(unit byte, pdu []byte) []byte { return wire.AppendMBAP(nil, f.Transaction, unit, pdu) }
			c.send(ctx, n, in.respond(f.Unit, f.PDU, buf[:n], frame, false))
			buf = slices.Delete(buf, 0, n)
		}
	}
}

// send lets the pieces leave, each when it is time; the pace of the wire
// comes on top.
func (c *conn) send(ctx context.Context, requestSize int, pieces []piece) {
	size := requestSize
	for _, p := range pieces {
		size += len(p.bytes)
		after := p.after
		if c.pace.char > 0 || c.pace.think > 0 {
			after += c.pace.think + time.Duration(size)*c.pace.char
		}
		if after == 0 {
			c.write(p.bytes)
			continue
		}
		select {
		case c.slot <- struct{}{}:
			c.wg.Go(func() { c.later(ctx, after, p.bytes) })
		default: // nobody waits for so many
		}
	}
}

func (c *conn) later(ctx context.Context, after time.Duration, b []byte) {
	defer func() { <-c.slot }()
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		c.write(b)
	}
}

// write sends b. A failure ends nothing here: reading will fail as well.
func (c *conn) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		_, c.err = c.rw.Write(b)
	}
}
