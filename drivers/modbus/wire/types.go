package wire

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/gaugeway/gaugeway/gateway"
)

// Type is one way to keep a value in registers or bits.
type Type struct {
	Name string
	Size int // bytes in registers; 0 for a bool, which is one bit, and a string, which is as long as configured

	// decode turns Size bytes, most significant first, into a value.
	decode func(bits uint64) (gateway.Value, gateway.Reason)
}

// types is every type there is, one row each.
var types = []Type{
	{"bool", 0, nil},
	{"int16", 2, func(b uint64) (gateway.Value, gateway.Reason) { return gateway.Int(int64(int16(b))), 0 }},
	{"uint16", 2, unsigned},
	{"int32", 4, func(b uint64) (gateway.Value, gateway.Reason) { return gateway.Int(int64(int32(b))), 0 }},
	{"uint32", 4, unsigned},
	{"int64", 8, func(b uint64) (gateway.Value, gateway.Reason) { return gateway.Int(int64(b)), 0 }},
	{"uint64", 8, unsigned},
	{"float32", 4, float32Value},
	{"float64", 8, float64Value},
	{"bcd16", 2, bcd},
	{"bcd32", 4, bcd},
	{"string", 0, nil},
}

// Types returns the names of all types.
func Types() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return names
}

// TypeOf returns the type of this name.
func TypeOf(name string) (*Type, bool) {
	for i := range types {
		if types[i].Name == name {
			return &types[i], true
		}
	}
	return nil, false
}

// Numeric reports whether values of the type can be scaled.
func (t *Type) Numeric() bool { return t.Size > 0 }

// Float reports whether the type is a binary fraction.
func (t *Type) Float() bool { return strings.HasPrefix(t.Name, "float") }

func unsigned(b uint64) (gateway.Value, gateway.Reason) { return gateway.Uint(b), 0 }

// float32Value keeps no value for NaN and infinity: many instruments send them
// for a broken channel or an overrange.
func float32Value(b uint64) (gateway.Value, gateway.Reason) {
	f := math.Float32frombits(uint32(b))
	if f64 := float64(f); math.IsNaN(f64) || math.IsInf(f64, 0) {
		return gateway.Value{}, gateway.NaN
	}
	return gateway.Float32(f), 0
}

func float64Value(b uint64) (gateway.Value, gateway.Reason) {
	f := math.Float64frombits(b)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return gateway.Value{}, gateway.NaN
	}
	return gateway.Float64(f), 0
}

// bcd reads four bits per decimal digit. A digit above nine makes no sense, so
// there is no value.
func bcd(b uint64) (gateway.Value, gateway.Reason) {
	n, place := uint64(0), uint64(1)
	for ; b != 0; b >>= 4 {
		digit := b & 15
		if digit > 9 {
			return gateway.Value{}, gateway.DeviceFault
		}
		n += digit * place
		place *= 10
	}
	return gateway.Uint(n), 0
}

// Order says where the bytes of a value are. The name lists them as they come
// on the wire; A is the most significant. It is the same as combining three
// swaps, so eight bytes have eight orders:
//
//	              bytes of a   registers of    halves
//	              register     each 4 bytes    of 8 bytes
//	ABCDEFGH      -            -               -
//	BADCFEHG      swapped      -               -
//	CDABGHEF      -            swapped         -
//	DCBAHGFE      swapped      swapped         -
//	EFGHABCD      -            -               swapped
//	FEHGBADC      swapped      -               swapped
//	GHEFCDAB      -            swapped         swapped
//	HGFEDCBA      swapped      swapped         swapped
type Order string

// orders is every order there is, by the number of bytes; the first is what
// the specification demands (application protocol, 4.2: big-endian).
var orders = map[int][]Order{
	2: {"AB", "BA"},
	4: {"ABCD", "CDAB", "BADC", "DCBA"},
	8: {"ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA"},
}

// Orders returns the orders of a value of so many bytes.
func Orders(size int) []Order { return orders[size] }

// ForSize returns the order of a value of so many bytes that is meant when a
// whole device is said to have the order o, which has four letters. Eight bytes
// follow it; two bytes and strings do not, since instruments that offer a choice
// mean their 32-bit values by it.
func (o Order) ForSize(size int) Order {
	switch {
	case size == 4:
		return o
	case size != 8:
		return "AB"
	}
	switch o {
	case "CDAB":
		return "GHEFCDAB"
	case "BADC":
		return "BADCFEHG"
	case "DCBA":
		return "HGFEDCBA"
	default:
		return "ABCDEFGH"
	}
}

