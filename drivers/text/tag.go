package text

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/gaugeway/gaugeway/gateway"
)

// tag is a configured tag, ready to be read.
type tag struct {
	name       string
	tag        *gateway.Tag
	class      gateway.Class
	parting    *parting
	place      place
	at         int     // of a binary value or a string; -1 where it stands in a text
	length     int     // of a string at a place
	layout     *layout // nil for a number or a string
	text       bool    // a string
	notation   notation
	null       []string
	bad        []sentinel
	unit       *place // where the instrument's unit stands; nil where nothing says
	beside     bool   // or it stands beside the value
	unitIs     []string
	status     *status
	conversion gateway.Conversion

	write      template
	writeMatch string
	min, max   *gateway.Decimal

	bits      []byte // scratch
	lastText  string // of a string, so that an unchanged one costs nothing
	lastValue gateway.Value
}

// status says where an instrument tells how it is, and what it says when all is well.
type status struct {
	place     place
	at        int // of a byte; -1 where it is a text
	mask      byte
	good      []string
	uncertain []string
}

// sentinel is one of bad_values.
type sentinel struct {
	text   string
	number gateway.Value // none if it is a text only
}

// read fills in the reading of a tag from what the replies said.
func (t *tag) read(r *gateway.Reading, c *catch) {
	raw, unit, ok := t.raw(c)
	if !ok {
		r.Fail(gateway.DeviceFault)
		return
	}
	if t.at < 0 && t.isNull(raw) {
		r.Fail(gateway.Sentinel)
		return
	}
	quality := t.status.quality(t.parting, c)
	switch {
	case quality == gateway.Bad:
		r.Fail(gateway.DeviceFault)
		return
	case !t.rightUnit(c, unit):
		r.Fail(gateway.WrongUnit)
		return
	}
	t.value(r, raw)
	if quality == gateway.Uncertain && r.Quality == gateway.Good {
		r.Quality, r.Reason = gateway.Uncertain, gateway.DeviceFault
	}
}

// raw returns the text of the value, or its bytes.
func (t *tag) raw(c *catch) (raw, unit []byte, ok bool) {
	if t.at < 0 {
		return t.parting.find(c, t.place)
	}
	size := t.length
	if t.layout != nil {
		size = t.layout.kind.size
	}
	if t.at+size > len(c.says) {
		return nil, nil, false
	}
	return c.says[t.at : t.at+size], nil, true
}

func (t *tag) isNull(raw []byte) bool {
	raw = trim(raw)
	for _, n := range t.null {
		if string(raw) == n {
			return true
		}
	}
	for _, s := range t.bad {
		if s.text != "" && string(raw) == s.text {
			return true
		}
	}
	return false
}

// rightUnit reports whether the instrument shows the unit that is configured, as
// far as it tells: one that was changed on the front panel makes every number wrong.
func (t *tag) rightUnit(c *catch, beside []byte) bool {
	shown := beside
	switch {
	case t.unit != nil:
		text, _, ok := t.parting.find(c, *t.unit)
		if !ok {
			return false
		}
		shown = text
	case !t.beside:
		return true
	}
	shown = trim(shown)
	for _, u := range t.unitIs {
		if string(shown) == u {
			return true
		}
	}
	return false
}

// quality says what the instrument thinks of its own value.
func (s *status) quality(p *parting, c *catch) gateway.Quality {
	if s == nil {
		return gateway.Good
	}
	var room [4]byte
	var text []byte
	if s.at >= 0 {
		if s.at >= len(c.says) {
			return gateway.Bad
		}
		text = strconv.AppendUint(room[:0], uint64(c.says[s.at]&s.mask), 10)
	} else {
		found, _, ok := p.find(c, s.place)
		if !ok {
			return gateway.Bad
		}
		text = trim(found)
	}
	switch {
	case among(s.good, text):
		return gateway.Good
	case among(s.uncertain, text):
		return gateway.Uncertain
	default:
		return gateway.Bad
	}
}

func among(words []string, text []byte) bool {
	for _, w := range words {
		if string(text) == w {
			return true
		}
	}
	return false
}

// value makes the reading of the text or the bytes of a value.
func (t *tag) value(r *gateway.Reading, raw []byte) {
	if t.text {
		t.readText(r, raw)
		return
	}
	v, ok := t.number(raw)
	if !ok {
		r.Fail(gateway.DeviceFault)
		return
	}
	for _, s := range t.bad {
		if s.equals(v) {
			r.Fail(gateway.Sentinel)
			return
		}
	}
	t.conversion.Apply(r, v)
}

