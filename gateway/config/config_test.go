package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExamples loads what configs/ holds: only files that are missing on this
// machine may be spoken of.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		_, faults := Load(file)
		for _, f := range faults {
			if !f.Warning || !strings.Contains(f.Text, "no such file") {
				t.Error(f)
			}
		}
	}
}

const good = `
site = "pad-7"
[line.rs485]
protocol = "modbus-rtu"
serial = "/dev/ttyS9"
baud_rate = 9600
parity = "none"
[device.separator]
line = "rs485"
slave_id = 7
interval = "10s"
[device.separator.tag.pressure]
address = 100
type = "float32"
scale = 0.1
[uplink.scada]
servers = ["mqtt://localhost:1883"]
`

func TestDefaults(t *testing.T) {
	c, faults := Load(write(t, "site.toml", good))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	u := c.Uplinks["scada"]
	if u.ClientID != "gaugeway-pad-7" || u.Interval != 10*time.Second || u.Prefix != "gaugeway" || u.Liveness != 20*time.Minute {
		t.Errorf("uplink %+v", u)
	}
	if c.Buffer.CommitInterval != 5*time.Second || c.Buffer.MaxSize != 256e6 || c.Buffer.KeepDelivered != 7*24*time.Hour || c.Buffer.Directory != "/var/lib/gaugeway" {
		t.Errorf("buffer %+v", c.Buffer)
	}
	if c.Broker.Listeners["local"].Address != "127.0.0.1:1883" {
		t.Errorf("broker %+v", c.Broker)
	}
	if tag := c.Devices["separator"].Driver.TagOptions()["pressure"]; tag.Scale.String() != "0.1" {
		t.Errorf("tag %+v", tag)
	}
	again, _ := Load(write(t, "site.toml", good+"\n# a comment\n"))
	if c.Hash == "" || c.Hash != again.Hash {
		t.Errorf("hashes %q and %q", c.Hash, again.Hash)
	}
}

// TestAllFaultsAtOnce is the bad day: every fault is named, with line, key and remedy.
func TestAllFaultsAtOnce(t *testing.T) {
	file := write(t, "plant.toml", `sight = "x"
writes = "allowd"
clock = 5
[line.rs485]
protocol = "modbus-rtu"
serial = "/dev/ttyS9"
baud_rate = "fast"
parity = "none"
[line.other]
protocol = "modbus-rtuu"
serial = "/dev/ttyS8"
baud_rate = 9600
parity = "none"
[device.pump3]
line = "rs458"
slave_id = 300
interval = "5"
[device.pump3.tag.pressure]
address = 40001
type = "flaot32"
alarm_hihg = 95.0
[device."a b"]
line = "rs485"
[uplink.scada]
servers = ["scada.example.com"]
format = "compact"
data_plan = "50MB/month"
[buffer]
max_size = 256
[broker]
payload = "xml"
[web]
address = ""
`)
	_, faults := Load(file)
	got := strings.ReplaceAll(faults.Error(), file, "plant.toml")
	for _, want := range []string{
		`plant.toml:1: sight: is not a key; did you mean "site"?`,
		`plant.toml: site: is missing; write the name of this installation`,
		`plant.toml:2: writes: "allowd" is neither "never" nor "allowed"`,
		`plant.toml:3: clock: 5 is not a text; write it in quotes`,
		`plant.toml:7: line.rs485.baud_rate: "fast" is not a whole number in range`,
		`plant.toml:10: line.other.protocol: "modbus-rtuu" is not a protocol; did you mean "modbus-rtu"?`,
		`plant.toml:15: device.pump3.line: there is no line "rs458"; did you mean "rs485"?`,
		`plant.toml:16: device.pump3.slave_id: `,
		`plant.toml:17: device.pump3.interval: "5" is not a duration; write it like "5s"`,
		`plant.toml:19: device.pump3.tag.pressure.address: `,
		`plant.toml:20: device.pump3.tag.pressure.type: "flaot32" is not a type; did you mean "float32"?`,
		`plant.toml:21: device.pump3.tag.pressure.alarm_hihg: is not a key; did you mean "alarm_high"?`,
		`plant.toml:22: device.a b: name "a b" may have letters`,
		`plant.toml:25: uplink.scada.servers: "scada.example.com" is not a server`,
		`plant.toml:26: uplink.scada.format: "compact" is not in this version`,
		`plant.toml:27: uplink.scada.data_plan: is not in this version`,
		`plant.toml:29: buffer.max_size: 256 must be written in quotes`,
		`plant.toml:31: broker.payload: `,
		`plant.toml:32: web: is not in this version`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not told: %s", want)
		}
	}
	if !faults.Fatal() {
		t.Error("not fatal")
	}
	if strings.Contains(got, "interval: is missing") || strings.Contains(got, "baud_rate: is missing") {
		t.Error("what was refused is also called missing")
	}
	if t.Failed() {
		t.Logf("told:\n%s", got)
	}
}

const withProfile = `
site = "pad-7"
[profiles]
directory = "DIR"
[line.rs485]
protocol = "modbus-rtu"
serial = "/dev/ttyS9"
[device.wellhead]
line = "rs485"
slave_id = 1
interval = "1s"
profile = "keller-30x"
[device.wellhead.tag.pressure]
unit = "kPa"
scale = 100
deadband = 0.5
[device.wellhead.tag.temperature]
enabled = false
`

