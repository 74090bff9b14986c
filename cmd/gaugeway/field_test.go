package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// plantText is a line with one instrument of a profile, and how it is played.
func plantText(port string) string {
	return fmt.Sprintf(`
writes = "allowed"
[line.rs485]
protocol = "modbus-rtu"
serial = %[1]q
[device.wellhead]
line = "rs485"
slave_id = 1
interval = "100ms"
profile = "keller-30x"
[device.wellhead.tag.pressure]
alarm_high = 26
alarm_low = 24
alarm_hysteresis = 0.2
deadband = 1000
[simulate.line.rs485]
path = %[1]q
paced = false
[simulate.device.wellhead.tag.pressure]
mean = 25
amplitude = 3
period = "2s"
`, port)
}

// played is a box whose instruments gaugeway simulate plays.
func played(t *testing.T, text func(port string) string, more string) (b *box, port string) {
	t.Helper()
	port = filepath.Join(t.TempDir(), "port")
	b = newBox(t, text(port)+more)
	gaugeway(t, "simulate", b.config).says("playing")
	b.start()
	return b, port
}

func TestForeignAlarmsReachSiteAndServer(t *testing.T) {
	r := newRemote(t)
	a := r.collect()
	b, _ := played(t, plantText, fmt.Sprintf("[uplink.scada]\nservers = [%q]\nbatch_interval = \"1s\"\n", r.url()))
	alarm := func(state string) func() bool {
		return func() bool {
			return a.find(func(r map[string]any) bool { return r["alarm"] == state && r["tag"] == "pressure" }) >= 2
		}
	}
	for _, state := range []string{"high", "low", "clear"} {
		eventually(t, state+" arrives twice", alarm(state))
	}
	var on struct {
		State, Since, Unit string
		Value, Limit       json.Number
	}
	payload := b.onSite("pad-7/wellhead/pressure/_alarm", 1)["pad-7/wellhead/pressure/_alarm"]
	retained, text, _ := strings.Cut(payload, "\t")
	if err := json.Unmarshal([]byte(text), &on); err != nil || retained != "1" || on.State == "" || on.Since == "" || on.Unit != "bar" {
		t.Errorf("_alarm is %q: %v", payload, err)
	}
	ordinary := a.find(func(r map[string]any) bool { return r["alarm"] == nil && r["tag"] == "pressure" })
	if ordinary != 1 {
		t.Errorf("%d ordinary readings of a tag with a deadband that it never leaves went up, want the first", ordinary)
	}
	if n := a.find(func(r map[string]any) bool { return r["tag"] == "temperature" }); n < 5 {
		t.Errorf("%d readings of a tag without a deadband went up", n)
	}
	b.running.end(syscall.SIGTERM)
	eventually(t, "everything has arrived", func() bool { return a.holes() == 0 })
	a.wellFormed()
}

func TestForeignHold(t *testing.T) {
	b, _ := played(t, plantText, "")
	eventually(t, "an alarm", func() bool {
		s, err := b.status()
		return err == nil && len(s.Devices["wellhead"].Alarms) > 0
	})
	if out := command(t, 0, "hold", "wellhead", "--for", "1h", "-c", b.config); !strings.Contains(out, "wellhead is held for 1h0m0s") {
		t.Error(out)
	}
	const topic = "pad-7/wellhead/pressure"
	eventually(t, "readings are uncertain", func() bool {
		return strings.Contains(b.onSite(topic, 1)[topic], `"quality":"uncertain","reason":"maintenance"`)
	})
	if s, err := b.status(); err != nil || s.Devices["wellhead"].Held.IsZero() {
		t.Errorf("%+v, %v", s.Devices["wellhead"], err)
	}
	b.restart() // a power cut does not end maintenance
	eventually(t, "readings are uncertain again", func() bool {
		return strings.Contains(b.onSite(topic, 1)[topic], `"quality":"uncertain","reason":"maintenance"`)
	})
	command(t, 0, "hold", "wellhead", "--for", "0s", "-c", b.config)
	b.onSite(topic+"/_alarm", 1) // alarms again: there was none since the start
	if out := command(t, 1, "hold", "welhead", "-c", b.config); !strings.Contains(out, `"welhead" is not a device; did you mean "wellhead"?`) {
		t.Error(out)
	}
}

