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
			low: o.ValidRange[0], high: o.ValidRange[1],
			lowF: o.ValidRange[0].Float64(), highF: o.ValidRange[1].Float64(),
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
	low, high      Decimal
	lowF, highF    float64
	scaleF, shiftF float64
}

// contain reports whether the scaled value lies inside. Floats decide where
// they can; within their own error of a limit, exact numbers do.
func (l *limits) contain(raw, scaled Value) bool {
	about := raw.Float64()*l.scaleF + l.shiftF
	const doubt = 1e-12 // well above the error of a product and a sum of float64
	margin := doubt * (math.Abs(about) + math.Abs(l.shiftF) + math.Abs(l.lowF) + math.Abs(l.highF))
	switch {
	case about > l.lowF+margin && about < l.highF-margin:
		return true
	case about < l.lowF-margin || about > l.highF+margin:
		return false
	}
	exact, err := ParseDecimal(scaled.String())
	if err != nil { // more digits than a decimal keeps
		f := scaled.Float64()
		return f >= l.lowF && f <= l.highF
	}
	return exact.Cmp(l.low) >= 0 && exact.Cmp(l.high) <= 0
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
