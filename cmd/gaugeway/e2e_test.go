package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func uplinkTable(name string, r *remote) string {
	return fmt.Sprintf("\n[uplink.%s]\nservers = [%q]\nclient_id = \"pad-7-%s\"\nbatch_interval = \"1s\"\nforward = [\"hmi/alarms/#\"]\n", name, r.url(), name)
}

// tcpDevice is a device whose tag "scan" counts the requests.
func tcpDevice(name string, port, unit int) string {
	return fmt.Sprintf("\n[device.%[1]s]\nline = \"tcp\"\nunit_id = %[3]d\ninterval = \"100ms\"\n[device.%[1]s.tag.scan]\naddress = 0\ntype = \"uint16\"\n[device.%[1]s.tag.value]\naddress = 1\ntype = \"uint16\"\n", name, port, unit)
}

func tcpLine(port int) string {
	return fmt.Sprintf("\n[line.tcp]\nprotocol = \"modbus-tcp\"\naddress = \"127.0.0.1:%d\"\nresponse_timeout = \"300ms\"\n", port)
}

// TestForeignEveryTypeAllTheWay reads every type in every byte order from a
// slave that packs them itself, over RTU and TCP, and compares on the on-box
// broker, at the remote server and in the output of receive and decode.
func TestForeignEveryTypeAllTheWay(t *testing.T) {
	near, far, _ := ptyPair(t)
	slave(t, "rtu", far)
	port := freePort(t)
	_, tags := slave(t, "tcp", fmt.Sprint(port))
	server := newRemote(t)
	arrived := server.collect()

	config := fmt.Sprintf("[line.rtu]\nprotocol = \"modbus-rtu\"\nserial = %q\nbaud_rate = 115200\nparity = \"none\"\n", near)
	config += tcpLine(port)
	for _, device := range []string{"rtu", "tcp"} {
		config += fmt.Sprintf("\n[device.%s]\nline = %q\nslave_id = 1\ninterval = \"1s\"\n", device, device)
		for _, tag := range tags {
			config += tag.toml(device)
		}
		for _, bits := range []string{"coil", "discrete"} {
			config += fmt.Sprintf("[device.%[1]s.tag.%[2]s]\nregister = %[2]q\naddress = 2\n", device, bits)
		}
		config += fmt.Sprintf("[device.%s.tag.input]\nregister = \"input\"\naddress = 10\ntype = \"int16\"\n", device)
	}
	b := newBox(t, config+uplinkTable("scada", server))
	b.start()

	file, state := filepath.Join(b.dir, "out.ndjson"), filepath.Join(b.dir, "state.json")
	receiver := gaugeway(t, "receive", "--server", server.url(), "--file", file, "--state", state)
	receiver.says("receiver is connected")

	want := map[string]string{"coil": "true", "discrete": "true", "input": "-12345"}
	for _, tag := range tags {
		want[tag.Name] = tag.Want
	}
	for _, device := range []string{"rtu", "tcp"} {
		eventually(t, "every tag of "+device+" at the server", func() bool { return arrived.of(device) >= len(want) })
		got := b.onSite("pad-7/"+device+"/+", len(want)+1) // and the state of the device
		for name, expected := range want {
			retained, payload, _ := strings.Cut(got["pad-7/"+device+"/"+name], "\t")
			if retained != "1" {
				t.Errorf("%s/%s is not retained: %q", device, name, got["pad-7/"+device+"/"+name])
			}
			if text := describe(t, payload); text != expected {
				t.Errorf("on site %s/%s is %s, the slave has %s", device, name, text, expected)
			}
		}
		for name, expected := range want {
			matching := 0 // counted in the same pass as all: more arrive meanwhile
			all := arrived.find(func(r map[string]any) bool {
				if r["device"] != device || r["tag"] != name {
					return false
				}
				if text, _ := json.Marshal(r); describe(t, string(text)) == expected {
					matching++
				}
				return true
			})
			if matching == 0 || matching != all {
				t.Errorf("at the server %d of %d readings of %s/%s are %s", matching, all, device, name, expected)
			}
		}
	}
	if _, state, _ := strings.Cut(b.onSite("pad-7/rtu/_state", 1)["pad-7/rtu/_state"], "\t"); !strings.Contains(state, `"state":"online"`) {
		t.Errorf("the state of the device is %s", state)
	}
	if got := arrived.last("gaugeway/pad-7/state"); !strings.Contains(got, `"state":"online"`) {
		t.Errorf("the state of the gateway is %s", got)
	}
	for _, payload := range []string{"noise", `{"v":2}`} {
		if out, err := exec.Command(foreign(t, "mosquitto_pub"), "-p", fmt.Sprint(server.port), "-q", "1", "-t", "gaugeway/stranger/data", "-m", payload).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
	}
	eventually(t, "what is no batch is set aside", func() bool {
		text, _ := os.ReadFile(file + ".rejected")
		return string(text) == "gaugeway/stranger/data\tbm9pc2U=\ngaugeway/stranger/data\teyJ2IjoyfQ==\n"
	})
	b.running.end(syscall.SIGTERM)
	eventually(t, "the clean stop is told", func() bool { return strings.Contains(arrived.last("gaugeway/pad-7/state"), `"reason":"stopped"`) })
	arrived.wellFormed()
	sameAsReceived(t, arrived, receiver, file)
}