// number reads the raw number; where text holds a binary type, its digits are
// hexadecimal.
func (t *tag) number(raw []byte) (gateway.Value, bool) {
	if t.layout == nil {
		return t.notation.parse(raw)
	}
	if t.at < 0 {
		var ok bool
		if t.bits, ok = parseHex(t.bits, trim(raw)); !ok || len(t.bits) != t.layout.kind.size {
			return gateway.Value{}, false
		}
		raw = t.bits
	}
	v := t.layout.decode(raw)
	if t.notation.decimals > 0 {
		v = v.Scaled(gateway.NewDecimal(1, -t.notation.decimals), gateway.Decimal{})
	}
	return v, true
}

func (s sentinel) equals(v gateway.Value) bool {
	switch {
	case s.number.IsNone():
		return false
	case v.Kind() == gateway.KindNumber:
		return v.Decimal().Cmp(s.number.Decimal()) == 0
	case v.Kind() == gateway.KindFloat32:
		return float32(v.Float64()) == float32(s.number.Float64()) // 9999.9 means the float32 nearest to it
	default:
		return v.Float64() == s.number.Float64()
	}
}

func (t *tag) readText(r *gateway.Reading, raw []byte) {
	raw = trim(raw)
	for len(raw) > 0 && raw[len(raw)-1] == 0 {
		raw = raw[:len(raw)-1]
	}
	if string(raw) != t.lastText || t.lastValue.IsNone() {
		t.lastText = string(raw)
		t.lastValue = gateway.Text(latin1(raw))
	}
	r.Value, r.Quality, r.Reason = t.lastValue, gateway.Good, gateway.NoReason
}

// newSentinels reads bad_values: numbers, and texts as the instrument writes them.
func newSentinels(o TagOptions, binary bool) ([]sentinel, error) {
	var all []sentinel
	for _, x := range o.BadValues {
		text, isText := x.(string)
		if !isText {
			b, err := json.Marshal(x)
			if err != nil {
				return nil, fmt.Errorf("%v is neither a number nor a text", x)
			}
			text = string(b)
		}
		d, err := gateway.ParseDecimal(text)
		switch {
		case err != nil && (binary || !isText):
			return nil, fmt.Errorf("%v can never be read here; write a number, before scale and offset", x)
		case isText && !binary:
			all = append(all, sentinel{text: text})
		default:
			all = append(all, sentinel{number: gateway.Number(d)})
		}
	}
	return all, nil
}

// newTag makes a tag of the options; what is wrong with them is in f.
func newTag(device, name string, d DeviceOptions, p *poll, f *gateway.Faults) *tag {
	o := d.Tags[name]
	t := &tag{name: name, class: o.ClassOf(), parting: &p.parting, at: -1, min: o.Min, max: o.Max}
	t.tag = &gateway.Tag{Device: device, Name: name, Type: o.Type, Unit: o.Unit, Scale: o.ScaleOrOne(), Offset: o.Offset}
	if o.Type == "" {
		t.tag.Type = typeNumber
	}
	t.conversion = gateway.NewConversion(o.TagOptions)
	t.null = d.Null
	t.locate(o, p, f)
	t.typed(o, f)
	t.watch(o, p, f)
	var err error
	if t.bad, err = newSentinels(o, t.at >= 0); err != nil {
		f.Add("bad_values", "%v", err)
	}
	t.writes(d, o, f)
	return t
}

// locate finds where the value stands.
func (t *tag) locate(o TagOptions, p *poll, f *gateway.Faults) {
	var given []string
	for _, g := range []struct {
		key string
		is  bool
	}{{"field", o.Field != ""}, {"column", o.Column != nil}, {"index", o.Index != nil}, {"key", o.Key != ""}, {"at", o.At != nil}} {
		if g.is {
			given = append(given, g.key)
		}
	}
	if len(given) != 1 {
		f.Add("field", "one of field, column, index, key and at says where the value stands, and %d are given", len(given))
		return
	}
	t.place.key = o.Key
	switch {
	case o.Field != "":
		t.place.field = o.Field
		p.mustHave(o.Field, "field", f)
	case o.At != nil:
		t.at = *o.At
		if t.at < 0 || t.at >= maxFrame {
			f.Add("at", "%d is not in a frame; count bytes from 0", t.at)
		}
	case o.Column != nil:
		t.place.index = *o.Column
	case o.Index != nil:
		t.place.index = *o.Index
	}
	if want, needs := ways[given[0]]; needs && !slices.Contains(want, p.parting.way) {
		f.Add(given[0], "is for a poll that has %s, and poll %s has not", wayTable[given[0]], p.name)
	}
	if t.place.index < 0 || t.place.index > maxFrame {
		f.Add(given[0], "counts from 0")
	}
}

// ways says which parting a key of a tag needs.
var ways = map[string][]way{"column": {byColumns}, "index": {bySplit}, "key": {byPairs, byGroups}}

