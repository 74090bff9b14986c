package modbus_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// python is Debian's, which has python3-pymodbus; another one in PATH need not.
const python = "/usr/bin/python3"

// patience bounds what waits for other programs.
const patience = 30 * time.Second

// launch starts a program and gives its lines of output. It is killed at the
// end of the test.
func launch(t *testing.T, output string, name string, args ...string) *bufio.Scanner {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing; install it: make test does", name)
	}
	cmd := exec.Command(path, args...)
	stdin, err := cmd.StdinPipe() // its end is a sign for the program to end
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	switch output {
	case "stdout":
		cmd.Stdout, cmd.Stderr = w, logWriter{t}
	case "stderr":
		cmd.Stderr = w
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = w.CloseWithError(fmt.Errorf("%s ended: %w", name, errors.Join(cmd.Wait(), io.EOF)))
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = r.Close()
		<-ended
	})
	timer := time.AfterFunc(patience, func() { _ = r.CloseWithError(errors.New(name + " says nothing")) })
	t.Cleanup(func() { timer.Stop() })
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	return s
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// lineWith returns the rest of the next line that has the text in it.
func lineWith(t *testing.T, s *bufio.Scanner, text string) string {
	t.Helper()
	for s.Scan() {
		if _, rest, found := strings.Cut(s.Text(), text); found {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("no line with %q: %v", text, s.Err())
	return ""
}

// ptyPair returns two ends of a wire of pseudo-terminals, by socat.
func ptyPair(t *testing.T) (a, b string) {
	t.Helper()
	s := launch(t, "stderr", "socat", "-d", "-d", "-T", "120", "pty,rawer", "pty,rawer")
	a, b = lineWith(t, s, "PTY is "), lineWith(t, s, "PTY is ")
	lineWith(t, s, "starting data transfer loop")
	go func() {
		for s.Scan() { // let it talk
		}
	}()
	return a, b
}

type held struct {
	Register, Type, Order, Value string
	Address, Length, Bit         int
}

// foreignSlave starts pymodbus and returns what it holds, and its port over TCP.
func foreignSlave(t *testing.T, args ...string) (holds []held, port string) {
	t.Helper()
	s := launch(t, "stdout", python, append([]string{"testdata/slave.py"}, args...)...)
	if !s.Scan() {
		t.Fatalf("pymodbus does not start (%v); install python3-pymodbus: make test does", s.Err())
	}
	if err := json.Unmarshal(s.Bytes(), &holds); err != nil {
		t.Fatal(err)
	}
	return holds, lineWith(t, s, "ready")
}

func foreignDevice(unit, maxRegisters int, holds []held) modbus.DeviceOptions {
	d := modbus.DeviceOptions{SlaveID: &unit, Interval: 500 * time.Millisecond, MaxRegisters: maxRegisters, Tags: make(map[string]modbus.TagOptions)}
	for i, h := range holds {
		o := modbus.TagOptions{Register: h.Register, Address: h.Address, Type: h.Type, ByteOrder: h.Order, Length: h.Length}
		if h.Type == "bool" && (h.Register == "holding" || h.Register == "input") {
			o.Bit = &h.Bit
		}
		d.Tags[fmt.Sprintf("t%d", i)] = o
	}
	return d
}

// rounds is a Sink that ends a context after so many calls.
type rounds struct {
	keepertest.Sheet
	left int
	done context.CancelFunc
}

func (r *rounds) Append(rs []gateway.Reading, done func(error)) {
	r.Sheet.Append(rs, done)
	if r.left--; r.left == 0 {
		r.done()
	}
}

func compareForeign(t *testing.T, protocol string, o line.Options, holds []held, units []int) {
	t.Helper()
	boot := gateway.NewBoot("test")
	devices := make(map[string]modbus.DeviceOptions)
	for i, unit := range units {
		devices[string(rune('a'+i))] = foreignDevice(unit, 9*i, holds) // the second in small requests
	}
	d, err := modbus.New(modbus.Options{Line: "l", Protocol: protocol, LineOptions: modbus.LineOptions{ResponseTimeout: 5 * time.Second}, Now: boot.Now, Devices: devices})
	if err != nil {
		t.Fatal(err)
	}
	if f := o.Validate(); len(f) > 0 {
		t.Fatal(f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sink := &rounds{left: 3 * len(units), done: cancel}
	err = d.Run(ctx, func(ctx context.Context) (gateway.Line, error) { return line.Open(ctx, o) }, sink)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v; status %+v", err, d.Status())
	}
	for device := range devices {
		for i, h := range holds {
			rs := sink.Of(fmt.Sprintf("%s/t%d", device, i))
			if len(rs) == 0 {
				t.Fatalf("%s: nothing was read of %+v", device, h)
			}
			for _, r := range rs {
				if got := r.Value.String(); r.Quality != gateway.Good || !sameValue(got, h.Value) {
					t.Errorf("%s %+v: %s, %v %v", device, h, got, r.Quality, r.Reason)
				}
			}
		}
	}
	s := d.Status()
	t.Logf("%d tags; %d requests, %d timeouts, %d wrong checksums, busy %.2f", len(units)*len(holds), s.Requests, s.Timeouts, s.CRCErrors, s.Busy)
}

// sameValue compares exactly, but for how Python writes exponents.
func sameValue(got, python string) bool {
	return got == python || strings.Contains(python, "e+") && got == "150000000000000000000"
}

// peer is a slave that nobody of us wrote.
type peer struct {
	name      string
	protocols []string
	units     []int
	knows     []wire.Function // of those that write or identify
	vendor    string          // what it says it is
	// start starts it; port is the pseudo-terminal it is to use, or "".
	start func(t *testing.T, protocol, port string) (holds []held, tcpPort string)
}

var everyWrite = []wire.Function{wire.WriteCoil, wire.WriteRegister, wire.WriteCoils, wire.WriteRegisters, wire.MaskRegister, wire.ReadWrite}

var peers = []peer{
	{"pymodbus", []string{modbus.RTU, modbus.ASCII, modbus.TCP, modbus.RTUOverTCP, modbus.ASCIIOverTCP}, []int{1, 17}, append(everyWrite[:6:6], wire.Identify), "Nobody of us", startPymodbus},
	{"libmodbus", []string{modbus.RTU, modbus.TCP}, []int{1}, everyWrite, "", startLibmodbus},
	{"modbus-serial", []string{modbus.RTU, modbus.TCP}, []int{1, 17}, append(everyWrite[:4:4], wire.Identify), "Nobody of us", startModbusSerial},
}

// kind is how the slaves call a protocol.
func kind(protocol string) string { return strings.TrimPrefix(protocol, "modbus-") }

func startPymodbus(t *testing.T, protocol, port string) ([]held, string) {
	return foreignSlave(t, kind(protocol), port)
}

// mapFile writes what pymodbus holds into a file for the others.
func mapFile(t *testing.T) (holds []held, file string) {
	t.Helper()
	s := launch(t, "stdout", python, "testdata/slave.py", "map")
	var words strings.Builder
	for s.Scan() && s.Text() != "end" {
		if holds != nil {
			words.WriteString(s.Text() + "\n")
			continue
		}
		if err := json.Unmarshal(s.Bytes(), &holds); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(t.TempDir(), "map")
	if err := os.WriteFile(file, []byte(words.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return holds, file
}

func startLibmodbus(t *testing.T, protocol, port string) ([]held, string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "slave")
	out, err := exec.Command("gcc", "-Wall", "-o", program, "testdata/slave.c", "-I/usr/include/modbus", "-lmodbus").CombinedOutput()
	if err != nil {
		t.Fatalf("compile a slave with libmodbus: %v; install libmodbus-dev: make test does\n%s", err, out)
	}
	holds, file := mapFile(t)
	return holds, lineWith(t, launch(t, "stdout", program, file, kind(protocol), port), "ready")
}

// modbusSerial is where npm has put modbus-serial, once for all tests.
var modbusSerial = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "modbus-serial"); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json", "slave.js"} {
		b, err := os.ReadFile(filepath.Join("testdata/modbus-serial", name))
		if err != nil {
			return dir, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return dir, err
		}
	}
	fmt.Fprintf(os.Stderr, "Installing modbus-serial, a Modbus slave that nobody here wrote, from the npm registry into %s\n", dir)
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w; it needs nodejs with npm, and the npm registry\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if installed.Load() {
		dir, _ := modbusSerial()
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

var installed atomic.Bool // modbus-serial, or the try to

func startModbusSerial(t *testing.T, protocol, port string) ([]held, string) {
	t.Helper()
	installed.Store(true)
	dir, err := modbusSerial()
	if err != nil {
		t.Fatal(err)
	}
	holds, file := mapFile(t)
	return holds, lineWith(t, launch(t, "stdout", "node", filepath.Join(dir, "slave.js"), file, kind(protocol), port), "ready")
}

// TestForeignSlaves reads the same map from every slave through every protocol that it
// speaks, and writes to it.
func TestForeignSlaves(t *testing.T) {
	for _, p := range peers {
		for _, protocol := range p.protocols {
			t.Run(p.name+"/"+protocol, func(t *testing.T) {
				o := line.Options{BaudRate: 19200, Parity: "none"}
				var theirs string
				if protocol == modbus.RTU || protocol == modbus.ASCII {
					o.Serial, theirs = ptyPair(t)
				}
				holds, port := p.start(t, protocol, theirs)
				if o.Serial == "" {
					o = line.Options{Address: "127.0.0.1:" + port}
				}
				compareForeign(t, protocol, o, holds, p.units)
				p.writeTo(t, protocol, o)
			})
		}
	}
}

// exchanges are what is written to a foreign slave, and then what is read: registers 1000
// to 1129 and coils 2000 to 3999 are 0 at first.
var exchanges = []struct {
	write wire.Request
	data  string // that comes back with it
	read  wire.Request
	want  string
}{
	{wire.Request{Function: wire.WriteCoil, Address: 2000, Count: wire.CoilOn}, "", wire.Request{Function: wire.ReadCoils, Address: 2000, Count: 3}, "01"},
	{wire.Request{Function: wire.WriteCoil, Address: 2000}, "", wire.Request{Function: wire.ReadCoils, Address: 2000, Count: 3}, "00"},
	{wire.Request{Function: wire.WriteCoils, Address: 2001, Count: 10, Data: bytesOf("cd01")}, "", wire.Request{Function: wire.ReadCoils, Address: 2000, Count: 13}, "9a03"},
	{wire.Request{Function: wire.WriteCoils, Address: 2032, Count: 1968, Data: bytesOf(strings.Repeat("a5", 246))}, "", wire.Request{Function: wire.ReadCoils, Address: 2032, Count: 1968}, strings.Repeat("a5", 246)},
	{wire.Request{Function: wire.WriteRegister, Address: 1000, Count: 0x1234}, "", wire.Request{Function: wire.ReadHoldingRegisters, Address: 1000, Count: 2}, "12340000"},
	{wire.Request{Function: wire.WriteRegisters, Address: 1001, Count: 2, Data: bytesOf("000a0102")}, "", wire.Request{Function: wire.ReadHoldingRegisters, Address: 1000, Count: 4}, "1234000a01020000"},
	{wire.Request{Function: wire.WriteRegisters, Address: 1004, Count: 123, Data: bytesOf(strings.Repeat("c35a", 123))}, "", wire.Request{Function: wire.ReadHoldingRegisters, Address: 1003, Count: 125}, "0000" + strings.Repeat("c35a", 123) + "0000"},
	{wire.Request{Function: wire.MaskRegister, Address: 1000, Count: 0xF2, Data: bytesOf("0025")}, "", wire.Request{Function: wire.ReadHoldingRegisters, Address: 1000, Count: 1}, "0035"},
	{wire.Request{Function: wire.ReadWrite, Address: 1000, Count: 4, WriteAddress: 1002, WriteCount: 2, Data: bytesOf("beef0007")}, "0035000abeef0007", wire.Request{Function: wire.ReadHoldingRegisters, Address: 1002, Count: 2}, "beef0007"},
}

func bytesOf(digits string) (data [wire.MaxWriteData]byte) {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	copy(data[:], b)
	return data
}

func (p peer) writeTo(t *testing.T, protocol string, o line.Options) {
	t.Helper()
	l, err := line.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := modbus.NewClient(l, protocol, 5*time.Second)
	defer func() { _ = c.Close() }()
	for _, e := range exchanges {
		data, err := c.Do(t.Context(), 1, e.write)
		if !slices.Contains(p.knows, e.write.Function) {
			if !errors.Is(err, wire.IllegalFunction) {
				t.Errorf("%v: %x, %v, want %v", e.write, data, err, wire.IllegalFunction)
			}
			continue
		}
		if err != nil || hex.EncodeToString(data) != e.data {
			t.Errorf("%v: %x, %v, want %s", e.write, data, err, e.data)
		}
		if data, err := c.Do(t.Context(), 1, e.read); err != nil || hex.EncodeToString(data) != e.want {
			t.Errorf("after %v: %v: %x, %v, want %s", e.write, e.read, data, err, e.want)
		}
	}
	beyond := wire.Request{Function: wire.WriteRegister, Address: 60000, Count: 1}
	if _, err := c.Do(t.Context(), 1, beyond); !errors.Is(err, wire.IllegalAddress) {
		t.Errorf("%v: %v, want %v", beyond, err, wire.IllegalAddress)
	}
	p.identify(t, c)
}

func (p peer) identify(t *testing.T, c *modbus.Client) {
	t.Helper()
	all, err := modbus.Identify(t.Context(), c, 1)
	if p.vendor == "" {
		// On a serial line libmodbus does not know where a request that it does not know ends.
		if !errors.Is(err, wire.IllegalFunction) && !errors.Is(err, modbus.ErrNoAnswer) {
			t.Errorf("identify: %v, %v, want %v", all, err, wire.IllegalFunction)
		}
		return
	}
	if err != nil || len(all) < 3 || all[0] != (modbus.Identity{Name: "vendor", Value: p.vendor}) {
		t.Errorf("identify: %v, %v", all, err)
	}
	t.Logf("identify: %.60v", all)
}

// TestForeignRegistersOf32Bits has modbus-serial be a flow computer.
func TestForeignRegistersOf32Bits(t *testing.T) {
	installed.Store(true)
	dir, err := modbusSerial()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "map")
	words := "holding 3001 65535\nholding 3002 7\nholding 5001 4294967294\nholding 5002 305419896\nholding 7401 1120436224\nholding 7402 3270960742\n"
	if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	port := lineWith(t, launch(t, "stdout", "node", filepath.Join(dir, "slave.js"), file, "enron"), "ready")
	unit := 1
	d := modbus.DeviceOptions{SlaveID: &unit, Interval: 100 * time.Millisecond, RegisterSize: 32, Tags: map[string]modbus.TagOptions{
		"a": {Address: 3001, Type: "int16"}, "b": {Address: 3002, Type: "uint16"},
		"c": {Address: 5001, Type: "int32"}, "d": {Address: 5002, Type: "uint32"},
		"e": {Address: 7401, Type: "float32"}, "f": {Address: 7402, Type: "float32"},
	}}
	want := map[string]string{"d/a": "-1", "d/b": "7", "d/c": "-2", "d/d": "305419896", "d/e": "100.25", "d/f": "-123.45"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o := modbus.Options{Line: "l", Protocol: modbus.TCP, LineOptions: modbus.LineOptions{ResponseTimeout: 5 * time.Second}, Now: gateway.NewBoot("test").Now, Devices: map[string]modbus.DeviceOptions{"d": d}}
	driver, err := modbus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	sink := &rounds{left: 3, done: cancel}
	_ = driver.Run(ctx, func(ctx context.Context) (gateway.Line, error) {
		return line.Open(ctx, line.Options{Address: "127.0.0.1:" + port})
	}, sink)
	for tag, w := range want {
		if rs := sink.Of(tag); len(rs) == 0 || rs[0].Value.String() != w {
			t.Errorf("%s: %v, want %s", tag, rs, w)
		}
	}
}
