package simulate

import (
	"context"
	"io"
	"slices"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Relay stands between a master and slaves that others made, on a serial line:
// it passes requests on, and does to the answers what Fault demands. It ends when
// reading from either side fails, with why; near and far must then be closed
// for all of it to end.
func (in *Instruments) Relay(ctx context.Context, near, far io.ReadWriter) error {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(in, near, pacing{})
	defer c.wg.Wait()
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- c.relayRequests(far) }()
	go func() { ended <- c.relayAnswers(ctx, far) }()
	return <-ended
}

func (c *conn) relayRequests(far io.Writer) error {
	var chunk [wire.MaxRTU]byte
	for {
		n, err := c.rw.Read(chunk[:])
		if err != nil {
			return err
		}
		if c.in.echoes() {
			c.write(slices.Clone(chunk[:n]))
		}
		if _, err := far.Write(chunk[:n]); err != nil {
			return err
		}
	}
}

// echoes counts a request, and reports whether the adapter sends it back.
func (in *Instruments) echoes() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Requests++
	if in.fault.Echo {
		in.counters.Echoes++
	}
	return in.fault.Echo
}

func (c *conn) relayAnswers(ctx context.Context, far io.Reader) error {
	var buf []byte
	var chunk [wire.MaxRTU]byte
	for {
		n, err := far.Read(chunk[:])
		if err != nil {
			return err
		}
		buf = append(buf, chunk[:n]...)
		for len(buf) > 0 {
			f, n, status := wire.RTUReplyAt(buf)
			if status == wire.Incomplete {
				break
			}
			if status == wire.Invalid {
				buf = buf[1:]
				continue
			}
			c.send(ctx, 0, c.in.spoilt(f))
			buf = buf[n:]
		}
	}
}

// spoilt returns what is left of an answer.
func (in *Instruments) spoilt(f wire.RTUFrame) []piece {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.fault.Silent {
		in.counters.Silent++
		return nil
	}
	frame := func(unit byte, pdu []byte) []byte { return wire.AppendRTU(nil, unit, pdu) }
	pieces, _ := in.spoil(f.Unit, slices.Clone(f.PDU), wire.Function(f.PDU[0]&0x7F), frame, true)
	return pieces
}
