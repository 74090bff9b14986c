package simulate

import (
	"math"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Part is a value of an instrument and where it lies in its registers or bits.
type Part struct {
	Table   wire.Function // that reads it
	Address int
	Layout  wire.Layout
	Scale   float64 // what stands in the registers is (value - Offset) / Scale
	Offset  float64
	None    uint64 // what stands there while the signal has no value
	Signal  Signal
	Text    string // of a string, instead of a Signal
}

// Play has the registers show these values as they are at the moment of each
// request. What lies between two values can be read as well, as with most instruments.
func (u *Unit) Play(parts []Part) {
	u.fill(parts)
	flags := make(map[place][]Part)
	for _, p := range parts {
		switch {
		case p.Layout.Type.Name == "string":
			words := make([]uint16, p.Layout.Registers())
			_ = put(p.Layout, p.Text, words) // a text fits wherever it is cut
			u.SetWords(p.Table, p.Address, words...)
		case p.Layout.Type.Size == 0:
			at := place{p.Table, uint16(p.Address)}
			flags[at] = append(flags[at], p)
		default:
			u.SetComputed(p.Table, p.Address, p.Layout.Registers(), func(c Call, words []uint16) { p.put(c.At, words) })
		}
	}
	for at, parts := range flags {
		u.SetComputed(at.table, int(at.address), 1, func(c Call, words []uint16) { words[0] = bitsAt(parts, c.At) })
	}
}

// maxFill is the widest hole between values that is filled with zeros.
const maxFill = 16

func (u *Unit) fill(parts []Part) {
	ends := make(map[wire.Function][]int) // of values, in order
	for _, p := range parts {
		for i := range p.Layout.Registers() {
			ends[p.Table] = append(ends[p.Table], p.Address+i)
		}
	}
	for table, taken := range ends {
		slices.Sort(taken)
		for i, at := range taken[1:] {
			if gap := at - taken[i] - 1; gap > 0 && gap <= maxFill {
				u.SetWords(table, taken[i]+1, make([]uint16, gap)...)
			}
		}
	}
}

// put puts the value of this moment into the registers.
func (p Part) put(at time.Duration, words []uint16) {
	regs := make([]byte, 2*len(words))
	p.Layout.PutBits(regs, p.bits(at))
	for i := range words {
		words[i] = uint16(regs[2*i])<<8 | uint16(regs[2*i+1])
	}
}

func (p Part) bits(at time.Duration) uint64 {
	v, ok := p.Signal(at)
	if !ok {
		return p.None
	}
	raw := (v - p.Offset) / p.Scale
	if !p.Layout.Type.Float() {
		raw = math.Round(raw)
	}
	bits, err := bitsOf(p.Layout.Type, raw)
	if err != nil {
		return p.None
	}
	return bits
}

// bitsAt is the word that holds these bits; a bit is set where its signal is at
// least a half. A coil is bit 0.
func bitsAt(parts []Part, at time.Duration) (word uint16) {
	for _, p := range parts {
		if v, ok := p.Signal(at); ok && v >= 0.5 {
			word |= 1 << p.Layout.Bit
		}
	}
	return word
}
