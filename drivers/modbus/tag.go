package modbus

import (
	"math"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// tag is a configured tag, ready to be read.
type tag struct {
	placed
	tag   *gateway.Tag
	class gateway.Class
	slot  int // its place among the readings of its sweep

	bad    []sentinel
	limits *limits

	scaled    bool
	text      []byte // of a string: scratch
	lastText  string // and what it was last, so that an unchanged string costs nothing
	lastValue gateway.Value
}

// limits is valid_range: exact, and as floats with the way from a raw number to
// the scaled one, which decides all but the closest cases without exact arithmetic.
type limits struct {
	low, high      gateway.Decimal
	lowF, highF    float64
	scaleF, shiftF float64
}

func newTag(device, name string, d DeviceOptions) *tag {
	o := d.Tags[name]
	p, _ := place(d, o)
	t := &tag{
		placed: p,
		tag: &gateway.Tag{
			Device: device, Name: name, Type: p.layout.Type.Name, Unit: o.Unit, Scale: o.scale(), Offset: o.Offset,
		},
	}
	t.class, _ = gateway.ParseClass(o.class())
	t.bad, _ = sentinels(p.layout.Type, o.BadValues)
	t.scaled = o.scale() != gateway.One || !o.Offset.IsZero()
	if len(o.ValidRange) == 2 {
		t.limits = &limits{
			low: o.ValidRange[0], high: o.ValidRange[1],
			lowF: o.ValidRange[0].Float64(), highF: o.ValidRange[1].Float64(),
			scaleF: o.scale().Float64(), shiftF: o.Offset.Float64(),
		}
	}
	return t
}

// read fills in the reading of a tag from the data of the block it lies in,
// which begins at the given address.
func (t *tag) read(r *gateway.Reading, data []byte, start int) {
	if t.function.Bits() {
		t.good(r, gateway.Bool(wire.Bit(data, t.address-start)))
		return
	}
	regs := data[2*(t.address-start):]
	if t.layout.Type.Name == "string" {
		t.readText(r, regs)
		return
	}
	raw, reason := t.layout.Decode(regs)
	if len(t.bad) > 0 {
		bits := t.layout.Bits(regs)
		for _, s := range t.bad {
			if s.matches(t.layout, bits, raw) {
				t.fail(r, gateway.Sentinel)
				return
			}
		}
	}
	if reason != gateway.NoReason {
		t.fail(r, reason)
		return
	}
	v := raw
	if t.scaled {
		v = raw.Scaled(t.tag.Scale, t.tag.Offset)
		if v.Kind() == gateway.KindFloat64 && !finite(v.Float64()) {
			t.fail(r, gateway.NaN)
			return
		}
	}
	t.good(r, v)
	if t.limits != nil && !t.limits.contain(raw, v) {
		r.Quality, r.Reason = gateway.Uncertain, gateway.Range
	}
}

func (t *tag) readText(r *gateway.Reading, regs []byte) {
	t.text = t.layout.AppendText(t.text[:0], regs)
	if string(t.text) != t.lastText || t.lastValue.IsNone() {
		t.lastText = string(t.text)
		t.lastValue = gateway.Text(t.lastText)
	}
	for _, s := range t.bad {
		if s.text == t.lastText {
			t.fail(r, gateway.Sentinel)
			return
		}
	}
	t.good(r, t.lastValue)
}

func (t *tag) good(r *gateway.Reading, v gateway.Value) {
	r.Value, r.Quality, r.Reason = v, gateway.Good, gateway.NoReason
}

// fail makes the reading one without a value: never an old one, never a zero.
func (t *tag) fail(r *gateway.Reading, why gateway.Reason) {
	r.Value, r.Quality, r.Reason = gateway.Value{}, gateway.Bad, why
}

// contain reports whether the scaled value lies inside. Floats decide where
// they can; within their own error of a limit, exact numbers do.
func (l *limits) contain(raw, scaled gateway.Value) bool {
	about := raw.Float64()*l.scaleF + l.shiftF
	const doubt = 1e-12 // well above the error of a product and a sum of float64
	margin := doubt * (math.Abs(about) + math.Abs(l.shiftF) + math.Abs(l.lowF) + math.Abs(l.highF))
	switch {
	case about > l.lowF+margin && about < l.highF-margin:
		return true
	case about < l.lowF-margin || about > l.highF+margin:
		return false
	}
	exact, err := gateway.ParseDecimal(scaled.String())
	if err != nil { // more digits than a decimal keeps
		f := scaled.Float64()
		return f >= l.lowF && f <= l.highF
	}
	return exact.Cmp(l.low) >= 0 && exact.Cmp(l.high) <= 0
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
