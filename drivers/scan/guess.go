package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Expect is a value that should be somewhere: "5..60 bar".
type Expect struct {
	Low, High gateway.Decimal
	Unit      string
}

// ParseExpect reads "5..60 bar".
func ParseExpect(text string) (Expect, error) {
	limits, unit, _ := strings.Cut(strings.TrimSpace(text), " ")
	lowText, highText, _ := strings.Cut(limits, "..")
	low, err1 := gateway.ParseDecimal(lowText)
	high, err2 := gateway.ParseDecimal(highText)
	if errors.Join(err1, err2) != nil || low.Cmp(high) >= 0 {
		return Expect{}, fmt.Errorf(`%q is no range to expect; write it like "5..60 bar"`, text)
	}
	return Expect{Low: low, High: high, Unit: strings.TrimSpace(unit)}, nil
}

// Guess is a place in the registers whose value fits.
type Guess struct {
	Register string `json:"register"`
	Address  int    `json:"address"`
	Type     string `json:"type"`
	Order    string `json:"byte_order,omitempty"`
	Scale    string `json:"scale,omitempty"`
	Value    string `json:"value"`
	Unit     string `json:"unit,omitempty"`

	rank int // the lower the likelier
}

// String is the guess as people read it.
func (g Guess) String() string {
	text := fmt.Sprintf("%s %d %s", g.Register, g.Address, g.Type)
	if g.Order != "" {
		text += " " + g.Order
	}
	if g.Scale != "" {
		text += " × " + g.Scale
	}
	return text + " = " + strings.TrimSpace(g.Value+" "+g.Unit)
}

// registers is what could be read of one table.
type registers struct {
	function wire.Function
	words    map[int]uint16
}

// blockSize is how many registers are asked for at once: few, since one that
// does not exist spoils them all.
const blockSize = 16

// readMap reads what can be read from first to last, in blocks that are halved
// where the instrument refuses. It gives up at the first question without an answer.
func readMap(ctx context.Context, line Asker, unit byte, function wire.Function, first, last int) registers {
	m := registers{function, make(map[int]uint16)}
	for start := first; start <= last; start += blockSize {
		if !m.read(ctx, line, unit, start, min(blockSize, last-start+1)) {
			break
		}
	}
	return m
}

// read reports whether the instrument still answers.
func (m registers) read(ctx context.Context, line Asker, unit byte, start, count int) bool {
	data, err := line.Do(ctx, unit, wire.Request{Function: m.function, Address: uint16(start), Count: uint16(count)})
	var exception wire.Exception
	switch {
	case err == nil:
		for i := range count {
			m.words[start+i] = uint16(data[2*i])<<8 | uint16(data[2*i+1])
		}
		return true
	case !errors.As(err, &exception) || exception == wire.IllegalFunction:
		return false
	case count == 1:
		return true
	}
	half := count / 2
	return m.read(ctx, line, unit, start, half) && m.read(ctx, line, unit, start+half, count-half)
}

// oddAddress is what a value at an odd address counts less: most maps begin
// values at even ones, more surely than they keep to the order ABCD.
const oddAddress = 3

// candidates are the types that are tried, the likeliest first. Integers are
// scaled as instruments do; unscaled ones fit by chance too often to come first.
var candidates = []struct {
	typ    string
	scales []string
	rank   int
}{
	{"float32", []string{"1"}, 0},
	{"float64", []string{"1"}, 4},
	{"int16", []string{"0.1", "0.01", "1", "0.001"}, 20},
	{"int32", []string{"0.01", "0.001", "0.1", "1"}, 40},
}

// guess finds the values that fit any expectation.
func guess(m registers, expect []Expect) []Guess {
	var all []Guess
	for _, c := range candidates {
		typ, _ := wire.TypeOf(c.typ)
		for i, order := range wire.Orders(typ.Size) {
			for j, scale := range c.scales {
				all = append(all, m.fits(wire.Layout{Type: typ, Order: order}, scale, c.rank+2*i+j*5, expect)...)
			}
		}
	}
	return all
}

// fits tries one layout at every address.
func (m registers) fits(l wire.Layout, scale string, rank int, expect []Expect) []Guess {
	factor, _ := gateway.ParseDecimal(scale)
	var all []Guess
	for address := range m.words {
		regs, ok := m.at(address, l.Registers())
		if !ok {
			continue
		}
		raw, reason := l.Decode(regs)
		if reason != gateway.NoReason || !plausible(l, raw) {
			continue
		}
		v := raw.Scaled(factor, gateway.Decimal{})
		for _, e := range expect {
			if f := v.Float64(); f >= e.Low.Float64() && f <= e.High.Float64() {
				all = append(all, m.guessAt(l, address, scale, rank, v, e))
			}
		}
	}
	return all
}

func (m registers) guessAt(l wire.Layout, address int, scale string, rank int, v gateway.Value, e Expect) Guess {
	g := Guess{
		Register: m.function.String(), Address: address, Type: l.Type.Name, Value: v.String(), Unit: e.Unit,
		rank: rank + oddAddress*(address%2),
	}
	if l.Type.Size > 2 || l.Order != "AB" {
		g.Order = string(l.Order)
	}
	if scale != "1" {
		g.Scale = scale
	}
	return g
}

// at returns registers as they came.
func (m registers) at(address, count int) ([]byte, bool) {
	regs := make([]byte, 0, 8)
	for i := range count {
		w, ok := m.words[address+i]
		if !ok {
			return nil, false
		}
		regs = append(regs, byte(w>>8), byte(w))
	}
	return regs, true
}

// plausible tells a number that an instrument may mean from registers that
// happen to fit: a wide integer has something in its upper half at most as sign,
// a float is not a small integer read as one.
func plausible(l wire.Layout, v gateway.Value) bool {
	f := math.Abs(v.Float64())
	if f == 0 {
		return false
	}
	if !l.Type.Float() {
		return l.Type.Size == 2 || f > math.MaxInt16 // else an int16 tells the same
	}
	return f > 1e-9 && f < 1e12 // a small integer read as a float is smaller
}

func sortGuesses(all []Guess) {
	slices.SortFunc(all, func(a, b Guess) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Register, b.Register), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Unit, b.Unit))
	})
}