// sameAsReceived compares what receive wrote with what mosquitto_sub took.
func sameAsReceived(t *testing.T, arrived *arrivals, receiver *process, file string) {
	t.Helper()
	var lines []string
	eventually(t, "receive wrote as much as arrived since it began", func() bool {
		text, _ := os.ReadFile(file)
		lines = strings.Split(strings.TrimSpace(string(text)), "\n")
		return len(lines) > 50
	})
	receiver.end(syscall.SIGTERM)
	if code := receiver.exit(); code != 0 {
		t.Errorf("receive ended with %d", code)
	}
	seen := make(map[identity]bool)
	for _, line := range lines {
		var r struct {
			Site, Device, Tag, Class, Epoch string
			Seq                             uint64
			Value                           json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		id := identity{r.Epoch, r.Class, r.Seq}
		if seen[id] || r.Site != "pad-7" {
			t.Errorf("doubled, or of another site: %s", line)
		}
		seen[id] = true
		if !strings.Contains(arrived.text[id], `"value":`+string(r.Value)) {
			t.Errorf("receive wrote %s, the server had %s", line, arrived.text[id])
		}
	}
}

// describe shortens a reading to the form of the slave's "want".
func describe(t *testing.T, payload string) string {
	t.Helper()
	var r struct {
		Value           json.RawMessage
		Quality, Reason string
	}
	if err := json.Unmarshal([]byte(payload), &r); err != nil {
		return "no JSON: " + payload
	}
	switch {
	case r.Quality == "good":
		return string(r.Value)
	case string(r.Value) == "null":
		return r.Quality + " " + r.Reason
	default:
		return string(r.Value) + " " + r.Quality + " " + r.Reason
	}
}

// TestForeignServerAwayForAWhile stops mosquitto and starts it again: every
// reading arrives once after dedupe.
func TestForeignServerAwayForAWhile(t *testing.T) {
	port := freePort(t)
	slave(t, "tcp", fmt.Sprint(port))
	server := newRemote(t)
	arrived := server.collect()
	b := newBox(t, tcpLine(port)+tcpDevice("a", port, 1)+uplinkTable("scada", server))
	b.start()
	eventually(t, "readings arrive", func() bool { return arrived.of("a") > 20 })
	server.stop()
	eventually(t, "a backlog grows", func() bool {
		s, err := b.status()
		return err == nil && s.Uplinks["scada"].State == "down" && s.Uplinks["scada"].Backlog > 60
	})
	before := arrived.of("a")
	server.start()
	eventually(t, "the backlog arrives", func() bool { return arrived.of("a") > before+80 })
	b.running.end(syscall.SIGTERM)
	arrived.wellFormed()
}

// TestForeignOneUplinkDead shows that an uplink without a server does not touch
// the other, and gets what is its own when it comes.
func TestForeignOneUplinkDead(t *testing.T) {
	port := freePort(t)
	slave(t, "tcp", fmt.Sprint(port))
	alive, late := newRemote(t), newRemote(t)
	first, second := alive.collect(), late.collect()
	late.stop()
	b := newBox(t, tcpLine(port)+tcpDevice("a", port, 1)+uplinkTable("alive", alive)+uplinkTable("late", late))
	b.start()
	eventually(t, "readings arrive at the living one", func() bool { return first.of("a") > 100 })
	if n := second.of("a"); n != 0 {
		t.Errorf("%d readings at a server that is stopped", n)
	}
	had := first.of("a")
	late.start()
	eventually(t, "the late one gets all of it", func() bool { return second.of("a") > had })
	b.running.end(syscall.SIGTERM)
	first.wellFormed()
	second.wellFormed()
}

// TestForeignKillNine kills the gateway 20 times at random moments: what it
// said was committed arrives, no seq is missing, no identity has two contents.
func TestForeignKillNine(t *testing.T) {
	port := freePort(t)
	slave(t, "tcp", fmt.Sprint(port))
	server := newRemote(t)
	arrived := server.collect()
	b := newBox(t, tcpLine(port)+tcpDevice("a", port, 1)+tcpDevice("b", port, 2)+uplinkTable("scada", server))
	b.start()
	random := rand.New(rand.NewPCG(20, 1))
	committed := make(map[identity]uint64)
	for range 20 {
		until := time.NewTimer(time.Duration(random.IntN(2500)) * time.Millisecond)
		<-until.C
		if s, err := b.status(); err == nil {
			for class, seq := range s.Buffer.Seqs {
				committed[identity{epoch: s.Buffer.Epoch, class: class}] = seq
			}
		}
		b.restart()
	}
	total := 0
	for stream, seq := range committed {
		total += int(seq)
		eventually(t, "what was committed arrives", func() bool {
			arrived.mu.Lock()
			defer arrived.mu.Unlock()
			return arrived.highest[stream] >= seq
		})
	}
	if total < 200 || len(committed) > 2 {
		t.Errorf("%d readings were committed, in %v: too few to prove anything, or too many epochs", total, committed)
	}
	b.running.end(syscall.SIGTERM)
	arrived.wellFormed()
	arrived.mu.Lock()
	defer arrived.mu.Unlock()
	t.Logf("%d readings, %d arrived twice", len(arrived.byIdentity), arrived.doubled)
}

// TestForeignAcknowledgedMessageSurvivesKillNine kills the gateway the moment
// mosquitto_pub has its PUBACK.
func TestForeignAcknowledgedMessageSurvivesKillNine(t *testing.T) {
	server := newRemote(t)
	arrived := server.collect()
	b := newBox(t, uplinkTable("scada", server))
	b.start()
	const messages = 10
	for i := range messages {
		out, err := exec.Command(foreign(t, "mosquitto_pub"), "-p", fmt.Sprint(b.port), "-i", "hmi", "-q", "1", "-t", "hmi/alarms/esd", "-m", fmt.Sprintf("alarm %d", i)).CombinedOutput()
		if err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
		b.restart()
	}
	for i := range messages {
		payload := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "alarm %d", i))
		eventually(t, "every acknowledged message arrives", func() bool {
			return arrived.find(func(r map[string]any) bool { return r["topic"] == "hmi/alarms/esd" && r["payload"] == payload }) == 1
		})
	}
	arrived.wellFormed()
}