var wayTable = map[string]string{"column": "columns", "index": "split", "key": "pairs or groups"}

// typed finds what the value is.
func (t *tag) typed(o TagOptions, f *gateway.Faults) {
	t.notation = notation{comma: o.DecimalComma, decimals: o.Decimals}
	if o.Decimals < 0 || o.Decimals > 15 {
		f.Add("decimals", "%d is not possible; use 0 to 15", o.Decimals)
		t.notation.decimals = 0
	}
	kind, binary := typeOf(o.Type)
	switch {
	case o.Type == typeString:
		t.text = true
		t.length = o.Length
		*f = append(*f, o.ValidateText(typeString)...)
	case binary:
		l, ok := newLayout(kind, o.ByteOrder)
		if !ok {
			f.Add("byte_order", "%q is not an order of %d bytes; write %s for the big end first", o.ByteOrder, kind.size, orderNames[:kind.size])
		}
		t.layout = &l
	case o.Type != "" && o.Type != typeNumber:
		f.Add("type", "%s", gateway.Unknown(o.Type, "a type", typeNames()))
	}
	if o.ByteOrder != "" && !binary {
		f.Add("byte_order", "is for binary types")
	}
	if t.at >= 0 && !binary && o.Type != typeString {
		f.Add("type", "is missing; at says that the value is binary, e.g. type = \"float32\"")
	}
	if o.Length != 0 && (t.at < 0 || !t.text) || t.at >= 0 && t.text && (o.Length < 1 || o.Length > maxFrame) {
		f.Add("length", "is how many bytes a string at a place has")
	}
}

// watch finds where the instrument tells its unit and how it is.
func (t *tag) watch(o TagOptions, p *poll, f *gateway.Faults) {
	t.unitIs, t.beside = o.UnitIs, p.parting.way == byGroups && p.parting.unit >= 0 && t.place.key != ""
	if len(t.unitIs) == 0 {
		t.unitIs = []string{o.Unit}
	}
	t.unit = optional(o.UnitField, o.UnitIndex, "unit", p, f)
	if (t.unit != nil || t.beside) && o.Unit == "" && len(o.UnitIs) == 0 {
		f.Add("unit", "is missing; the reply tells the instrument's unit, and it must be the one that is configured")
	}
	if len(o.UnitIs) > 0 && t.unit == nil && !t.beside {
		f.Add("unit_is", "needs unit_field or unit_index, where the reply tells its unit")
	}
	where := optional(o.StatusField, o.StatusIndex, "status", p, f)
	if where == nil && o.StatusAt == nil {
		if len(o.StatusGood) > 0 || len(o.StatusUncertain) > 0 || o.StatusMask != 0 {
			f.Add("status_field", "is missing, or status_index, or status_at: where the reply tells its status")
		}
		return
	}
	t.status = &status{at: -1, mask: 0xFF, good: o.StatusGood, uncertain: o.StatusUncertain}
	if where != nil {
		t.status.place = *where
	}
	if o.StatusAt != nil {
		t.status.at = *o.StatusAt
		if *o.StatusAt < 0 || *o.StatusAt >= maxFrame || where != nil {
			f.Add("status_at", "is a byte of the reply, from 0, where there is no other status")
		}
	}
	if o.StatusMask != 0 {
		t.status.mask = byte(o.StatusMask)
	}
	if len(o.StatusGood) == 0 {
		f.Add("status_good", "is missing; write what stands there when all is well, e.g. [\"0\"]")
	}
}

// optional is the place of a unit or a status, or nil.
func optional(name string, index *int, key string, p *poll, f *gateway.Faults) *place {
	switch {
	case name != "":
		p.mustHave(name, key+"_field", f)
		return &place{field: name}
	case index == nil:
		return nil
	case p.parting.way != bySplit || *index < 0:
		f.Add(key+"_index", "is for a poll that has split, and counts from 0")
	}
	return &place{index: *index}
}

// writes finds how the tag is set.
func (t *tag) writes(d DeviceOptions, o TagOptions, f *gateway.Faults) {
	switch {
	case o.Write == "" && o.Writable:
		f.Add("write", "is missing; write the command that sets it, with {value}")
	case o.Write != "" && !o.Writable:
		f.Add("writable", "is missing; write is for writable = true")
	case o.WriteMatch != "" && o.Write == "":
		f.Add("write_match", "is for a tag that has write")
	case o.Write != "" && d.listens():
		f.Add("write", "is not possible to an instrument that only talks; use mode = \"poll\"")
	}
	if o.Write == "" {
		return
	}
	var err error
	if t.write, err = parseTemplate(o.Write); err != nil {
		f.Add("write", "%v", err)
	} else if !t.write.has("value") {
		f.Add("write", "has no {value}")
	}
	t.writeMatch = o.WriteMatch
}
