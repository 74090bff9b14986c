package text

import (
	"math"
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
)

// types has one row per binary type: how long it is, and what its bits mean.
var types = []binaryType{
	{"uint8", 1, func(b uint64) gateway.Value { return gateway.Uint(b) }},
	{"int8", 1, func(b uint64) gateway.Value { return gateway.Int(int64(int8(b))) }},
	{"uint16", 2, func(b uint64) gateway.Value { return gateway.Uint(b) }},
	{"int16", 2, func(b uint64) gateway.Value { return gateway.Int(int64(int16(b))) }},
	{"uint24", 3, func(b uint64) gateway.Value { return gateway.Uint(b) }},
	{"int24", 3, func(b uint64) gateway.Value { return gateway.Int(int64(int32(b<<8)) >> 8) }},
	{"uint32", 4, func(b uint64) gateway.Value { return gateway.Uint(b) }},
	{"int32", 4, func(b uint64) gateway.Value { return gateway.Int(int64(int32(b))) }},
	{"uint64", 8, func(b uint64) gateway.Value { return gateway.Uint(b) }},
	{"int64", 8, func(b uint64) gateway.Value { return gateway.Int(int64(b)) }},
	{"float32", 4, func(b uint64) gateway.Value { return gateway.Float32(math.Float32frombits(uint32(b))) }},
	{"float64", 8, func(b uint64) gateway.Value { return gateway.Float64(math.Float64frombits(b)) }},
}

type binaryType struct {
	name  string
	size  int
	value func(bits uint64) gateway.Value
}

// The types that are not binary.
const (
	typeNumber = "number"
	typeString = "string"
)

func typeNames() []string {
	names := []string{typeNumber, typeString}
	for _, t := range types {
		names = append(names, t.name)
	}
	return names
}

func typeOf(name string) (*binaryType, bool) {
	i := slices.IndexFunc(types, func(t binaryType) bool { return t.name == name })
	if i < 0 {
		return nil, false
	}
	return &types[i], true
}

// layout is a binary type and where each of its bytes stands.
type layout struct {
	kind  *binaryType
	order [8]int // of the bytes, the most significant first, in the reply
}

// orderNames is the bytes from the most significant on.
const orderNames = "ABCDEFGH"

// newLayout reads a byte order: the letters A, B, … in the order in which the
// bytes come, A being the most significant. ok is false where it is none.
func newLayout(t *binaryType, order string) (l layout, ok bool) {
	l.kind = t
	if order == "" {
		order = orderNames[:t.size]
	}
	if len(order) != t.size {
		return l, false
	}
	var seen [8]bool
	for i := range t.size {
		letter := int(order[i]) - 'A'
		if letter < 0 || letter >= t.size || seen[letter] {
			return l, false
		}
		seen[letter] = true
		l.order[letter] = i
	}
	return l, true
}

// decode reads the value in bytes that are as long as the type.
func (l layout) decode(b []byte) gateway.Value {
	var bits uint64
	for _, at := range l.order[:l.kind.size] {
		bits = bits<<8 | uint64(b[at])
	}
	return l.kind.value(bits)
}
