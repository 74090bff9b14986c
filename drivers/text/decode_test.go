package text

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/gaugeway/gaugeway/gateway"
)

// parse reads a device as it stands below [device.x].
func parse(t testing.TB, text string) DeviceOptions {
	t.Helper()
	var o DeviceOptions
	if md, err := toml.Decode(text, &o); err != nil {
		t.Fatal(err)
	} else if left := md.Undecoded(); len(left) > 0 {
		t.Fatalf("unknown keys %v", left)
	}
	return o
}

// outcome writes a reading as the exchanges of profiles do.
func outcome(r gateway.Reading) string {
	if r.Quality == gateway.Good {
		return r.Value.String()
	}
	text := r.Quality.String() + " " + r.Reason.String()
	if r.Quality == gateway.Bad {
		return text
	}
	return r.Value.String() + " " + text
}

func outcomes(rs []gateway.Reading) string {
	m := make(map[string]string)
	for _, r := range rs {
		m[r.Tag.Name] = outcome(r)
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, name+"="+m[name])
	}
	return strings.Join(all, " ")
}

const mensor = `
address = "1"
interval = "1s"
[poll.p]
send = '#{address}?\r'
frame = { end = ['\r\n', '\r'] }
match = '{address} (?P<p>.*)'
[tag.p]
field = "p"
unit = "psi"
`

const dcon = `
address = "3"
interval = "1s"
checksum = { kind = "sum8_hex" }
error = '\?'
null = ["+9999", "-0000"]
[poll.all]
send = '#{address:02X}{checksum}\r'
frame = { end = '\r' }
match = '>(?P<data>.*)'
columns = { field = "data", width = 7 }
[tag.t0]
column = 0
[tag.t2]
column = 2
`

const nmea = `
mode = "listen"
interval = "1s"
frame = { start = '$', end = '\r\n' }
checksum = { kind = "xor_hex", after = '*' }
[poll.xdr]
match = '..XDR,(?P<body>.*)'
groups = { field = "body", separator = ",", size = 4, key = [0, 3], value = 1, unit = 2 }
[tag.p]
key = "P,BARO"
unit = "bar"
unit_is = ["B"]
[tag.t]
key = "C,AIR"
unit = "degC"
unit_is = ["C"]
`

const kellerBus = `
address = "1"
interval = "1s"
checksum = { kind = "crc16_be" }
frame = { length = 9 }
[init.1]
send = '{address:byte}\x30{checksum}'
frame = { length = 10 }
[poll.p1]
send = '{address:byte}\x49\x01{checksum}'
begins = '{address:byte}\x49'
error_frame = { length = 5, at = 1, mask = 0x80 }
[tag.p]
at = 2
type = "float32"
unit = "bar"
status_at = 6
status_good = ["0"]
`

const vaisala = `
address = "5"
interval = "1s"
[poll.all]
send = 'SEND {address}\r'
frame = { end = '\r\n' }
match = 'P= *(?P<p>[-+.*0-9]+) (?P<pu>\S+) T= *(?P<t>[-+.*0-9]+) (?P<tu>\S+).*'
[tag.p]
field = "p"
unit = "hPa"
unit_field = "pu"
bad_values = ["***"]
[tag.t]
field = "t"
unit = "degC"
unit_field = "tu"
unit_is = ["'C"]
`

const sdi12 = `
address = "0"
interval = "1m"
frame = { end = '\r\n' }
[poll.m]
[poll.m.step.1]
break = "12ms"
send = '{address}M3!'
match = '{address}(?P<wait>\d{3})(?P<n>\d)'
wait = "wait"
until = '{address}'
[poll.m.step.2]
send = '{address}D0!'
match = '{address}(?P<p>[-+][\d.]+)(?P<t>[-+][\d.]+)?'
[tag.p]
field = "p"
unit = "kPa"
[tag.t]
field = "t"
unit = "degC"
`

// body is a device whose one poll takes the whole line, for what is parted otherwise.
const line = `
interval = "1s"
[poll.p]
send = 'R\r'
frame = { end = '\r' }
`