// TestForeignToolsThroughTheGateway has people look at a line that is in use.
func TestForeignToolsThroughTheGateway(t *testing.T) {
	b, port := played(t, plantText, "")
	out := command(t, 0, "read", "wellhead/pressure", "-c", b.config)
	for _, want := range []string{"wellhead/pressure", "bar", "good", "01 03 00 02 00 02 65 CB", "01 03 04 "} {
		if !strings.Contains(out, want) {
			t.Errorf("read lacks %q:\n%s", want, out)
		}
	}
	out = command(t, 0, "read", "--serial", port, "holding:2:float32", "-c", b.config) // a port that the gateway has
	if !strings.Contains(out, "instrument/holding-2") || !strings.Contains(out, "good") {
		t.Errorf("read --serial:\n%s", out)
	}
	trace := gaugeway(t, "trace", "rs485", "-c", b.config)
	trace.says("→ 01 03 00 02 00 08")
	trace.says("← 01 03 10")
	trace.end(syscall.SIGINT)
	if code := trace.exit(); code != 0 {
		t.Errorf("a trace that Ctrl-C ends exits with %d", code)
	}
	for _, where := range []string{"rs485", port} {
		out := command(t, 0, "scan", where, "--ids", "1-2", "--baud", "9600", "--parity", "none", "--expect", "20..30 bar", "-c", b.config)
		if !strings.Contains(out, "modbus-rtu 9600 8N1 unit 1: ") || !strings.Contains(out, "perhaps holding 2 float32 ABCD = ") {
			t.Errorf("scan %s:\n%s", where, out)
		}
	}
	b.running.says(`msg="line returned"`)
	eventually(t, "good readings again", func() bool {
		return strings.Contains(b.onSite("pad-7/wellhead/pressure", 1)["pad-7/wellhead/pressure"], `"quality":"good"`)
	})
}

