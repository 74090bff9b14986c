package modbus

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// encode returns the bits that stand for a value of the tag in its instrument,
// and refuses one that is not between min and max or that they cannot hold exactly.
func (t *tag) encode(v gateway.Value) (uint64, error) {
	n, err := numberOf(v)
	if err != nil {
		return 0, err
	}
	if n.Cmp(t.min) < 0 || n.Cmp(t.max) > 0 {
		return 0, fmt.Errorf("%w: %s is not between %s and %s", ErrOutOfRange, n, t.min, t.max)
	}
	if t.layout.Type.Name == "bool" {
		if !n.IsZero() && n.Cmp(gateway.One) != 0 {
			return 0, fmt.Errorf("%w: %s is neither false nor true, which are 0 and 1", ErrOutOfRange, n)
		}
		return uint64(n.Float64()), nil
	}
	raw, ok := t.conversion.Raw(n)
	if !ok {
		return 0, fmt.Errorf("%w: no number in the instrument is exactly %s after scale and offset", ErrInexact, n)
	}
	if t.layout.Type.Float() {
		return floatBits(t.layout.Type, raw)
	}
	return wholeBits(t.layout.Type, raw)
}

// numberOf returns what is to be written as an exact number.
func numberOf(v gateway.Value) (gateway.Decimal, error) {
	switch v.Kind() {
	case gateway.KindBool:
		return gateway.NewDecimal(int64(v.Float64()), 0), nil
	case gateway.KindNumber:
		return v.Decimal(), nil
	case gateway.KindFloat32, gateway.KindFloat64, gateway.KindDigits:
		if d, err := gateway.ParseDecimal(v.String()); err == nil {
			return d, nil
		}
	}
	return gateway.Decimal{}, fmt.Errorf("%w: %s is not a number that can be written", ErrOutOfRange, v)
}

// floatBits takes the nearest float, if it is printed as the number that was
// asked for: nothing else would be read back.
func floatBits(t *wire.Type, raw gateway.Decimal) (uint64, error) {
	size := 8 * t.Size
	f, err := strconv.ParseFloat(raw.String(), size)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is more than a %s holds", ErrOutOfRange, raw, t.Name)
	}
	shown, err := gateway.ParseDecimal(strconv.FormatFloat(f, 'e', -1, size))
	if err != nil || shown.Cmp(raw) != 0 {
		return 0, fmt.Errorf("%w: a %s would hold %s instead of %s", ErrInexact, t.Name, strconv.FormatFloat(f, 'g', -1, size), raw)
	}
	if t.Size == 4 {
		return uint64(math.Float32bits(float32(f))), nil
	}
	return math.Float64bits(f), nil
}

func wholeBits(t *wire.Type, raw gateway.Decimal) (uint64, error) {
	n, ok := new(big.Int).SetString(raw.String(), 10)
	if !ok {
		return 0, fmt.Errorf("%w: a %s cannot hold %s, which is what stands in the instrument", ErrInexact, t.Name, raw)
	}
	low, high := rangeOf(t)
	if n.Cmp(low) < 0 || n.Cmp(high) > 0 {
		return 0, fmt.Errorf("%w: %s does not fit into a %s, which holds %s to %s", ErrOutOfRange, raw, t.Name, low, high)
	}
	if strings.HasPrefix(t.Name, "bcd") {
		bits, _ := strconv.ParseUint(n.String(), 16, 64) // its decimal digits, four bits each
		return bits, nil
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()) & mask(8*t.Size), nil
	}
	return n.Uint64(), nil
}

// rangeOf returns the least and the greatest number of a type.
func rangeOf(t *wire.Type) (low, high *big.Int) {
	one := big.NewInt(1)
	switch width := uint(8 * t.Size); {
	case strings.HasPrefix(t.Name, "bcd"):
		return new(big.Int), new(big.Int).Sub(new(big.Int).SetUint64(pow10(2*t.Size)), one)
	case strings.HasPrefix(t.Name, "int"):
		half := new(big.Int).Lsh(one, width-1)
		return new(big.Int).Neg(half), new(big.Int).Sub(half, one)
	default:
		return new(big.Int), new(big.Int).Sub(new(big.Int).Lsh(one, width), one)
	}
}
