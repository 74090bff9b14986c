package modbus

import (
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

func ptr[T any](v T) *T { return &v }

func decimal(t testing.TB, s string) gateway.Decimal {
	t.Helper()
	d, err := gateway.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryFaultIsNamed(t *testing.T) {
	good := TagOptions{Address: 100, Type: "float32"}
	change := func(f func(*TagOptions)) TagOptions { o := good; f(&o); return o }
	modiconTag := func(address any, register string) DeviceOptions {
		return DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Addressing: "modicon",
			Tags: map[string]TagOptions{"p": {Address: address, Register: register, Type: "uint16"}}}
	}
	cases := []struct {
		name   string
		device DeviceOptions
		tag    *TagOptions // of a sound device
		key    string
		text   string // a part; "" means no fault
	}{
		{name: "sound", tag: &good},
		{name: "type", tag: ptr(change(func(o *TagOptions) { o.Type = "flaot32" })), key: "tag.p.type", text: `"flaot32" is not a type; did you mean "float32"?`},
		{name: "no type", tag: ptr(change(func(o *TagOptions) { o.Type = "" })), key: "tag.p.type", text: "is missing"},
		{name: "no address", tag: ptr(change(func(o *TagOptions) { o.Address = nil })), key: "tag.p.address", text: "is missing"},
		{name: "fraction", tag: ptr(change(func(o *TagOptions) { o.Address = 1.5 })), key: "tag.p.address", text: "whole number"},
		{name: "negative", tag: ptr(change(func(o *TagOptions) { o.Address = int64(-1) })), key: "tag.p.address", text: "0 to 65535"},
		{name: "beyond", tag: ptr(change(func(o *TagOptions) { o.Address = 65535 })), key: "tag.p.address", text: "beyond 65535"},
		{name: "40101", tag: ptr(change(func(o *TagOptions) { o.Address = 40101 })), key: "tag.p.address", text: `write register = "holding" and address = 100`},
		{name: "30001", tag: ptr(change(func(o *TagOptions) { o.Address = 30001 })), key: "tag.p.address", text: `register = "input" and address = 0`},
		{name: "400101", tag: ptr(change(func(o *TagOptions) { o.Address = "400101" })), key: "tag.p.address", text: `addressing = "modicon"`},
		{name: "register", tag: ptr(change(func(o *TagOptions) { o.Register = "holdng" })), key: "tag.p.register", text: `did you mean "holding"?`},
		{name: "order", tag: ptr(change(func(o *TagOptions) { o.ByteOrder = "ACBD" })), key: "tag.p.byte_order", text: "use ABCD, CDAB, BADC, DCBA"},
		{name: "order of 8", tag: ptr(change(func(o *TagOptions) { o.Type, o.ByteOrder = "int64", "CDAB" })), key: "tag.p.byte_order", text: "HGFEDCBA"},
		{name: "bit", tag: ptr(change(func(o *TagOptions) { o.Type = "bool" })), key: "tag.p.bit", text: "needs bit"},
		{name: "bit 16", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bit = "bool", ptr(16) })), key: "tag.p.bit", text: "0 to 15"},
		{name: "bit of float", tag: ptr(change(func(o *TagOptions) { o.Bit = ptr(1) })), key: "tag.p.bit", text: "remove it"},
		{name: "string", tag: ptr(change(func(o *TagOptions) { o.Type = "string" })), key: "tag.p.length", text: "needs length"},
		{name: "length of float", tag: ptr(change(func(o *TagOptions) { o.Length = 2 })), key: "tag.p.length", text: "only for strings"},
		{name: "coil float", tag: ptr(change(func(o *TagOptions) { o.Register = "coil" })), key: "tag.p.type", text: "always a bool"},
		{name: "scale", tag: ptr(change(func(o *TagOptions) { o.Scale = &gateway.Decimal{} })), key: "tag.p.scale", text: "0 would"},
		{name: "scaled bool", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bit, o.Scale = "bool", ptr(0), ptr(gateway.NewDecimal(1, -1)) })), key: "tag.p.scale", text: "cannot be scaled"},
		{name: "range", tag: ptr(change(func(o *TagOptions) { o.ValidRange = []gateway.Decimal{gateway.One, {}} })), key: "tag.p.valid_range", text: "write [0, 1]"},
		{name: "sentinel", tag: ptr(change(func(o *TagOptions) { o.Type, o.BadValues = "int16", []any{int64(65536)} })), key: "tag.p.bad_values", text: "can never be a int16"},
		{name: "class", tag: ptr(change(func(o *TagOptions) { o.Class = "alarm" })), key: "tag.p.class", text: "alarm_high"},
		{name: "class bulk", tag: ptr(change(func(o *TagOptions) { o.Class = "bulk" }))},
		{name: "no slave", device: DeviceOptions{Interval: time.Second}, key: "slave_id", text: "is missing"},
		{name: "two slaves", device: DeviceOptions{SlaveID: ptr(1), UnitID: ptr(2), Interval: time.Second}, key: "unit_id", text: "contradicts"},
		{name: "both the same", device: DeviceOptions{SlaveID: ptr(1), UnitID: ptr(1), Interval: time.Second}},
		{name: "slave 256", device: DeviceOptions{SlaveID: ptr(256), Interval: time.Second}, key: "slave_id", text: "1 to 247"},
		{name: "no interval", device: DeviceOptions{SlaveID: ptr(1), Tags: map[string]TagOptions{"p": good}}, key: "tag.p.interval", text: "is missing"},
		{name: "interval", device: DeviceOptions{SlaveID: ptr(1), Interval: time.Nanosecond}, key: "interval", text: "10ms"},
		{name: "addressing", device: DeviceOptions{SlaveID: ptr(1), Addressing: "modikon"}, key: "addressing", text: `did you mean "modicon"?`},
		{name: "max_registers", device: DeviceOptions{SlaveID: ptr(1), MaxRegisters: 126}, key: "max_registers", text: "1 to 125"},
		{name: "zero-based 40101", device: DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Addressing: "zero-based", Tags: map[string]TagOptions{"p": {Address: 40101, Type: "int16"}}}},
		{name: "modicon 40101", device: modiconTag("40101", "")},
		{name: "modicon 100", device: modiconTag(50000, ""), key: "tag.p.address", text: "is not a Modicon number"},
		{name: "modicon contradiction", device: modiconTag(40101, "input"), key: "tag.p.register", text: "contradicts"},
		{name: "hexadecimal", tag: ptr(change(func(o *TagOptions) { o.Address = "0x1F40" }))},
		{name: "hexadecimal beyond", tag: ptr(change(func(o *TagOptions) { o.Address = "0x1FFFF" })), key: "tag.p.address", text: "0 to 65535"},
		{name: "no number", tag: ptr(change(func(o *TagOptions) { o.Address = "0xZZ" })), key: "tag.p.address", text: "write a number"},
		{name: "bits", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits = "uint16", []int{4, 7} }))},
		{name: "one bit", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits = "uint32", []int{31, 31} }))},
		{name: "bits of a float", tag: ptr(change(func(o *TagOptions) { o.Bits = []int{4, 7} })), key: "tag.p.bits", text: "without a sign"},
		{name: "bits beyond", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits = "uint16", []int{4, 16} })), key: "tag.p.bits", text: "0 to 15"},
		{name: "bits turned round", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits = "uint16", []int{7, 4} })), key: "tag.p.bits", text: "the lowest and the highest"},
		{name: "three bits", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits = "uint16", []int{1, 2, 3} })), key: "tag.p.bits", text: "the lowest and the highest"},
		{name: "bits that cannot be", tag: ptr(change(func(o *TagOptions) { o.Type, o.Bits, o.BadValues = "uint16", []int{0, 99}, nil })), key: "tag.p.bits", text: "0 to 15"},
		{name: "register_size", device: DeviceOptions{SlaveID: ptr(1), RegisterSize: 64}, key: "register_size", text: "use 16 or 32"},
		{name: "address_offset", device: DeviceOptions{SlaveID: ptr(1), AddressOffset: 65536}, key: "address_offset", text: "-65535 to 65535"},
		{name: "address below 0", device: DeviceOptions{SlaveID: ptr(1), Interval: time.Second, AddressOffset: -1, Tags: map[string]TagOptions{"p": {Address: 0, Type: "int16"}}}, key: "tag.p.address", text: "is -1, which is no address"},
		{name: "address 1 of sheets", device: DeviceOptions{SlaveID: ptr(1), Interval: time.Second, AddressOffset: -1, Tags: map[string]TagOptions{"p": {Address: 65536 - 1, Type: "int32"}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := c.device
			if c.tag != nil {
				d = DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: map[string]TagOptions{"p": *c.tag}}
			}
			faults := d.Validate()
			if c.text == "" {
				if len(faults) > 0 {
					t.Errorf("%v, want none", faults)
				}
				return
			}
			if len(faults) != 1 || faults[0].Key != c.key || !strings.Contains(faults[0].Text, c.text) {
				t.Errorf("%v, want one: %s: …%s…", faults, c.key, c.text)
			}
		})
	}
}

