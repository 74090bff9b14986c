package gateway

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says how a Value is kept. The numbers are on disk: never change one.
type Kind uint8

// The kinds of values.
const (
	KindNone    Kind = 0 // no value: the read failed
	KindBool    Kind = 1
	KindNumber  Kind = 2 // an integer or a decimal, exact
	KindFloat32 Kind = 3 // the bits as the instrument sent them
	KindFloat64 Kind = 4
	KindText    Kind = 5
	KindDigits  Kind = 6 // an exact decimal too long for KindNumber
	KindMessage Kind = 7 // what another client on the site published: topic and payload
)

// Value is one exact value. Two equal values are equal with ==, except that
// NaN bits compare as bits. The zero Value is "no value".
type Value struct {
	kind Kind
	neg  bool
	exp  int8
	bits uint64
	text string
}

// Bool returns the value of a coil, a discrete input or one bit.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, bits: 1}
	}
	return Value{kind: KindBool}
}

// Int returns an exact integer.
func Int(n int64) Value { return Value{kind: KindNumber, neg: n < 0, bits: magnitude(n)} }

// Uint returns an exact integer.
func Uint(n uint64) Value { return Value{kind: KindNumber, bits: n} }

// Number returns an exact decimal.
func Number(d Decimal) Value {
	return Value{kind: KindNumber, neg: d.neg, bits: d.coef, exp: d.exp}
}

// Float32 keeps the bits of f.
func Float32(f float32) Value { return Value{kind: KindFloat32, bits: uint64(math.Float32bits(f))} }

// Float64 keeps the bits of f.
func Float64(f float64) Value { return Value{kind: KindFloat64, bits: math.Float64bits(f)} }

// Text returns a string of the instrument.
func Text(s string) Value { return Value{kind: KindText, text: s} }

// Message returns what a client on the site published. An MQTT topic has no
// NUL ([MQTT-1.5.4-2]), so one parts it from the payload.
func Message(topic string, payload []byte) Value {
	var b strings.Builder
	b.Grow(len(topic) + 1 + len(payload))
	b.WriteString(topic)
	b.WriteByte(0)
	b.Write(payload)
	return Value{kind: KindMessage, text: b.String()}
}

// Kind says how the value is kept.
func (v Value) Kind() Kind { return v.kind }

// IsNone reports whether there is no value.
func (v Value) IsNone() bool { return v.kind == KindNone }

// Message returns the topic and the payload of a KindMessage.
func (v Value) Message() (topic, payload string) {
	topic, payload, _ = strings.Cut(v.text, "\x00")
	return topic, payload
}

// Decimal returns the number in a KindNumber, and 0 for every other kind.
func (v Value) Decimal() Decimal {
	if v.kind != KindNumber {
		return Decimal{}
	}
	return Decimal{neg: v.neg, coef: v.bits, exp: v.exp}
}

// decimal returns an exact number, and false for what is none or is too long.
func (v Value) decimal() (Decimal, bool) {
	switch v.kind {
	case KindNumber:
		return v.Decimal().trim(), true
	case KindDigits:
		d, err := ParseDecimal(v.text)
		return d, err == nil
	default:
		return Decimal{}, false
	}
}

// Float64 returns the float64 nearest to a number, 0 or 1 for a bool, and NaN
// for what is no number. It is for limits and pictures, never for what is sent.
func (v Value) Float64() float64 {
	switch v.kind {
	case KindBool:
		return float64(v.bits)
	case KindNumber:
		if v.exp == 0 && v.bits < 1<<53 {
			f := float64(v.bits)
			if v.neg {
				f = -f
			}
			return f
		}
		return v.Decimal().Float64()
	case KindFloat32:
		return float64(math.Float32frombits(uint32(v.bits)))
	case KindFloat64:
		return math.Float64frombits(v.bits)
	case KindDigits:
		f, _ := strconv.ParseFloat(v.text, 64)
		return f
	default:
		return math.NaN()
	}
}

// String returns the value as AppendJSON does, texts without quotes.
func (v Value) String() string {
	if v.kind == KindText {
		return v.text
	}
	return string(v.AppendJSON(nil))
}

// AppendJSON appends the value as JSON: a number with all its digits and none
// more, true or false, a string, or null where there is no value or a float is
// not finite.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(b, v.bits != 0)
	case KindNumber:
		return v.Decimal().appendTo(b)
	case KindFloat32:
		return appendFloat(b, float64(math.Float32frombits(uint32(v.bits))), 32)
	case KindFloat64:
		return appendFloat(b, math.Float64frombits(v.bits), 64)
	case KindText:
		return AppendJSONString(b, v.text)
	case KindDigits:
		return append(b, v.text...)
	default:
		return append(b, "null"...)
	}
}