// TestForeignPortUnplugged takes the pseudo-terminal away and brings it back.
func TestForeignPortUnplugged(t *testing.T) {
	near, far, pair := ptyPair(t)
	unit, _ := slave(t, "rtu", far)
	config := fmt.Sprintf("[line.rtu]\nprotocol = \"modbus-rtu\"\nserial = %q\nbaud_rate = 115200\nparity = \"none\"\nresponse_timeout = \"300ms\"\n", near)
	config += "[device.a]\nline = \"rtu\"\nslave_id = 1\ninterval = \"200ms\"\n[device.a.tag.scan]\naddress = 0\ntype = \"uint16\"\n"
	b := newBox(t, config)
	b.start()
	quality := func() string {
		_, payload, _ := strings.Cut(b.onSite("pad-7/a/scan", 1)["pad-7/a/scan"], "\t")
		return payload
	}
	eventually(t, "it reads", func() bool { return strings.Contains(quality(), `"quality":"good"`) })
	pair.kill()
	unit.kill()
	eventually(t, "it says that the line is gone", func() bool { return strings.Contains(quality(), `"quality":"bad","reason":"line"`) })
	if got := quality(); !strings.Contains(got, `"value":null`) || !strings.Contains(got, `"last":`) {
		t.Errorf("a failed read shows %s", got)
	}
	joinPair(t, near, far)
	slave(t, "rtu", far)
	eventually(t, "it reads again", func() bool { return strings.Contains(quality(), `"quality":"good"`) })
}

