package simulate

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Fault is what goes wrong, each with its probability from 0 to 1. The zero
// value is a sound line.
type Fault struct {
	Seed  uint64 // the same seed and requests give the same faults
	Units []byte // whose answers suffer; empty means all

	Late   float64 // answers that come after LateBy
	LateBy time.Duration

	Duplicate      float64 // answers that come twice
	DuplicateAfter time.Duration

	Lost      float64 // answers that never come
	Flip      float64 // one bit is wrong
	Noise     float64 // random bytes before the answer
	NUL       float64 // zero bytes before the answer, as of a break
	Extra     float64 // random bytes after the answer
	WrongUnit float64 // the answer of another unit instead
	Exception float64 // exception 4 instead of the answer
	Split     float64 // the answer comes in pieces

	Echo   bool // the adapter sends every request back
	Silent bool // nobody answers
}

// Fate says what became of an answer.
type Fate byte

// The fates.
const (
	OnTime Fate = iota
	Late
	Lost
	Damaged // no frame, or not the one that was asked for
)

// Counters are what was done so far.
type Counters struct {
	Requests, Replies                                         uint64
	Late, Duplicated, Lost, Flipped, Noisy, NULs, Extras      uint64
	WrongUnits, Exceptions, Splits, Echoes, Silent, Unplugged uint64
}

const splitPause = 5 * time.Millisecond

// Fault makes f happen from now on.
func (in *Instruments) Fault(f Fault) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fault = f
	in.rng = rand.New(rand.NewPCG(f.Seed, 1))
}

// Counters returns what was done so far.
func (in *Instruments) Counters() Counters {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.counters
}

// piece is bytes that leave some time after the request came.
type piece struct {
	after time.Duration
	bytes []byte
}

// framing puts a unit and a PDU into a frame.
type framing func(unit byte, pdu []byte) []byte

// respond returns everything that is to be sent because of a request.
func (in *Instruments) respond(unit byte, pdu, request []byte, frame framing, serial bool) []piece {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Requests++
	var out []piece
	f := in.fault
	if f.Echo && serial {
		in.counters.Echoes++
		out = append(out, piece{bytes: slices.Clone(request)})
	}
	if f.Silent {
		in.counters.Silent++
		return out
	}
	reply, event, ok := in.answer(unit, pdu)
	if !ok {
		return out
	}
	if len(f.Units) == 0 || slices.Contains(f.Units, unit) {
		var pieces []piece
		pieces, event.Fate = in.spoil(unit, reply, event.Request.Function, frame, serial)
		out = append(out, pieces...)
	} else {
		in.counters.Replies++
		out = append(out, piece{bytes: frame(unit, reply)})
	}
	if in.observe != nil {
		in.observe(event)
	}
	return out
}

// spoil does to an answer what the fault demands.
func (in *Instruments) spoil(unit byte, reply []byte, function wire.Function, frame framing, serial bool) ([]piece, Fate) {
	f, c, fate := in.fault, &in.counters, OnTime
	if in.happens(f.Lost) {
		c.Lost++
		return nil, Lost
	}
	if in.happens(f.WrongUnit) {
		c.WrongUnits++
		unit, fate = unit+1, Damaged
	}
	if in.happens(f.Exception) {
		c.Exceptions++
		reply, fate = wire.AppendException(nil, function, wire.DeviceFailure), Damaged
	}
	return in.spread(frame(unit, reply), fate, serial)
}

// spread does to the bytes of an answer, and to their time, what the fault demands.
func (in *Instruments) spread(b []byte, fate Fate, serial bool) ([]piece, Fate) {
	f, c := in.fault, &in.counters
	if serial {
		b, fate = in.disturb(b, fate)
	}
	after := time.Duration(0)
	if in.happens(f.Late) {
		c.Late++
		after, fate = f.LateBy, Late
	}
	c.Replies++
	out := []piece{{after, b}}
	if in.happens(f.Split) && len(b) > 1 {
		c.Splits++
		cut := 1 + in.rng.IntN(len(b)-1)
		out = []piece{{after, b[:cut]}, {after + splitPause, b[cut:]}}
	}
	if in.happens(f.Duplicate) {
		c.Duplicated++
		if last := &out[len(out)-1]; f.DuplicateAfter > 0 {
			out = append(out, piece{last.after + f.DuplicateAfter, slices.Clone(b)})
		} else { // at once, which two writes on a busy machine are not
			last.bytes = append(slices.Clone(last.bytes), b...)
		}
	}
	return out, fate
}

// disturb does what happens to bytes on a bad wire.
func (in *Instruments) disturb(b []byte, fate Fate) ([]byte, Fate) {
	f, c := in.fault, &in.counters
	if in.happens(f.Flip) {
		c.Flipped++
		b[in.rng.IntN(len(b))] ^= 1 << in.rng.IntN(8)
		fate = Damaged
	}
	if in.happens(f.NUL) {
		c.NULs++
		b = append(make([]byte, 1+in.rng.IntN(3)), b...)
	}
	if in.happens(f.Noise) {
		c.Noisy++
		b = append(in.noise(), b...)
	}
	if in.happens(f.Extra) {
		c.Extras++
		b = append(b, in.noise()...)
	}
	return b, fate
}

func (in *Instruments) noise() []byte {
	b := make([]byte, 1+in.rng.IntN(6))
	for i := range b {
		b[i] = byte(in.rng.Uint32())
	}
	return b
}

func (in *Instruments) happens(p float64) bool { return p > 0 && in.rng.Float64() < p }
