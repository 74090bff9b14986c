package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// wornAfter requests in a row without an answer a connection is opened anew:
	// the far side may have forgotten it, as after a power cut.
	wornAfter = 3

	// staleAfter this time without traffic the far side may have hung up; many
	// instruments close idle connections after seconds.
	staleAfter = time.Second
)

var (
	errFraming = errors.New("what comes is not Modbus TCP")
)

// mbap is the engine of a TCP connection. Every frame has a transaction id, so
// an answer that comes late is known to be late and passed over.
type mbap struct {
	reader
	options engineOptions
	witness witness

	transaction uint16
	request     []byte
	buf         [2 * wire.MaxMBAP]byte
	n, used     int // buf[used:n] is to be read
	lastUse     time.Time
	misses      int
}

func newMBAP(line gateway.Line, o engineOptions, w witness) *mbap {
	return &mbap{reader: reader{line}, options: o, witness: w, lastUse: time.Now()}
}

func (x *mbap) exchange(ctx context.Context, unit byte, r wire.Request, think time.Duration) ([]byte, time.Time, error) {
	now := time.Now()
	if now.Sub(x.lastUse) > staleAfter {
		if err := x.line.Discard(); err != nil {
			return nil, now, lineError{fmt.Errorf("the far side hung up: %w", err)}
		}
		x.used, x.n = 0, 0
	}
	x.lastUse = now
	x.transaction++
	var pdu [wire.MaxPDU]byte
	x.request = wire.AppendMBAP(x.request[:0], x.transaction, unit, r.AppendPDU(pdu[:0]))
	if _, err := x.line.Write(x.request); err != nil {
		return nil, now, lineError{fmt.Errorf("write: %w", err)}
	}
	data, at, err := x.await(ctx, unit, r, now.Add(think))
	x.lastUse = at
	switch err { //nolint:errorlint // await returns it bare
	case nil:
		x.misses = 0
	case errTimeout:
		x.misses++
	}
	return data, at, err
}

func (x *mbap) await(ctx context.Context, unit byte, r wire.Request, deadline time.Time) ([]byte, time.Time, error) {
	now := time.Now()
	for {
		f, found, err := x.next()
		switch {
		case err != nil:
			return nil, now, err
		case found && f.Transaction == x.transaction && x.options.from(f.Unit, unit):
			x.misses = 0
			data, err := r.ParseReply(f.PDU)
			return data, now, err
		case found:
			x.witness.strayFrame(f.Unit, now)
			x.witness.strayBytes(wire.MBAPHeader + len(f.PDU))
			continue
		}
		if x.used > 0 {
			x.n = copy(x.buf[:], x.buf[x.used:x.n])
			x.used = 0
		}
		var n int
		if n, now, err = x.read(ctx, x.buf[x.n:], deadline); err != nil {
			return nil, now, err
		}
		if n == 0 {
			return nil, now, errTimeout
		}
		x.n += n
	}
}

// next takes the next frame out of the buffer. It stays valid until the next read.
func (x *mbap) next() (wire.MBAPFrame, bool, error) {
	f, n, status := wire.MBAPAt(x.buf[x.used:x.n])
	switch status {
	case wire.Invalid:
		return f, false, lineError{errFraming}
	case wire.Complete:
		x.used += n
		return f, true, nil
	default:
		return f, false, nil
	}
}

// listen just waits: late frames are told from others whenever they are read.
func (x *mbap) listen(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// quarantine is none: a transaction id tells late answers.
func (x *mbap) quarantine(time.Duration) time.Duration { return 0 }

func (x *mbap) replySize(wire.Request) int { return 0 }

func (x *mbap) wireTime(wire.Request) time.Duration { return 0 }

func (x *mbap) worn() error {
	if x.misses >= wornAfter {
		return keeper.ErrWorn
	}
	return nil
}