func TestFaultsOfALine(t *testing.T) {
	o := Options{Line: "a b", Protocol: "modbus-asci", LineOptions: LineOptions{ResponseTimeout: time.Hour, Retries: ptr(99)},
		Devices: map[string]DeviceOptions{"x/y": {SlaveID: ptr(1), Interval: time.Second, Tags: map[string]TagOptions{"p": {Address: 1, Type: "int"}}}}}
	var keys []string
	for _, f := range o.Validate() {
		keys = append(keys, f.Key)
	}
	if got := strings.Join(keys, " "); got != "protocol response_timeout retries device.x/y.tag.p.type device.x/y" {
		t.Errorf("faults at %s", got)
	}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "device.x/y.tag.p.type") {
		t.Errorf("New: %v", err)
	}
	rtu := Options{Protocol: RTU, Devices: map[string]DeviceOptions{"a": {SlaveID: ptr(0), Interval: time.Second}}}
	if f := rtu.Validate(); len(f) != 1 || f[0].Key != "device.a.slave_id" {
		t.Errorf("broadcast address: %v", f)
	}
	rtu.Protocol = TCP
	if f := rtu.Validate(); len(f) != 0 {
		t.Errorf("unit 0 over TCP: %v", f)
	}
}

func TestModiconNumbers(t *testing.T) {
	for _, c := range []struct {
		address  any
		function wire.Function
		at       int
	}{
		{40001, wire.ReadHoldingRegisters, 0}, {"40101", wire.ReadHoldingRegisters, 100}, {int64(465536), wire.ReadHoldingRegisters, 65535},
		{"30001", wire.ReadInputRegisters, 0}, {300001, wire.ReadInputRegisters, 0}, {10017, wire.ReadDiscreteInputs, 16},
		{"00017", wire.ReadCoils, 16}, {17, wire.ReadCoils, 16}, {"000017", wire.ReadCoils, 16}, {"100017", wire.ReadDiscreteInputs, 16},
	} {
		typ := "bool"
		if !c.function.Bits() {
			typ = "uint16"
		}
		p, f := place(DeviceOptions{Addressing: "modicon"}, TagOptions{Address: c.address, Type: typ})
		if len(f) > 0 || p.function != c.function || p.address != c.at {
			t.Errorf("%v: %v %d %v, want %v %d", c.address, p.function, p.address, f, c.function, c.at)
		}
	}
}

