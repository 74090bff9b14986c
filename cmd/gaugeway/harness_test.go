package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway/status"
)

// asGaugeway makes the test binary the program itself, so that what is tested
// is built with the race detector wherever the tests are.
const asGaugeway = "GAUGEWAY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asGaugeway) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience is how long anything may take on a busy machine.
const patience = 60 * time.Second

// foreign returns the path of a program that nobody here wrote.
func foreign(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/usr/bin"} {
			if _, statErr := os.Stat(filepath.Join(dir, name)); statErr == nil {
				return filepath.Join(dir, name)
			}
		}
		t.Fatalf("%v; install it: make test does", err)
	}
	return path
}

// process is a program that a test started.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	name string
	in   io.WriteCloser
	out  *output
	done chan struct{}
}

// output keeps what a program writes and tells of each line.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

func (o *output) read() (text string, changed chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// start starts a program; it is killed at the end of the test at the latest.
func start(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), name: filepath.Base(name), out: &output{changed: make(chan struct{})}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is asked of ProcessState
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// gaugeway starts the program under test.
func gaugeway(t testing.TB, args ...string) *process {
	t.Helper()
	return start(t, []string{asGaugeway + "=1"}, os.Args[0], args...)
}

func (p *process) kill() { p.end(syscall.SIGKILL) }

func (p *process) end(how syscall.Signal) {
	_ = p.cmd.Process.Signal(how) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end on %v", p.name, how)
	}
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the output has a text, and returns the line that it is in.
func (p *process) says(text string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		all, changed := p.out.read()
		if i := strings.Index(all, text); i >= 0 {
			if n := strings.IndexByte(all[i:], '\n'); n >= 0 {
				return all[strings.LastIndexByte(all[:i], '\n')+1 : i+n]
			}
		}
		select {
		case <-changed:
		case <-p.done:
			if all, _ = p.out.read(); !strings.Contains(all, text) {
				p.t.Fatalf("%s ended without saying %q:\n%s", p.name, text, all)
			}
		case <-timeout:
			p.t.Fatalf("%s does not say %q:\n%s", p.name, text, all)
		}
	}
}

// eventually asks again and again, until the answer is yes.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !yes() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

// freePort returns a port of loopback that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// remote is Debian's mosquitto as the remote server; it may be stopped and
// started again and keeps what it has.
type remote struct {
	t       testing.TB
	port    int
	config  string
	running *process
}

func newRemote(t testing.TB) *remote {
	t.Helper()
	dir := t.TempDir()
	r := &remote{t: t, port: freePort(t), config: filepath.Join(dir, "mosquitto.conf")}
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_queued_messages 0\nuser root\nlog_type all\n", r.port, dir)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

func (r *remote) start() {
	r.t.Helper()
	r.running = start(r.t, nil, foreign(r.t, "mosquitto"), "-c", r.config)
	eventually(r.t, "mosquitto listens", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (r *remote) stop() { r.running.end(syscall.SIGTERM) }

func (r *remote) url() string { return fmt.Sprintf("mqtt://127.0.0.1:%d", r.port) }

// identity is a reading's identity, as any receiver would build it.
type identity struct {
	epoch, class string
	seq          uint64
}

// arrivals are what reached a remote server, taken by mosquitto_sub with a
// persistent session and decoded here without any code of the gateway.
type arrivals struct {
	t  testing.TB
	mu sync.Mutex

	byIdentity map[identity]map[string]any
	text       map[identity]string
	doubled    int
	conflicts  []string
	gaps       int
	highest    map[identity]uint64 // by epoch and class, seq 0
	topics     map[string]string   // last payload of every other topic
}

func (r *remote) collect() *arrivals {
	r.t.Helper()
	a := &arrivals{
		t: r.t, byIdentity: make(map[identity]map[string]any), text: make(map[identity]string),
		highest: make(map[identity]uint64), topics: make(map[string]string),
	}
	cmd := exec.Command(foreign(r.t, "mosquitto_sub"), "-p", fmt.Sprint(r.port), "-i", "collector", "-c", "-q", "1", "-t", "gaugeway/#", "-F", "%t\t%x")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			a.take(lines.Text())
		}
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	r.running.says("SUBSCRIBE from collector")
	return a
}

func (a *arrivals) take(line string) {
	topic, encoded, _ := strings.Cut(line, "\t")
	payload, err := hex.DecodeString(encoded)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.conflicts = append(a.conflicts, fmt.Sprintf("%s: %v", topic, err))
		return
	}
	if topic != "gaugeway/pad-7/data" {
		a.topics[topic] = string(payload)
		return
	}
	var b struct {
		Epoch, Class string
		FirstSeq     uint64 `json:"first_seq"`
		Readings     []json.RawMessage
		Gaps         []struct {
			Count int
		}
	}
	if err := json.Unmarshal(payload, &b); err != nil {
		a.conflicts = append(a.conflicts, err.Error())
		return
	}
	for _, g := range b.Gaps {
		a.gaps += g.Count
	}
	for i, raw := range b.Readings {
		id := identity{b.Epoch, b.Class, b.FirstSeq + uint64(i)}
		stream := identity{epoch: b.Epoch, class: b.Class}
		a.highest[stream] = max(a.highest[stream], id.seq)
		if before, known := a.text[id]; known {
			a.doubled++
			if before != string(raw) {
				a.conflicts = append(a.conflicts, fmt.Sprintf("%v is %s and %s", id, before, raw))
			}
			continue
		}
		a.text[id] = string(raw)
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		reading := make(map[string]any)
		if err := decoder.Decode(&reading); err != nil {
			a.conflicts = append(a.conflicts, err.Error())
		}
		a.byIdentity[id] = reading
	}
}

// holes returns how many seqs up to the highest of each stream did not arrive.
func (a *arrivals) holes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := -len(a.byIdentity)
	for _, highest := range a.highest {
		n += int(highest)
	}
	return n
}