var decodeCases = []struct {
	name, device, request, reply, want string
}{
	{"Mensor", mensor, `#1?\r`, `1 +14.503\r\n`, "p=14.503"},
	{"Mensor, spaces inside", mensor, "", `1 -  0.5000\r\n`, "p=-0.5"},
	{"Mensor, exponent", mensor, "", `1 1.2E-3\r`, "p=0.0012"},
	{"Mensor, another instrument", mensor, "", `2 14.503\r`, "error"},
	{"Mensor, nonsense", mensor, "", `1 14.5.3\r`, "p=bad device"},
	{"Mensor, two numbers", mensor, "", `1 14 53\r`, "p=bad device"},
	{"Mensor, cut off", mensor, "", `1 14.503`, "error"},
	{"Mensor, echo", mensor, `#1?\r`, `#1?\r1 14.503\r`, "p=14.503"},
	{"DCON", dcon, "#0386\\r", ">+025.40+026.10-000.5034\\r", "t0=25.4 t2=-0.5"},
	{"DCON, wrong checksum", dcon, "", ">+025.40+026.10-000.5000\\r", "error"},
	{"DCON, lower case", dcon, "", ">+025.40+026.10-000.5034\\r", "t0=25.4 t2=-0.5"},
	{"DCON, refused", dcon, "", "?03A2\\r", "t0=bad device t2=bad device"},
	{"NMEA", nmea, "", `$IIXDR,P,1.0132,B,BARO,C,24.5,C,AIR*1A\r\n`, "p=1.0132 t=24.5"},
	{"NMEA, cut off before", nmea, "", `$IIXDR,P,1.0$IIXDR,P,1.0132,B,BARO,C,24.5,C,AIR*1A\r\n`, "p=1.0132 t=24.5"},
	{"NMEA, wrong unit", nmea, "", `$IIXDR,P,101.32,P,BARO,C,24.5,C,AIR*08\r\n`, "p=bad unit t=24.5"},
	{"NMEA, one missing", nmea, "", `$IIXDR,C,24.5,C,AIR*`, "error"},
	{"Vaisala", vaisala, `SEND 5\r`, `P= 1013.2 hPa T= 31.1 'C RH= 38.3 %RH\r\n`, "p=1013.2 t=31.1"},
	{"Vaisala, no value", vaisala, "", `P=  *** hPa T= 31.1 'C\r\n`, "p=bad sentinel t=31.1"},
	{"Vaisala, unit changed", vaisala, "", `P= 14.69 psi T= 88.0 'F\r\n`, "p=bad unit t=bad unit"},
	{"SDI-12, measurement", sdi12, `0M3!`, `00052\r\n`, ""},
	{"SDI-12, data", sdi12, `0D0!`, `0+101.325-12.5\r\n`, "p=101.325 t=-12.5"},
	{"SDI-12, data, no request", sdi12, ``, `0+101.325-12.5\r\n`, "p=101.325 t=-12.5"},
	{"SDI-12, a checksum for one step", strings.Replace(sdi12, "send = '{address}D0!'", "send = '{address}D0!'\nchecksum = { kind = \"sdi12\" }", 1) + "enabled = false", "", `0+3.14OqZ\r\n`, "p=3.14"},
	{"pairs", line + "pairs = { separator = ';' }\n[tag.p]\nkey = \"P\"\ndecimal_comma = true", "", `T=1;P= 12,5;X\r`, "p=12.5"},
	{"pairs, none", line + "pairs = { separator = ';' }\n[tag.p]\nkey = \"P\"", "", `T=1;PP=12\r`, "p=bad device"},
	{"split", line + "split = { separator = ',' }\n[tag.p]\nindex = 1\nunit = \"bar\"\nunit_index = 2\nstatus_index = 3\nstatus_good = [\"0\"]\nstatus_uncertain = [\"1\"]", "", `a,5,bar,1\r`, "p=5 uncertain device"},
	{"split, faulty", line + "split = { separator = ',' }\n[tag.p]\nindex = 1\nstatus_index = 2\nstatus_good = [\"0\"]", "", `a,5,7\r`, "p=bad device"},
	{"implied decimals and scale", line + "split = { separator = ',' }\n[tag.p]\nindex = 0\ndecimals = 2\nscale = \"0.1\"", "", `-01234\r`, "p=-1.234"},
	{"hexadecimal", line + "split = { separator = ',' }\n[tag.p]\nindex = 0\ntype = \"int16\"\n[tag.q]\nindex = 1\ntype = \"float32\"\n[tag.r]\nindex = 0\ntype = \"int16\"\nbad_values = [-12345]", "", `CFC7,C2F6E666\r`, "p=-12345 q=-123.45 r=bad sentinel"},
	{"hexadecimal, not all", line + "split = { separator = ',' }\n[tag.p]\nindex = 0\ntype = \"int16\"", "", `CFC\r`, "p=bad device"},
	{"string", line + "match = 'ID (?P<id>.*)'\n[tag.p]\nfield = \"id\"\ntype = \"string\"", "", `ID PTB 330 \r`, "p=PTB 330"},
	{"range", line + "match = '(?P<v>.*)'\n[tag.p]\nfield = \"v\"\nvalid_range = [0, 10]", "", `10.01\r`, "p=10.01 uncertain range"},
	{"numeric sentinel", line + "match = '(?P<v>.*)'\n[tag.p]\nfield = \"v\"\nbad_values = [9999]", "", `+9999.0\r`, "p=bad sentinel"},
}

