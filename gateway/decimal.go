package gateway

import (
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// Decimal is an exact decimal number: (-1)^neg × coef × 10^exp. The zero value
// is 0. Scales and offsets are decimals, so that 0.1 is exactly a tenth.
type Decimal struct {
	neg  bool
	exp  int8
	coef uint64
}

// One is the scale that changes nothing.
var One = Decimal{coef: 1}

// maxExponent bounds the exponents a Decimal may have; instruments stay far inside it.
const maxExponent = 60

// NewDecimal returns n × 10^exp, with exp within ±60.
func NewDecimal(n int64, exp int) Decimal {
	d := Decimal{neg: n < 0, coef: magnitude(n), exp: int8(exp)}
	return d.trim()
}

// ParseDecimal reads a number as written in a configuration: "0.1", "-40", "1e-3".
func ParseDecimal(s string) (Decimal, error) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil {
			return Decimal{}, fmt.Errorf("%q is not a decimal number", s)
		}
		mantissa, exponent = s[:i], e
	}
	mantissa, neg := strings.CutPrefix(mantissa, "-")
	if !neg {
		mantissa = strings.TrimPrefix(mantissa, "+")
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	for strings.HasSuffix(digits, "0") {
		digits, exponent = digits[:len(digits)-1], exponent+1
	}
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return Decimal{}, fmt.Errorf("%q is not a decimal number", s)
	}
	if digits == "" {
		return Decimal{}, nil
	}
	coef, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || exponent > maxExponent || exponent < -maxExponent {
		return Decimal{}, fmt.Errorf("%q has more digits than a decimal can keep", s)
	}
	return Decimal{neg: neg, coef: coef, exp: int8(exponent)}, nil
}

// IsZero reports whether d is 0.
func (d Decimal) IsZero() bool { return d.coef == 0 }

// exactPowers are the powers of ten that a float64 holds exactly.
var exactPowers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Float64 returns the float64 nearest to d.
func (d Decimal) Float64() float64 {
	// A quotient or product of two exact numbers is rounded once, so it is the nearest.
	if e := max(d.exp, -d.exp); d.coef < 1<<53 && int(e) < len(exactPowers) {
		f := float64(d.coef)
		if d.neg {
			f = -f
		}
		if d.exp < 0 {
			return f / exactPowers[e]
		}
		return f * exactPowers[e]
	}
	f, _ := strconv.ParseFloat(d.scientific(), 64)
	return f
}

// String returns d in plain notation: "12.34".
func (d Decimal) String() string { return string(d.appendTo(nil)) }

// Cmp returns -1, 0 or 1 as d is less than, equal to or greater than e.
func (d Decimal) Cmp(e Decimal) int { return d.big().Cmp(e.big()) }

// UnmarshalText reads what ParseDecimal reads.
func (d *Decimal) UnmarshalText(text []byte) error {
	p, err := ParseDecimal(string(text))
	*d = p
	return err
}

func (d Decimal) scientific() string {
	sign := ""
	if d.neg {
		sign = "-"
	}
	return sign + strconv.FormatUint(d.coef, 10) + "e" + strconv.Itoa(int(d.exp))
}

func (d Decimal) big() *big.Rat {
	r, _ := new(big.Rat).SetString(d.scientific())
	return r
}

// trim moves trailing zeros of the coefficient into the exponent, so that equal
// numbers are equal structs.
func (d Decimal) trim() Decimal {
	if d.coef == 0 {
		return Decimal{}
	}
	for d.coef%10 == 0 && d.exp < maxExponent {
		d.coef /= 10
		d.exp++
	}
	return d
}

func (d Decimal) appendTo(b []byte) []byte {
	if d.neg {
		b = append(b, '-')
	}
	var digits [20]byte
	coef := strconv.AppendUint(digits[:0], d.coef, 10)
	exp := int(d.exp)
	for exp < 0 && len(coef) > 1 && coef[len(coef)-1] == '0' {
		coef, exp = coef[:len(coef)-1], exp+1
	}
	switch point := len(coef) + exp; {
	case d.coef == 0:
		return append(b, '0')
	case exp >= 0:
		b = append(b, coef...)
		for range exp {
			b = append(b, '0')
		}
	case point > 0:
		b = append(b, coef[:point]...)
		b = append(b, '.')
		b = append(b, coef[point:]...)
	default:
		b = append(b, "0."...)
		for range -point {
			b = append(b, '0')
		}
		b = append(b, coef...)
	}
	return b
}

// mul returns d × e, and false where 64 bits cannot hold the exact product.
func (d Decimal) mul(e Decimal) (Decimal, bool) {
	hi, lo := bits.Mul64(d.coef, e.coef)
	exp := int(d.exp) + int(e.exp)
	if hi != 0 || exp > maxExponent || exp < -maxExponent {
		return Decimal{}, false
	}
	return Decimal{neg: d.neg != e.neg, coef: lo, exp: int8(exp)}, true
}

// add returns d + e at the finer of the two exponents, and false where 64 bits
// cannot hold the exact sum.
func (d Decimal) add(e Decimal) (Decimal, bool) {
	if e.coef == 0 {
		return d, true
	}
	if d.coef == 0 {
		return e, true
	}
	for d.exp > e.exp {
		hi, lo := bits.Mul64(d.coef, 10)
		if hi != 0 {
			return Decimal{}, false
		}
		d.coef, d.exp = lo, d.exp-1
	}
	if e.exp > d.exp {
		return e.add(d)
	}
	if d.neg == e.neg {
		sum, carry := bits.Add64(d.coef, e.coef, 0)
		return Decimal{neg: d.neg, coef: sum, exp: d.exp}, carry == 0
	}
	if d.coef < e.coef {
		d, e = e, d
	}
	d.coef -= e.coef
	if d.coef == 0 {
		d.neg = false
	}
	return d, true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
