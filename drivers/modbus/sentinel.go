package modbus

import (
	"fmt"
	"math"
	"strconv"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// sentinel is one of bad_values in the form that is compared.
type sentinel struct {
	by    comparison
	bits  uint64
	float float64
	value gateway.Value
	text  string
}

type comparison byte

const (
	byBits  comparison = iota // the registers as they are
	byFloat                   // the number, so that -0 is 0
	byNaN                     // any of its bit patterns
	byValue                   // the decoded number
	byText
)

// sentinels reads bad_values of a type.
func sentinels(t *wire.Type, values []any) ([]sentinel, error) {
	var all []sentinel
	for _, x := range values {
		s, ok := newSentinel(t, x)
		if !ok {
			return nil, fmt.Errorf("%v can never be a %s; write a value as it stands in the registers, before scale and offset", x, t.Name)
		}
		all = append(all, s)
	}
	return all, nil
}

func newSentinel(t *wire.Type, x any) (sentinel, bool) {
	switch {
	case t.Name == "string":
		text, ok := x.(string)
		return sentinel{by: byText, text: text}, ok
	case t.Name == "bool":
		return sentinel{}, false
	case t.Float():
		return floatSentinel(t, x)
	}
	n, negative, ok := wholeNumber(x)
	if !ok {
		return sentinel{}, false
	}
	width := 8 * t.Size
	if decimals := t.Size * 2; t.Name[0] == 'b' && !negative && n < pow10(decimals) {
		return sentinel{by: byValue, value: gateway.Uint(n)}, true
	}
	// 32768 and -32768 are the same bits of an int16; people write either.
	if negative {
		return sentinel{by: byBits, bits: -n & mask(width)}, n <= 1<<(width-1)
	}
	return sentinel{by: byBits, bits: n}, n <= mask(width)
}

func floatSentinel(t *wire.Type, x any) (sentinel, bool) {
	var f float64
	switch v := x.(type) {
	case float64:
		f = v
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case string:
		parsed, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return sentinel{}, false
		}
		f = parsed
	default:
		return sentinel{}, false
	}
	if math.IsNaN(f) {
		return sentinel{by: byNaN}, true
	}
	if t.Size == 4 { // 9999.9 means the float32 nearest to it
		f = float64(float32(f))
	}
	return sentinel{by: byFloat, float: f}, true
}

// wholeNumber returns the magnitude and the sign of a number that is whole.
func wholeNumber(x any) (n uint64, negative, ok bool) {
	switch v := x.(type) {
	case int:
		return magnitude(int64(v)), v < 0, true
	case int64:
		return magnitude(v), v < 0, true
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return 0, false, false
		}
		return magnitude(int64(v)), v < 0, true
	case string:
		if u, err := strconv.ParseUint(v, 0, 64); err == nil {
			return u, false, true
		}
		i, err := strconv.ParseInt(v, 0, 64)
		return magnitude(i), i < 0, err == nil
	default:
		return 0, false, false
	}
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func mask(width int) uint64 { return math.MaxUint64 >> (64 - width) }

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// matches reports whether what stands in the registers means "no value".
func (s sentinel) matches(l wire.Layout, bits uint64, v gateway.Value) bool {
	switch s.by {
	case byBits:
		return bits == s.bits
	case byValue:
		return v == s.value
	}
	f := math.Float64frombits(bits)
	if l.Type.Size == 4 {
		f = float64(math.Float32frombits(uint32(bits)))
	}
	if s.by == byNaN {
		return math.IsNaN(f)
	}
	return f == s.float
}