// TestForeignSilentSlave silences one of two devices on a line.
func TestForeignSilentSlave(t *testing.T) {
	port := freePort(t)
	unit, _ := slave(t, "tcp", fmt.Sprint(port))
	server := newRemote(t)
	arrived := server.collect()
	b := newBox(t, tcpLine(port)+tcpDevice("a", port, 1)+tcpDevice("b", port, 2)+uplinkTable("scada", server))
	b.start()
	eventually(t, "both read", func() bool { return arrived.of("a") > 20 && arrived.of("b") > 20 })
	fmt.Fprintln(unit.in, "silent 2")
	bad := func(device string) int {
		return arrived.find(func(r map[string]any) bool { return r["device"] == device && r["quality"] != "good" })
	}
	eventually(t, "b is bad", func() bool { return bad("b") > 20 })
	eventually(t, "the state of b says so", func() bool {
		state := b.onSite("pad-7/b/_state", 1)["pad-7/b/_state"]
		return strings.Contains(state, `"state":"offline"`) && strings.Contains(state, `"reason":"timeout"`)
	})
	n := arrived.of("a")
	eventually(t, "a goes on", func() bool { return arrived.of("a") > n+40 })
	if n := arrived.find(func(r map[string]any) bool {
		return r["quality"] == "bad" && (r["value"] != nil || r["reason"] != "timeout")
	}); n != 0 {
		t.Errorf("%d bad readings have a value, or another reason than timeout", n)
	}
	if n := bad("a"); n != 0 {
		t.Errorf("%d readings of the neighbour are bad", n)
	}
	fmt.Fprintln(unit.in, "speak 2")
	good := func() int {
		return arrived.find(func(r map[string]any) bool { return r["device"] == "b" && r["quality"] == "good" })
	}
	n = good()
	eventually(t, "b is good again", func() bool { return good() > n+20 })
	noOldValueWithNewTime(t, arrived, "b")
	b.running.end(syscall.SIGTERM)
	arrived.wellFormed()
}

// noOldValueWithNewTime checks that the slave's count of requests never stands still.
func noOldValueWithNewTime(t *testing.T, a *arrivals, device string) {
	t.Helper()
	seen := make(map[string]string)
	a.find(func(r map[string]any) bool {
		if r["device"] == device && r["tag"] == "scan" && r["quality"] == "good" {
			value, at := fmt.Sprint(r["value"]), fmt.Sprint(r["time"])
			if before, twice := seen[value]; twice {
				t.Errorf("scan %s bears the times %s and %s", value, before, at)
			}
			seen[value] = at
		}
		return false
	})
}