// appendFloat writes the shortest number that reads back the same.
func appendFloat(b []byte, f float64, size int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, size)
}

// AppendJSONString appends s as a JSON string; bytes that are no UTF-8 become U+FFFD.
func AppendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

// Scaled returns v × scale + offset, exactly. A float is scaled as the decimal
// it prints as, so that 997.3 × 0.1 is 99.73 and no tail of binary digits, and
// comes back as a float64. What is no number comes back as it is.
func (v Value) Scaled(scale, offset Decimal) Value {
	if scale == One && offset.IsZero() {
		return v
	}
	switch v.kind {
	case KindNumber:
		if product, ok := v.Decimal().mul(scale); ok {
			if sum, ok := product.add(offset); ok {
				return Number(sum)
			}
		}
		return digits(exactly(v.Decimal().big(), scale, offset))
	case KindFloat32, KindFloat64:
		f := v.Float64()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v
		}
		r, _ := new(big.Rat).SetString(string(v.AppendJSON(nil)))
		scaled, _ := exactly(r, scale, offset).Float64()
		return Float64(scaled)
	default:
		return v
	}
}

func exactly(v *big.Rat, scale, offset Decimal) *big.Rat {
	v.Mul(v, scale.big())
	return v.Add(v, offset.big())
}

// digits keeps a decimal that 64 bits cannot hold. A product of decimals always
// ends within the digits of its factors' exponents.
func digits(r *big.Rat) Value {
	n, _ := r.FloatPrec()
	return Value{kind: KindDigits, text: r.FloatString(n)}
}

const flagNegative = 0x80

// leastBytes is what follows the head of each kind at least.
var leastBytes = [...]int{KindBool: 1, KindNumber: 2, KindFloat32: 4, KindFloat64: 8, KindText: 1, KindDigits: 1, KindMessage: 1}

var errTruncated = errors.New("value is cut short")

// AppendBinary appends the value in the form that DecodeValue reads. The form
// is on disk: it only ever grows by new kinds.
func (v Value) AppendBinary(b []byte) []byte {
	head := byte(v.kind)
	if v.neg {
		head |= flagNegative
	}
	b = append(b, head)
	switch v.kind {
	case KindBool:
		return append(b, byte(v.bits))
	case KindNumber:
		return binary.AppendUvarint(append(b, byte(v.exp)), v.bits)
	case KindFloat32:
		return binary.BigEndian.AppendUint32(b, uint32(v.bits))
	case KindFloat64:
		return binary.BigEndian.AppendUint64(b, v.bits)
	case KindText, KindDigits, KindMessage:
		return append(binary.AppendUvarint(b, uint64(len(v.text))), v.text...)
	default:
		return b
	}
}

// DecodeValue reads what AppendBinary wrote and returns what follows it.
// Texts are copied. Bytes that no AppendBinary writes are an error.
func DecodeValue(b []byte) (v Value, rest []byte, err error) {
	if len(b) == 0 {
		return Value{}, nil, errTruncated
	}
	v.kind, v.neg, b = Kind(b[0]&^flagNegative), b[0]&flagNegative != 0, b[1:]
	if v.neg && v.kind != KindNumber {
		return Value{}, nil, errors.New("value has a sign that its kind has not")
	}
	if int(v.kind) < len(leastBytes) && len(b) < leastBytes[v.kind] {
		return Value{}, nil, errTruncated
	}
	switch v.kind {
	case KindNone:
		return v, b, nil
	case KindBool:
		v.bits, b = uint64(b[0]&1), b[1:]
		return v, b, nil
	case KindNumber:
		v.exp = int8(b[0])
		n, size := binary.Uvarint(b[1:])
		if size <= 0 || v.exp > maxExponent || v.exp < -maxExponent {
			return Value{}, nil, errTruncated
		}
		v.bits = n
		return v, b[1+size:], nil
	case KindFloat32:
		v.bits = uint64(binary.BigEndian.Uint32(b))
		return v, b[4:], nil
	case KindFloat64:
		v.bits = binary.BigEndian.Uint64(b)
		return v, b[8:], nil
	case KindText, KindDigits, KindMessage:
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return Value{}, nil, errTruncated
		}
		v.text = string(b[size : size+int(n)])
		return v, b[size+int(n):], nil
	default:
		return Value{}, nil, errors.New("value of a kind this version does not know")
	}
}