// Layout is how one value lies in registers or bits.
type Layout struct {
	Type   *Type
	Order  Order // of the value's bytes; AB or BA for a string
	Bit    int   // for a bool in a register: 0 is the least significant
	Length int   // for a string: its registers

	// The value is so many bits from this one on, of a number without a sign; with
	// a Width of 0 it is all of them.
	Low, Width int
}

// Registers returns how many registers, or bits of a bit table, the value takes.
func (l Layout) Registers() int {
	switch {
	case l.Type.Name == "string":
		return l.Length
	case l.Type.Size == 0:
		return 1
	default:
		return l.Type.Size / 2
	}
}

// Check says what is wrong with the layout.
func (l Layout) Check() error {
	size := l.Type.Size
	if size == 0 {
		size = 2
	}
	for _, o := range orders[size] {
		if o == l.Order {
			return nil
		}
	}
	return fmt.Errorf("%q is not a byte order of %s; use %s", string(l.Order), l.Type.Name, joinOrders(orders[size]))
}

func joinOrders(orders []Order) string {
	names := make([]string, len(orders))
	for i, o := range orders {
		names[i] = string(o)
	}
	return strings.Join(names, ", ")
}

// Decode reads the value from its registers, as they came. A reason other than
// NoReason says why there is none. It does not allocate, except for a string.
func (l Layout) Decode(regs []byte) (gateway.Value, gateway.Reason) {
	switch {
	case len(regs) < 2*l.Registers():
		return gateway.Value{}, gateway.DeviceFault
	case l.Type.Name == "string":
		return gateway.Text(string(l.AppendText(nil, regs))), 0
	case l.Type.Size == 0:
		var word [2]byte
		l.arrange(word[:], regs)
		return gateway.Bool((uint16(word[0])<<8|uint16(word[1]))>>l.Bit&1 != 0), 0
	default:
		return l.Type.decode(l.Bits(regs))
	}
}

// Bits returns the value's bytes as one number, whatever the type makes of it.
func (l Layout) Bits(regs []byte) uint64 {
	var word [8]byte
	b := word[:l.Type.Size]
	l.arrange(b, regs)
	bits := uint64(0)
	for _, c := range b {
		bits = bits<<8 | uint64(c)
	}
	if l.Width > 0 {
		bits = bits >> l.Low & (1<<l.Width - 1)
	}
	return bits
}

// arrange puts the bytes most significant first.
func (l Layout) arrange(to, from []byte) {
	for i := range to {
		to[l.Order[i]-'A'] = from[i]
	}
}

// AppendText appends a string: up to the first NUL, without the spaces and
// control characters it is padded with, and only what is UTF-8.
func (l Layout) AppendText(b, regs []byte) []byte {
	start := len(b)
	for i := range 2 * l.Length {
		c := regs[i]
		if l.Order == "BA" {
			c = regs[i^1]
		}
		if c == 0 {
			break
		}
		b = append(b, c)
	}
	text := b[start:]
	for len(text) > 0 && text[len(text)-1] <= ' ' {
		text = text[:len(text)-1]
	}
	if utf8.Valid(text) {
		return b[:start+len(text)]
	}
	return append(b[:start], strings.ToValidUTF8(string(text), "\uFFFD")...)
}

// PutBits is the way back: it puts a value's bytes into registers. Around a value
// that is only some bits of them it puts zeros.
func (l Layout) PutBits(regs []byte, bits uint64) {
	if l.Width > 0 {
		bits = bits & (1<<l.Width - 1) << l.Low
	}
	for i := range l.Type.Size {
		shift := 8 * (l.Type.Size - 1 - int(l.Order[i]-'A'))
		regs[i] = byte(bits >> shift)
	}
}

// PutText puts a string into registers, padded with NUL.
func (l Layout) PutText(regs []byte, text string) {
	for i := range 2 * l.Length {
		to := i
		if l.Order == "BA" {
			to = i ^ 1
		}
		regs[to] = 0
		if i < len(text) {
			regs[to] = text[i]
		}
	}
}

// Bit reads bit i of the data of a bit table: the first is the least
// significant of the first byte (application protocol, 6.1).
func Bit(data []byte, i int) bool { return data[i/8]>>(i%8)&1 != 0 }

// PutBit sets it.
func PutBit(data []byte, i int, on bool) {
	if on {
		data[i/8] |= 1 << (i % 8)
	} else {
		data[i/8] &^= 1 << (i % 8)
	}
}