// find counts the readings that a test asks for.
func (a *arrivals) find(match func(r map[string]any) bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, r := range a.byIdentity {
		if match(r) {
			n++
		}
	}
	return n
}

func (a *arrivals) of(device string) int {
	return a.find(func(r map[string]any) bool { return r["device"] == device })
}

func (a *arrivals) last(topic string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.topics[topic]
}

// wellFormed fails the test where an identity had two contents or a seq is missing.
func (a *arrivals) wellFormed() {
	a.t.Helper()
	if n := a.holes(); n != 0 {
		a.t.Errorf("%d readings are missing", n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.conflicts {
		a.t.Errorf("conflict: %s", c)
	}
	if a.gaps != 0 {
		a.t.Errorf("%d readings were given up", a.gaps)
	}
}

// box is a gateway under test.
type box struct {
	t       testing.TB
	dir     string
	config  string
	port    int // of the on-box broker
	running *process
}

// newBox writes a configuration; text is what stands beside the tables of the box itself.
func newBox(t testing.TB, text string) *box {
	t.Helper()
	b := &box{t: t, dir: t.TempDir(), port: freePort(t)}
	b.config = filepath.Join(b.dir, "site.toml")
	b.write(text)
	return b
}

func (b *box) write(text string) {
	b.t.Helper()
	head := "site = \"pad-7\"\nclock = \"trusted\"\n"
	tail := fmt.Sprintf("\n[broker.listener.local]\naddress = \"127.0.0.1:%d\"\n[buffer]\ndirectory = %q\ncommit_interval = \"1s\"\n[control]\nsocket = %q\n",
		b.port, filepath.Join(b.dir, "buffer"), b.socket())
	if err := os.WriteFile(b.config, []byte(head+text+tail), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// socket is short: the address of a unix socket has 107 bytes.
func (b *box) socket() string { return filepath.Join(b.dir, "c") }

func (b *box) start() {
	b.t.Helper()
	b.running = gaugeway(b.t, "run", "-c", b.config)
	b.running.says("gaugeway runs")
}

func (b *box) restart() {
	b.t.Helper()
	b.running.kill()
	b.start()
}

func (b *box) status() (status.Snapshot, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return status.Client{Path: b.socket()}.Snapshot(ctx)
}

// onSite returns the first n messages of the on-box broker on a filter, by topic.
func (b *box) onSite(filter string, n int) map[string]string {
	b.t.Helper()
	out, err := exec.Command(foreign(b.t, "mosquitto_sub"), "-p", fmt.Sprint(b.port), "-t", filter, "-C", fmt.Sprint(n), "-W", "20", "-F", "%t\t%r\t%p").CombinedOutput()
	if err != nil {
		b.t.Fatalf("mosquitto_sub %s: %v\n%s", filter, err, out)
	}
	got := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		topic, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		got[topic] = rest
	}
	return got
}

// slave starts the pymodbus slave; where is a port for tcp and a device for rtu.
func slave(t testing.TB, kind, where string) (*process, []slaveTag) {
	t.Helper()
	p := start(t, nil, "/usr/bin/python3", "testdata/slave.py", kind, where)
	var tags []slaveTag
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.says("ready "), "ready ")), &tags); err != nil {
		t.Fatal(err)
	}
	if kind == "tcp" {
		eventually(t, "pymodbus listens", func() bool {
			conn, err := net.Dial("tcp", "127.0.0.1:"+where)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return p, tags
}

// slaveTag is what the slave says of one of its values.
type slaveTag struct {
	Name      string         `json:"name"`
	Type      string         `json:"type"`
	ByteOrder string         `json:"byte_order"`
	Address   int            `json:"address"`
	Want      string         `json:"want"`
	Keys      map[string]any `json:"keys"`
}

// toml is the table of the tag in a configuration.
func (s slaveTag) toml(device string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[device.%s.tag.%s]\naddress = %d\ntype = %q\n", device, s.Name, s.Address, s.Type)
	if s.ByteOrder != "" {
		fmt.Fprintf(&b, "byte_order = %q\n", s.ByteOrder)
	}
	for key, value := range s.Keys {
		text, _ := json.Marshal(value)
		fmt.Fprintf(&b, "%s = %s\n", key, text)
	}
	return b.String()
}

// ptyPair joins two pseudo-terminals with socat: the gateway opens the first.
func ptyPair(t testing.TB) (near, far string, p *process) {
	t.Helper()
	dir := t.TempDir()
	near, far = filepath.Join(dir, "near"), filepath.Join(dir, "far")
	return near, far, joinPair(t, near, far)
}

func joinPair(t testing.TB, near, far string) *process {
	t.Helper()
	p := start(t, nil, foreign(t, "socat"), "-d", "-d", "pty,raw,echo=0,link="+near, "pty,raw,echo=0,link="+far)
	p.says("starting data transfer loop")
	return p
}