func TestForeignWritesFromSite(t *testing.T) {
	port := fmt.Sprint(freePort(t))
	slave(t, "tcp", port)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, fmt.Sprintf(`
writes = "allowed"
[line.plc]
protocol = "modbus-tcp"
address = "127.0.0.1:%s"
[device.plc]
line = "plc"
slave_id = 1
interval = "1s"
[device.plc.tag.setpoint]
address = 300
type = "uint16"
scale = 0.1
writable = true
min = 0
max = 100
[device.plc.tag.measured]
address = 300
type = "uint16"
[broker.user.hmi]
password_hash = "%s"
publish = ["pad-7/#"]
subscribe = ["#"]
`, port, hash))
	b.start()
	b.onSite("pad-7/plc/setpoint", 1)
	results := start(t, nil, foreign(t, "mosquitto_sub"), "-p", fmt.Sprint(b.port), "-t", "pad-7/plc/+/set/result", "-t", "pad-7/plc/setpoint", "-v")
	results.says("pad-7/plc/setpoint {")
	set := func(tag, value string, login ...string) {
		t.Helper()
		args := append([]string{"-p", fmt.Sprint(b.port), "-q", "1", "-t", "pad-7/plc/" + tag + "/set", "-m", value}, login...)
		if out, err := exec.Command(foreign(t, "mosquitto_pub"), args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	hmi := []string{"-u", "hmi", "-P", "secret", "-i", "panel"}
	set("setpoint", "42.5", hmi...)
	if line := results.says(`"asked":"42.5"`); !strings.Contains(line, `"ok":true`) || !strings.Contains(line, `"value":42.5`) || !strings.Contains(line, `"by":"hmi as panel"`) {
		t.Error(line)
	}
	out, err := exec.Command(foreign(t, "mbpoll"), "-m", "tcp", "-p", port, "-a", "1", "-0", "-r", "300", "-t", "4", "-1", "127.0.0.1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "425") {
		t.Errorf("mbpoll does not see 425: %v\n%s", err, out)
	}
	for _, c := range []struct{ tag, value, want string }{
		{"setpoint", "100.1", "out of range"}, {"setpoint", "7.77", "exact"}, {"setpoint", "lots", "is no value"},
		{"measured", "1", "writable"}, {"nothing", "1", "no tag of this topic"},
	} {
		set(c.tag, c.value, hmi...)
		if line := results.says(fmt.Sprintf("%s/set/result {\"ok\":false,\"asked\":%q", c.tag, c.value)); !strings.Contains(line, c.want) {
			t.Errorf("%s = %s: %s", c.tag, c.value, line)
		}
	}
	set("setpoint", "1")
	if line := results.says(`"asked":"1","by":"anonymous as `); !strings.Contains(line, "named user") {
		t.Error(line)
	}
}

func TestForeignToolsAlone(t *testing.T) {
	port := fmt.Sprint(freePort(t))
	_, tags := slave(t, "tcp", port)
	var float slaveTag
	for _, tag := range tags {
		if tag.Type == "float32" && (tag.ByteOrder == "CDAB" || float.Name == "") && len(tag.Keys) == 0 {
			float = tag
		}
	}
	spec := fmt.Sprintf("holding:%d:%s:%s", float.Address, float.Type, float.ByteOrder)
	out := command(t, 0, "read", "--address", "127.0.0.1:"+port, spec)
	if !strings.Contains(out, float.Want) || !strings.Contains(out, "good") {
		t.Errorf("read %s, want %s:\n%s", spec, float.Want, out)
	}
	file := filepath.Join(t.TempDir(), "found.toml")
	out = command(t, 0, "scan", "127.0.0.1:"+port, "--ids", "1-3", "--write", file)
	if !strings.Contains(out, "modbus-tcp unit 1") {
		t.Error(out)
	}
	command(t, 0, "check", file)
	if out := command(t, 1, "read", "--serial", "/dev/nothing", "holding:0:uint16"); !strings.Contains(out, "there is no such port") {
		t.Error(out)
	}
	if out := command(t, 2, "read", "--address", "127.0.0.1:1", "holding:0:flaot32"); !strings.Contains(out, `did you mean "float32"?`) {
		t.Error(out)
	}
}

// TestForeignTextInstrument has a barometer that a Python program plays on a
// pseudo-terminal, told only what stands in its manual.
func TestForeignTextInstrument(t *testing.T) {
	near, far, _ := ptyPair(t)
	instrument := start(t, nil, "/usr/bin/python3", "testdata/barometer.py", far)
	instrument.says("ready")
	b := newBox(t, fmt.Sprintf(`
[line.ascii]
protocol = "text"
serial = %q
[device.barometer]
line = "ascii"
address = 1
interval = "200ms"
profile = "honeywell-ppt"
[device.barometer.tag.pressure]
unit = "psi"
alarm_high = 20
`, near))
	b.start()
	site := func(tag string) string { return b.onSite("pad-7/barometer/"+tag, 1)["pad-7/barometer/"+tag] }
	eventually(t, "the pressure", func() bool { return strings.Contains(site("pressure"), `"value":14.45,"unit":"psi","quality":"good"`) })
	eventually(t, "the temperature", func() bool { return strings.Contains(site("temperature"), `"value":24.5,"unit":"degC"`) })
	say := func(what string) {
		t.Helper()
		if _, err := fmt.Fprintln(instrument.in, what); err != nil {
			t.Fatal(err)
		}
	}
	say("21.00")
	eventually(t, "the alarm", func() bool { return strings.Contains(site("pressure/_alarm"), `"state":"high"`) })
	say("..")
	eventually(t, "a missing value is none", func() bool {
		return strings.Contains(site("pressure"), `"value":null,"unit":"psi","quality":"bad","reason":"sentinel","last":21`)
	})
	say("silent")
	eventually(t, "silence is told", func() bool { return strings.Contains(site("pressure"), `"reason":"timeout"`) })
	say("14.50")
	eventually(t, "it is back", func() bool { return strings.Contains(site("pressure"), `"value":14.5,`) })
	if out := command(t, 0, "read", "barometer/pressure", "-c", b.config); !strings.Contains(out, "14.5") || !strings.Contains(out, "2A 30 31 50 31 0D") {
		t.Error(out)
	}
}

// command runs a command to its end, wants its exit code, and returns what it said.
func command(t *testing.T, code int, args ...string) string {
	t.Helper()
	p := gaugeway(t, args...)
	got := p.exit()
	out, _ := p.out.read()
	if got != code {
		t.Errorf("gaugeway %s exits with %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}
