package text

import (
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// TestFaults has one mistake each; every one is named, with its key and what to
// write instead.
func TestFaults(t *testing.T) {
	const poll = "interval = \"1s\"\n[poll.p]\nsend = 'R\\r'\nframe = { end = '\\r' }\nmatch = '(?P<v>.*)'\n"
	const tag = "[tag.p]\nfield = \"v\"\n"
	replace := func(old, new string) string {
		if !strings.Contains(poll+tag, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(poll+tag, old, new, 1)
	}
	for _, c := range []struct{ device, key, text string }{
		{replace(`interval = "1s"`, ""), "tag.p.interval", "is missing"},
		{replace(`interval = "1s"`, `interval = "1ms"`), "interval", "not sensible"},
		{replace(`'R\r'`, `'R{addres}\r'`), "poll.p.send", `did you mean "address"?`},
		{replace(`'R\r'`, `'R{address}\r'`), "poll.p.send", "the device has none"},
		{"address = \"x\"\n" + replace(`'R\r'`, `'R{address:02d}\r'`), "poll.p.send", "needs a number"},
		{"address = \"300\"\n" + replace(`'R\r'`, `'{address:byte}\r'`), "poll.p.send", "one byte holds 0 to 255"},
		{replace(`'R\r'`, `'R\q'`), "poll.p.send", "no escape"},
		{replace(`'R\r'`, `'R{value}'`), "poll.p.send", "key write"},
		{replace("send = 'R\\r'\n", ""), "poll.p.send", "is missing"},
		{replace(`frame = { end = '\r' }`, ""), "poll.p.frame", "is missing"},
		{replace(`{ end = '\r' }`, `{ max = 10 }`), "poll.p.frame", "where a reply ends"},
		{replace(`{ end = '\r' }`, `{ end = '\r', length = 4 }`), "poll.p.frame.length", "already"},
		{replace(`{ end = '\r' }`, `{ end = [5] }`), "poll.p.frame.end", "no terminator"},
		{replace(`{ end = '\r' }`, `{ end = '\r', max = 100000 }`), "poll.p.frame.max", "1 to 4096"},
		{replace(`(?P<v>.*)`, `(?P<v>`), "poll.p.match", "is no pattern"},
		{replace(`(?P<v>.*)`, `{address}(?P<v>.*)`), "poll.p.match", "the device has none"},
		{replace(`field = "v"`, `field = "w"`), "tag.p.field", "named group"},
		{replace(`field = "v"`, ``), "tag.p.field", "0 are given"},
		{replace(`field = "v"`, `index = 0`), "tag.p.index", "split"},
		{replace(`field = "v"`, "field = \"v\"\ntype = \"flaot32\""), "tag.p.type", `did you mean "float32"?`},
		{replace(`field = "v"`, "at = 0"), "tag.p.type", "is missing"},
		{replace(`field = "v"`, "at = 0\ntype = \"float32\"\nbyte_order = \"ABC\""), "tag.p.byte_order", "not an order of 4 bytes"},
		{replace(`field = "v"`, "field = \"v\"\npoll = \"q\""), "tag.p.poll", "not a poll"},
		{replace(`field = "v"`, "field = \"v\"\nunit_field = \"v\""), "tag.p.unit", "is missing"},
		{replace(`field = "v"`, "field = \"v\"\nstatus_field = \"v\""), "tag.p.status_good", "is missing"},
		{replace(`field = "v"`, "field = \"v\"\nstatus_good = [\"0\"]"), "tag.p.status_field", "is missing"},
		{replace(`field = "v"`, "field = \"v\"\nwritable = true\nmin = 0\nmax = 1"), "tag.p.write", "is missing"},
		{replace(`field = "v"`, "field = \"v\"\nwrite = 'P{value}'"), "tag.p.writable", "is missing"},
		{replace(`field = "v"`, "field = \"v\"\nwrite = 'P'\nwritable = true\nmin = 0\nmax = 1"), "tag.p.write", "no {value}"},
		{"mode = \"lissen\"\n" + poll + tag, "mode", `did you mean "listen"?`},
		{"mode = \"listen\"\n" + poll + tag, "poll.p", "is heard, not asked"},
		{"mode = \"stream\"\n" + poll + tag, "init", "is missing"},
		{"checksum = { kind = \"sum8hex\" }\n" + poll + tag, "checksum.kind", `did you mean "sum8_hex"?`},
		{"checksum = { kind = \"sum8_hex\", over = \"body\" }\n" + poll + tag, "checksum.over", "between"},
		{"checksum = { after = '*' }\n" + poll + tag, "checksum.kind", "is missing"},
		{"retries = 99\n" + poll + tag, "retries", "0 to 10"},
		{"stale_after = \"5s\"\n" + poll + tag, "stale_after", "talks by itself"},
		{poll + "error_frame = { length = 5, at = 9, mask = 1 }\n" + tag, "poll.p.error_frame", "shorter"},
		{poll + "[poll.p.step.1]\nsend = 'R'\n" + tag, "poll.p.step", "remove send"},
		{poll + "split = { separator = ',' }\ncolumns = { width = 7 }\n" + tag, "poll.p.split", "one way"},
	} {
		faults := parse(t, c.device).Validate()
		found := false
		for _, f := range faults {
			found = found || f.Key == c.key && strings.Contains(f.Text, c.text)
		}
		if !found {
			t.Errorf("%s: %q is not told: %v\n%s", c.key, c.text, faults, c.device)
		}
	}
	if f := parse(t, poll+tag).Validate(); len(f) > 0 {
		t.Error(f)
	}
}

func TestListenersHaveTheirLine(t *testing.T) {
	o := Options{Line: "l", Devices: map[string]DeviceOptions{"a": parse(t, nmea), "b": parse(t, mensor)}}
	if f := o.Validate(); len(f) != 1 || f[0].Key != "device.a.mode" {
		t.Error(f)
	}
}

func TestTemplates(t *testing.T) {
	number := func(s string) gateway.Value {
		d, err := gateway.ParseDecimal(s)
		if err != nil {
			t.Fatal(err)
		}
		return gateway.Number(d)
	}
	for _, c := range []struct{ template, value, want string }{
		{`#{address:02X}\r`, "0", "#15\r"},
		{`#{address:02x}{address}{address:04d}`, "0", "#15210021"},
		{`{address:byte}\x30\\\{\}\t\e`, "0", "\x15\x30\\{}\t\x1b"},
		{`{value}`, "12.50", "12.5"},
		{`{value:+07.2f}`, "12.5", "+012.50"},
		{`{value:7.2f}`, "-12.5", " -12.50"},
		{`{value:.1f}`, "12.55", "error"},
		{`{value:d}`, "12.5", "error"},
		{`{value:X}`, "-1", "error"},
		{`{value:05d}`, "-12", "-0012"},
	} {
		p, err := parseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.render(filling{address: "21", value: number(c.value)})
		got := string(b)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s of %s is %q, want %q (%v)", c.template, c.value, got, c.want, err)
		}
	}
	if _, err := (template{{name: "address"}}).render(filling{address: "1\r*99P"}); err == nil {
		t.Error("an address ends the command")
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text     string
		notation notation
		want     string
	}{
		{"1013.2", notation{}, "1013.2"},
		{"  - 12.50 ", notation{}, "-12.5"},
		{"+.5", notation{}, "0.5"},
		{"1.5E+03", notation{}, "1500"},
		{"12,5", notation{comma: true}, "12.5"},
		{"12,5", notation{}, ""},
		{"1.013,2", notation{comma: true}, ""},
		{"00012345", notation{decimals: 3}, "12.345"},
		{"-0", notation{}, "0"},
		{"", notation{}, ""}, {"+", notation{}, ""}, {"-.", notation{}, ""}, {"1 2", notation{}, ""}, {"--1", notation{}, ""},
		{"12bar", notation{}, ""}, {"0x12", notation{}, ""}, {"nan", notation{}, ""}, {"1_0", notation{}, ""}, {"1e", notation{}, ""},
		{"123456789012345678901234567890", notation{}, ""},
		{strings.Repeat("1", 100), notation{}, ""},
	} {
		v, ok := c.notation.parse([]byte(c.text))
		got := ""
		if ok {
			got = v.String()
		}
		if got != c.want {
			t.Errorf("%q is %q, want %q", c.text, got, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	p, err := Plan(Options{Line: "l", Devices: map[string]DeviceOptions{"a": parse(t, mensor)}}, time.Millisecond)
	if err != nil || len(p.Requests) != 1 {
		t.Fatal(p, err)
	}
	if r := p.Requests[0]; r.Tags != 1 || r.Wire != 36*time.Millisecond || p.Use < 0.08 || p.Use > 0.1 {
		t.Errorf("%+v", p)
	}
}