func TestValuesOfATag(t *testing.T) {
	regs := []byte{0x42, 0xC8, 0x80, 0x00, 0xFF, 0xF6, 0x80, 0x00}
	f32 := TagOptions{Address: 10, Type: "float32"}
	i16 := TagOptions{Address: 12, Type: "int16"}
	u16 := TagOptions{Address: 13, Type: "uint16"}
	with := func(o TagOptions, f func(*TagOptions)) TagOptions { f(&o); return o }
	valid := func(low, high string) func(*TagOptions) {
		return func(o *TagOptions) { o.ValidRange = []gateway.Decimal{decimal(t, low), decimal(t, high)} }
	}
	scaled := func(scale, offset string) func(*TagOptions) {
		return func(o *TagOptions) { o.Scale, o.Offset = ptr(decimal(t, scale)), decimal(t, offset) }
	}
	bad := func(values ...any) func(*TagOptions) { return func(o *TagOptions) { o.BadValues = values } }
	cases := []struct {
		name string
		tag  TagOptions
		want string
	}{
		{"float32", f32, "100.25 good "},
		{"scaled float", with(f32, scaled("0.1", "1")), "11.025 good "},
		{"in range", with(f32, valid("0", "100.25")), "100.25 good "},
		{"above range", with(f32, valid("0", "100.24999")), "100.25 uncertain range"},
		{"below range", with(f32, valid("100.26", "200")), "100.25 uncertain range"},
		{"sentinel float", with(f32, bad(100.25)), "null bad sentinel"},
		{"other sentinel", with(f32, bad("nan", 100.26)), "100.25 good "},
		{"int16", i16, "-10 good "},
		{"scaled int", with(i16, scaled("0.1", "0")), "-1 good "},
		{"scaled int in range", with(with(i16, scaled("0.01", "-0.2")), valid("-0.3", "0")), "-0.3 good "},
		{"scaled int out of range", with(with(i16, scaled("0.01", "-0.2")), valid("-0.29999999", "0")), "-0.3 uncertain range"},
		{"negative sentinel", with(i16, bad(-10)), "null bad sentinel"},
		{"the same as bits", with(i16, bad(int64(65526))), "null bad sentinel"},
		{"uint16", u16, "32768 good "},
		{"32768", with(u16, bad(int64(32768))), "null bad sentinel"},
		{"0x8000", with(u16, bad("0x8000")), "null bad sentinel"},
		{"32768.0", with(u16, bad(32768.0)), "null bad sentinel"},
		{"bcd", TagOptions{Address: 13, Type: "bcd16"}, "8000 good "},
		{"bcd sentinel", TagOptions{Address: 13, Type: "bcd16", TagOptions: gateway.TagOptions{BadValues: []any{8000}}}, "null bad sentinel"},
		{"no bcd", TagOptions{Address: 12, Type: "bcd16"}, "null bad device"},
		{"no bcd, but a sentinel", TagOptions{Address: 12, Type: "bcd16", TagOptions: gateway.TagOptions{BadValues: []any{0xFFF6}}}, "null bad sentinel"},
		{"bit", TagOptions{Address: 13, Type: "bool", Bit: ptr(15)}, "true good "},
		{"text", TagOptions{Address: 10, Type: "string", Length: 1}, "B\uFFFD good "},
		{"text sentinel", TagOptions{Address: 10, Type: "string", Length: 1, TagOptions: gateway.TagOptions{BadValues: []any{"B\uFFFD"}}}, "null bad sentinel"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: map[string]TagOptions{"p": c.tag}}
			if f := d.Validate(); len(f) > 0 {
				t.Fatal(f)
			}
			var r gateway.Reading
			newTag("d", "p", d).read(&r, regs, 10)
			if got := r.Value.String() + " " + r.Quality.String() + " " + r.Reason.String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	tags := func(addresses ...int) map[string]TagOptions {
		m := make(map[string]TagOptions)
		for i, a := range addresses {
			m[string(rune('a'+i))] = TagOptions{Address: a, Type: "uint32"}
		}
		return m
	}
	cases := []struct {
		name   string
		device DeviceOptions
		want   string
	}{
		{"neighbours", DeviceOptions{Tags: tags(0, 2, 4)}, "0+6"},
		{"small gap", DeviceOptions{Tags: tags(0, 10)}, "0+12"},
		{"large gap", DeviceOptions{Tags: tags(0, 11)}, "0+2 11+2"},
		{"no gap allowed", DeviceOptions{MaxGap: ptr(0), Tags: tags(0, 2, 5)}, "0+4 5+2"},
		{"overlap", DeviceOptions{Tags: tags(0, 1)}, "0+3"},
		{"max_registers", DeviceOptions{MaxRegisters: 4, Tags: tags(0, 2, 4)}, "0+4 4+2"},
		{"end", DeviceOptions{Tags: tags(65534)}, "65534+2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.device.SlaveID, c.device.Interval = ptr(1), time.Second
			d, err := New(Options{Line: "l", Protocol: RTU, Devices: map[string]DeviceOptions{"d": c.device}, Now: func() gateway.Stamp { return gateway.Stamp{} }})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range d.sweeps[0].blocks {
				got = append(got, gateway.Int(int64(b.request.Address)).String()+"+"+gateway.Int(int64(b.request.Count)).String())
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
		})
	}
}

func TestTagsCarryWhatWasConfigured(t *testing.T) {
	d, err := New(Options{Line: "l", Protocol: TCP, Now: func() gateway.Stamp { return gateway.Stamp{} }, Devices: map[string]DeviceOptions{
		"sep": {UnitID: ptr(7), Interval: time.Second, Tags: map[string]TagOptions{
			"pressure": {Address: int64(100), Type: "int16", TagOptions: gateway.TagOptions{Unit: "bar", Scale: ptr(decimal(t, "0.1")), Offset: decimal(t, "-1")}},
			"off":      {Address: 1, Type: "int16", TagOptions: gateway.TagOptions{Enabled: ptr(false)}},
			"open":     {Address: 1, Register: "coil"},
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	tags := d.Tags()
	want := gateway.Tag{Device: "sep", Name: "pressure", Type: "int16", Unit: "bar", Scale: decimal(t, "0.1"), Offset: decimal(t, "-1")}
	if len(tags) != 2 || *tags[1] != want || tags[0].String() != "sep/open" || tags[0].Type != "bool" {
		t.Errorf("%+v", tags)
	}
	if s := d.String(); s != "modbus-tcp on line l" {
		t.Error(s)
	}
}
