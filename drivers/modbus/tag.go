package modbus

import (
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// tag is a configured tag, ready to be read.
type tag struct {
	placed
	tag   *gateway.Tag
	class gateway.Class
	slot  int // its place among the readings of its sweep

	bad        []sentinel
	conversion gateway.Conversion

	writable bool
	min, max gateway.Decimal

	text      []byte // of a string: scratch
	lastText  string // and what it was last, so that an unchanged string costs nothing
	lastValue gateway.Value
}

func newTag(device, name string, d DeviceOptions) *tag {
	o := d.Tags[name]
	p, _ := place(d, o)
	t := &tag{
		placed: p,
		tag: &gateway.Tag{
			Device: device, Name: name, Type: p.layout.Type.Name, Unit: o.Unit, Scale: o.ScaleOrOne(), Offset: o.Offset,
		},
	}
	t.class = o.ClassOf()
	t.bad, _ = sentinels(p.layout.Type, o.BadValues)
	t.conversion = gateway.NewConversion(o.TagOptions)
	if o.Writable {
		t.writable, t.min, t.max = true, *o.Min, *o.Max
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
	regs := t.at(data, start)
	if t.layout.Type.Name == "string" {
		t.readText(r, regs)
		return
	}
	raw, reason := t.layout.Decode(regs)
	if len(t.bad) > 0 {
		bits := t.layout.Bits(regs)
		for _, s := range t.bad {
			if s.matches(t.layout, bits, raw) {
				r.Fail(gateway.Sentinel)
				return
			}
		}
	}
	if reason != gateway.NoReason {
		r.Fail(reason)
		return
	}
	t.conversion.Apply(r, raw)
}

func (t *tag) readText(r *gateway.Reading, regs []byte) {
	t.text = t.layout.AppendText(t.text[:0], regs)
	if string(t.text) != t.lastText || t.lastValue.IsNone() {
		t.lastText = string(t.text)
		t.lastValue = gateway.Text(t.lastText)
	}
	for _, s := range t.bad {
		if s.text == t.lastText {
			r.Fail(gateway.Sentinel)
			return
		}
	}
	t.good(r, t.lastValue)
}

func (t *tag) good(r *gateway.Reading, v gateway.Value) {
	r.Value, r.Quality, r.Reason = v, gateway.Good, gateway.NoReason
}