func TestDecode(t *testing.T) {
	for _, c := range decodeCases {
		t.Run(c.name, func(t *testing.T) {
			o := parse(t, c.device)
			if f := o.Validate(); len(f) > 0 {
				t.Fatal(f)
			}
			request, err1 := Unescape(c.request)
			reply, err2 := Unescape(c.reply)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			readings, err := Decode(o, "", request, reply)
			got := outcomes(readings)
			if err != nil {
				got = "error"
			}
			if got != c.want {
				t.Errorf("%s, want %s (%v)", got, c.want, err)
			}
		})
	}
}

func TestDecodeBinary(t *testing.T) {
	o := parse(t, kellerBus)
	if f := o.Validate(); len(f) > 0 {
		t.Fatal(f)
	}
	crc := func(b ...byte) []byte { c := crc16(b, 0xFFFF); return append(b, byte(c>>8), byte(c)) }
	for _, c := range []struct {
		name  string
		reply []byte
		want  string
	}{
		{"value", crc(1, 73, 0x3F, 0x80, 0, 0, 0), "p=1"},
		{"status", crc(1, 73, 0x3F, 0x80, 0, 0, 2), "p=bad device"},
		{"not a number", crc(1, 73, 0x7F, 0xC0, 0, 0, 0), "p=bad nan"},
		{"refused", crc(1, 73|0x80, 2), "p=bad device"},
		{"noise before", append([]byte{0, 1, 73, 9}, crc(1, 73, 0x3F, 0x80, 0, 0, 0)...), "p=1"},
		{"another address", crc(2, 73, 0x3F, 0x80, 0, 0, 0), "error"},
		{"damaged", []byte{1, 73, 0x3F, 0x80, 0, 0, 0, 1, 2}, "error"},
		{"echo", append(crc(1, 73, 1), crc(1, 73, 0x3F, 0x80, 0, 0, 0)...), "p=1"},
	} {
		readings, err := Decode(o, "", crc(1, 73, 1), c.reply)
		got := outcomes(readings)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%v)", c.name, got, c.want, err)
		}
	}
}

// TestFlippedBits: a protected reply with one wrong bit is the same value or none.
func TestFlippedBits(t *testing.T) {
	crc := crc16([]byte{1, 73, 0x3F, 0x80, 0, 0, 0}, 0xFFFF)
	for _, c := range []struct{ device, reply, want string }{
		{dcon, ">+025.40+026.10-000.5034\r", "t0=25.4 t2=-0.5"},
		{nmea, "$IIXDR,P,1.0132,B,BARO,C,24.5,C,AIR*1A\r\n", "p=1.0132 t=24.5"},
		{kellerBus, string([]byte{1, 73, 0x3F, 0x80, 0, 0, 0, byte(crc >> 8), byte(crc)}), "p=1"},
		{strings.Replace(sdi12, "send = '{address}D0!'", "send = '{address}D0!'\nchecksum = { kind = \"sdi12\" }", 1) + "enabled = false", "0+3.14OqZ\r\n", "p=3.14"},
	} {
		o := parse(t, c.device)
		for bit := range 8 * len(c.reply) {
			b := []byte(c.reply)
			b[bit/8] ^= 1 << (bit % 8)
			readings, err := Decode(o, "", nil, b)
			if got := outcomes(readings); err == nil && got != c.want && !strings.Contains(got, "bad device") {
				t.Errorf("%q reads %s, and %q was sent", b, got, c.reply)
			}
		}
	}
}
