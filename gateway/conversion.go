package gateway

import "math"

// Conversion turns a number as it stands in an instrument into a reading: scale
// and offset, exactly, then the valid range.
type Conversion struct {
	scale, offset Decimal
	scaled        bool
	limits        *limits
}

// NewConversion returns the conversion of a tag.
func NewConversion(o TagOptions) Conversion {
	c := Conversion{scale: o.ScaleOrOne(), offset: o.Offset}
	c.scaled = c.scale != One || !c.offset.IsZero()
	if len(o.ValidRange) == 2 {
		c.limits = &limits{
			low: newLimit(o.ValidRange[0]), high: newLimit(o.ValidRange[1]),
			scaleF: c.scale.Float64(), shiftF: o.Offset.Float64(),
		}
	}
	return c
}

// Apply fills in value, quality and reason from the raw number. What is no
// number is taken as it is. It does not allocate where the numbers fit.
func (c *Conversion) Apply(r *Reading, raw Value) {
	v := raw
	if c.scaled {
		v = raw.Scaled(c.scale, c.offset)
	}
	if k := v.Kind(); (k == KindFloat32 || k == KindFloat64) && !finite(v.Float64()) {
		r.Fail(NaN)
		return
	}
	r.Value, r.Quality, r.Reason = v, Good, NoReason
	if c.limits != nil && !c.limits.contain(raw, v) {
		r.Quality, r.Reason = Uncertain, Range
	}
}

// Raw is the way back, for what is written to an instrument. ok is false where
// no number of the instrument stands for d exactly, as with a scale of 3.
func (c *Conversion) Raw(d Decimal) (raw Decimal, ok bool) {
	if !c.scaled {
		return d, true
	}
	q := d.big()
	q.Sub(q, c.offset.big())
	q.Quo(q, c.scale.big())
	n, exact := q.FloatPrec()
	if !exact {
		return Decimal{}, false
	}
	raw, err := ParseDecimal(q.FloatString(n))
	return raw, err == nil
}

// Fail makes the reading one without a value: never an old one, never a zero.
func (r *Reading) Fail(why Reason) {
	r.Value, r.Quality, r.Reason = Value{}, Bad, why
}

// limits is valid_range: exact, and as floats with the way from a raw number to
// the scaled one, which decides all but the closest cases without exact arithmetic.
type limits struct {
	low, high      limit
	scaleF, shiftF float64
}

// doubt is well above the relative error of a product and a sum of float64.
const doubt = 1e-12

// contain reports whether the scaled value lies inside. Floats decide where
// they can; within their own error of a limit, exact numbers do.
func (l *limits) contain(raw, scaled Value) bool {
	about := raw.Float64()*l.scaleF + l.shiftF
	margin := doubt * (math.Abs(about) + math.Abs(l.shiftF))
	return l.low.compare(about, margin, scaled) >= 0 && l.high.compare(about, margin, scaled) <= 0
}

// limit is a number that values are compared with.
type limit struct {
	exact Decimal
	f     float64
}

func newLimit(d Decimal) limit { return limit{exact: d, f: d.Float64()} }

// cmp returns -1, 0 or 1 as the number v, as it is printed, is less than, equal
// to or greater than the limit: 96.1 of a float32 is 96.1, whatever its bits.
func (l limit) cmp(v Value) int {
	f := v.Float64()
	return l.compare(f, doubt*math.Abs(f), v)
}

// compare compares v, of which it is known that it is about so much.
func (l limit) compare(about, margin float64, v Value) int {
	if v.kind == KindFloat32 {
		margin += math.Abs(about) * 1e-6 // its printed form may be so far from its bits
	}
	margin += doubt * math.Abs(l.f)
	switch {
	case about > l.f+margin:
		return 1
	case about < l.f-margin:
		return -1
	case v.kind == KindBool: // 0 or 1
		return Decimal{coef: v.bits}.Cmp(l.exact)
	}
	exact, err := ParseDecimal(v.String())
	if err == nil {
		return exact.Cmp(l.exact)
	}
	switch f := v.Float64(); { // more digits than a decimal keeps
	case f > l.f:
		return 1
	case f < l.f:
		return -1
	default:
		return 0
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