func TestAProfileStandsBelowWhatIsWritten(t *testing.T) {
	c, faults := Load(write(t, "p.toml", withProfile))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if l := c.Lines["rs485"]; l.BaudRate != 9600 || l.Parity != "none" {
		t.Errorf("line %+v", l.Options)
	}
	dev := c.Devices["wellhead"].Driver.(*modbus.DeviceOptions)
	p := dev.Tags["pressure"]
	if p.Address != int64(2) || p.Type != "float32" || p.Unit != "kPa" || p.Scale.String() != "100" || p.Deadband.String() != "0.5" || len(dev.TagOptions()) != 1 {
		t.Errorf("device %+v", dev)
	}
}

func TestFaultsOfProfiles(t *testing.T) {
	dir := t.TempDir()
	own := "[profile]\ntitle = \"t\"\nprotocol = \"modbus\"\nversion = 1\nsource = \"s\"\nverified = \"documentation\"\n[line]\nbaud_rate = 19200\nparity = \"even\"\n" +
		"[device.tag.flow]\naddress = 1\ntyp = \"uint16\"\n"
	if err := os.WriteFile(filepath.Join(dir, "own.toml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.toml"), []byte("[profile]\ntitel = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(withProfile, "DIR", dir, 1) + "[device.b]\nline = \"rs485\"\nslave_id = 2\ninterval = \"1s\"\nprofile = \"own\"\n" +
		"[device.c]\nline = \"rs485\"\nslave_id = 3\ninterval = \"1s\"\nprofile = \"kellr-30x\"\n"
	_, faults := Load(write(t, "p.toml", text))
	for _, want := range []string{
		`own.toml:12: device.b.tag.flow.typ: is not a key; did you mean "type"?`,
		`line.rs485.baud_rate: `, ` is 19200 in `, `write it on the line`,
		`device.c.profile: "kellr-30x" is not a profile; did you mean "keller-30x"?`,
		`warning: profiles.directory: profile `, `broken.toml: profile.titel is not a key of a profile`,
	} {
		if !strings.Contains(faults.Error(), want) {
			t.Errorf("not told: %s", want)
		}
	}
	if t.Failed() {
		t.Log(faults)
	}
}

func TestSyntaxErrorHasItsLine(t *testing.T) {
	file := write(t, "x.toml", "site = \"a\"\n[line x]\n")
	_, faults := Load(file)
	if len(faults) != 1 || faults[0].Line != 2 || !faults.Fatal() {
		t.Errorf("faults %v", faults)
	}
	if _, faults := Load(filepath.Join(t.TempDir(), "none.toml")); len(faults) != 1 || !strings.Contains(faults[0].Text, "no such file") {
		t.Errorf("faults %v", faults)
	}
}

func TestIncludeMergesAndRefusesTwice(t *testing.T) {
	file := write(t, "main.toml", `include = ["conf.d/*.toml"]`+good)
	dir := filepath.Join(filepath.Dir(file), "conf.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	add := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add("a.toml", "[device.separator.tag.level]\naddress = 7\ntype = \"uint16\"\n")
	c, faults := Load(file)
	if len(faults) > 0 || len(c.Devices["separator"].Driver.TagOptions()) != 2 {
		t.Fatalf("faults %v, device %+v", faults, c.Devices["separator"])
	}
	add("b.toml", "[device.separator]\nslave_id = 8\n")
	add("c.toml", "[device.separator.tag.level]\ntype = \"flaot32\"\n")
	_, faults = Load(file)
	got := faults.Error()
	if !strings.Contains(got, "b.toml:2: device.separator.slave_id: is given in "+file+":10 already") ||
		!strings.Contains(got, "c.toml:2: device.separator.tag.level.type: is given in ") {
		t.Errorf("told:\n%s", got)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GW_BAUD", "19200")
	t.Setenv("GW_SITE", "pad-9")
	text := strings.Replace(good, `"pad-7"`, `"${GW_SITE}"`, 1)
	text = strings.Replace(text, "baud_rate = 9600", `baud_rate = "${GW_BAUD}"`, 1)
	text = strings.Replace(text, `"mqtt://localhost:1883"`, `"mqtt://${GW_HOST_UNSET:-h}:1883"`, 1)
	c, faults := Load(write(t, "e.toml", text))
	if len(faults) > 0 || c.Site != "pad-9" || c.Lines["rs485"].BaudRate != 19200 || c.Uplinks["scada"].Servers[0] != "mqtt://h:1883" {
		t.Errorf("faults %v, config %+v", faults, c)
	}
	c, faults = Load(write(t, "e.toml", strings.Replace(good, "mqtt://localhost", "mqtt://x${GW_HOST_UNSET}", 1)))
	if len(faults) != 1 || !faults[0].Warning || faults.Fatal() || faults[0].Line != 17 || c.Uplinks["scada"].Servers[0] != "mqtt://x:1883" {
		t.Errorf("faults %v", faults)
	}
}

func TestTwoUplinksMustNotShareAClient(t *testing.T) {
	_, faults := Load(write(t, "u.toml", good+"[uplink.other]\nservers = [\"mqtt://localhost:1883\"]\n"))
	if !strings.Contains(faults.Error(), "is used by uplink other on mqtt://localhost:1883 too") {
		t.Errorf("faults %v", faults)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"5s": 5 * time.Second, "7d": 168 * time.Hour, "0.5d": 12 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s = %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "5", "-5s", "-1d", "xd", "99999999d"} {
		if got, err := ParseDuration(bad); err == nil {
			t.Errorf("%q = %v", bad, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(good)
	f.Add("[device.a.tag.b]\naddress = []\n[line]\nx = 1\n[[uplink]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		Load(write(t, "f.toml", text))
	})
}