func TestForeignWrongConfigurationStartsNothing(t *testing.T) {
	b := newBox(t, "sight = 1\n[line.x]\nprotocol = \"modbus\"\n[device.d]\nline = \"y\"\n")
	for _, command := range [][]string{{"run", "-c", b.config}, {"check", b.config}} {
		p := gaugeway(t, command...)
		if code := p.exit(); code != exitUsage {
			t.Errorf("%v ended with %d", command, code)
		}
		out, _ := p.out.read()
		for _, want := range []string{"sight: is not a key", "line.x.protocol: \"modbus\" is not a protocol", "device.d.line: there is no line \"y\""} {
			if !strings.Contains(out, want) {
				t.Errorf("%v does not say %q:\n%s", command, want, out)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "buffer")); err == nil {
		t.Error("a buffer was made")
	}
}

// TestForeignBadSurroundings starts with a port that is missing, one that is
// no port, a corrupt database and an instrument that works: the last one must.
func TestForeignBadSurroundings(t *testing.T) {
	port := freePort(t)
	slave(t, "tcp", fmt.Sprint(port))
	config := tcpLine(port) + tcpDevice("a", port, 1)
	for name, path := range map[string]string{"missing": "/dev/does-not-exist", "wrong": "/etc/hostname"} {
		config += fmt.Sprintf("[line.%[1]s]\nprotocol = \"modbus-rtu\"\nserial = %[2]q\nbaud_rate = 9600\nparity = \"none\"\n[device.%[1]s]\nline = %[1]q\nslave_id = 1\ninterval = \"1s\"\n[device.%[1]s.tag.x]\naddress = 0\ntype = \"uint16\"\n", name, path)
	}
	b := newBox(t, config)
	b.start()
	b.running.says("/dev/does-not-exist")
	eventually(t, "it commits", func() bool {
		s, err := b.status()
		return err == nil && s.Buffer.Seqs["normal"] > 10 && s.Lines["missing"].State == "closed" && s.Lines["wrong"].Error != ""
	})
	s, err := b.status()
	if err != nil {
		t.Fatal(err)
	}
	old := s.Buffer.Epoch
	b.running.kill()
	files, err := filepath.Glob(filepath.Join(b.dir, "buffer", "*.db*")) // the log as well, which would mend the file
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	t.Cleanup(func() {
		if text, _ := b.running.out.read(); t.Failed() {
			t.Log(text)
		}
	})
	eventually(t, "it commits again, in a new epoch", func() bool {
		s, err := b.status()
		return err == nil && s.Buffer.Seqs["normal"] > 10 && s.Buffer.Epoch != old && !s.Buffer.Memory
	})
	if aside, _ := filepath.Glob(filepath.Join(b.dir, "buffer", "*.corrupt-*")); len(aside) == 0 {
		t.Error("the corrupt file was not kept")
	}
	hostileBytes(t, b)
}

// hostileBytes throws noise at the broker; the gateway must go on.
func hostileBytes(t *testing.T, b *box) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 1+random.IntN(300))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		_, _ = conn.Write(noise) // it may be closed already
		conn.Close()
	}
	before, err := b.status()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool {
		s, err := b.status()
		return err == nil && s.Buffer.Seqs["normal"] > before.Buffer.Seqs["normal"]+5
	})
}

// TestForeignUnit checks the unit file with systemd's own tool.
func TestForeignUnit(t *testing.T) {
	text, err := os.ReadFile("../../systemd/gaugeway.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "gaugeway.service")
	installed := strings.ReplaceAll(string(text), "/usr/bin/gaugeway", os.Args[0])
	if err := os.WriteFile(unit, []byte(installed), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(foreign(t, "systemd-analyze"), "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command(foreign(t, "systemd-analyze"), "security", "--offline=true", "--threshold=15", unit).CombinedOutput()
	if err != nil {
		t.Errorf("the exposure is above 1.5: %v\n%s", err, out)
	}
}

// TestForeignDemo plays the demonstration: it fails by itself if anything is
// lost, doubled or wrong.
func TestForeignDemo(t *testing.T) {
	p := gaugeway(t, "demo", "--for", "40s", "--speed", "2")
	if code := p.exit(); code != 0 {
		out, _ := p.out.read()
		t.Errorf("the demonstration ended with %d:\n%s", code, out)
	}
}

// TestForeignCommands checks what people see of the small commands.
func TestForeignCommands(t *testing.T) {
	b := newBox(t, "")
	b.start()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", "--socket", b.socket()}, 0, "site pad-7"},
		{[]string{"status", "-c", b.config, "--json"}, 0, `"site":"pad-7"`},
		{[]string{"status", "--socket", filepath.Join(b.dir, "none")}, exitFailed, "no gateway answers on"},
		{[]string{"check", b.config}, 0, "the configuration is well"},
		{[]string{"version", "--json"}, 0, `"sqlite":"3.`},
		{[]string{"init"}, exitUsage, "init is not in this version"},
		{[]string{"frobnicate"}, exitUsage, `"frobnicate" is not a command`},
		{[]string{"run", "--frob"}, exitUsage, "unknown flag"},
		{[]string{"receive"}, exitUsage, "--server is missing"},
		{[]string{"receive", "--server", "mqtt://h:1", "--output", "csv"}, exitUsage, "not in this version"},
		{[]string{"demo", "--for", "1s"}, exitUsage, "at least 10s"},
		{[]string{"run", "-c", b.config}, exitFailed, "another process uses the buffer"},
	} {
		p := gaugeway(t, c.args...)
		code := p.exit()
		if out, _ := p.out.read(); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v ended with %d and says %s; want %d and %q", c.args, code, out, c.code, c.want)
		}
	}
	passwd := gaugeway(t, "passwd")
	fmt.Fprintln(passwd.in, "geheim")
	if line := passwd.says("$2a$"); len(strings.TrimSpace(line)) != 60 {
		t.Errorf("passwd says %q", line)
	}
	alone := newBox(t, "")
	broker := gaugeway(t, "broker", "-c", alone.config)
	eventually(t, "the broker alone takes a message", func() bool {
		return exec.Command(foreign(t, "mosquitto_pub"), "-p", fmt.Sprint(alone.port), "-q", "1", "-t", "x", "-m", "y").Run() == nil
	})
	broker.end(syscall.SIGTERM)
	if code := broker.exit(); code != 0 {
		t.Errorf("the broker ended with %d", code)
	}
}

// TestRefusedSubscriptionIsTold has a server that does not let the receiver read.
func TestRefusedSubscriptionIsTold(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t, fmt.Sprintf("[broker.user.reader]\npassword_hash = %q\nsubscribe = [\"other/#\"]\n", hash))
	b.start()
	password := filepath.Join(b.dir, "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("mqtt://127.0.0.1:%d", b.port)
	gaugeway(t, "receive", "--server", url, "--username", "reader", "--password-file", password).
		says("the server refuses the subscription to gaugeway/+/data")
}

// TestForeignServerSendsDown has the server's topics reach the site, again after
// the server was away, and not come up again.
func TestForeignServerSendsDown(t *testing.T) {
	r := newRemote(t)
	a := r.collect()
	b := newBox(t, fmt.Sprintf("[uplink.scada]\nservers = [%q]\nbatch_interval = \"1s\"\nsubscribe = [\"recipes/#\", \"gaugeway/#\"]\nforward = [\"recipes/#\"]\n", r.url()))
	b.start()
	b.running.says("uplink is up")
	panel := start(t, nil, foreign(t, "mosquitto_sub"), "-p", fmt.Sprint(b.port), "-v", "-t", "recipes/#", "-t", "gaugeway/#", "-t", "pad-7/_state")
	panel.says("pad-7/_state")
	send := func(topic, text string) {
		t.Helper()
		if out, err := exec.Command(foreign(t, "mosquitto_pub"), "-p", fmt.Sprint(r.port), "-q", "1", "-t", topic, "-m", text).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_pub: %v\n%s", err, out)
		}
	}
	send("recipes/1", "salt")
	panel.says("recipes/1 salt")
	r.stop()
	b.running.says("uplink is down")
	r.start()
	eventually(t, "the uplink is up again", func() bool {
		s, err := b.status()
		return err == nil && s.Uplinks["scada"].State == "connected"
	})
	send("recipes/2", "pepper")
	panel.says("recipes/2 pepper")
	if out, _ := panel.out.read(); strings.Contains(out, "gaugeway/pad-7") {
		t.Errorf("what the gateway itself sends comes down:\n%s", out)
	}
	b.running.end(syscall.SIGTERM)
	eventually(t, "the clean stop is told", func() bool { return strings.Contains(a.last("gaugeway/pad-7/state"), "stopped") })
	if n := a.find(func(r map[string]any) bool { return r["topic"] != nil }); n != 0 {
		t.Errorf("%d messages went round", n)
	}
}
