package modbus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
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
	sheet
	left int
	done context.CancelFunc
}

func (r *rounds) Append(rs []gateway.Reading, done func(error)) {
	r.sheet.Append(rs, done)
	if r.left--; r.left == 0 {
		r.done()
	}
}

func compareForeign(t *testing.T, protocol string, o line.Options, holds []held) {
	t.Helper()
	boot := gateway.NewBoot("test")
	d, err := modbus.New(modbus.Options{Line: "l", Protocol: protocol, LineOptions: modbus.LineOptions{ResponseTimeout: 5 * time.Second}, Now: boot.Now,
		Devices: map[string]modbus.DeviceOptions{"a": foreignDevice(1, 0, holds), "b": foreignDevice(17, 9, holds)}})
	if err != nil {
		t.Fatal(err)
	}
	if f := o.Validate(); len(f) > 0 {
		t.Fatal(f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sink := &rounds{left: 6, done: cancel}
	err = d.Run(ctx, func(ctx context.Context) (gateway.Line, error) { return line.Open(ctx, o) }, sink)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v; status %+v", err, d.Status())
	}
	for _, device := range []string{"a", "b"} {
		for i, h := range holds {
			rs := sink.of(fmt.Sprintf("%s/t%d", device, i))
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
	t.Logf("%d tags; %d requests, %d timeouts, %d wrong checksums, busy %.2f", 2*len(holds), s.Requests, s.Timeouts, s.CRCErrors, s.Busy)
}

// sameValue compares exactly, but for how Python writes exponents.
func sameValue(got, python string) bool {
	return got == python || strings.Contains(python, "e+") && got == "150000000000000000000"
}

func TestForeignSlaveOnASerialLine(t *testing.T) {
	ours, theirs := ptyPair(t)
	holds, _ := foreignSlave(t, "rtu", theirs)
	compareForeign(t, modbus.RTU, line.Options{Serial: ours, BaudRate: 19200, Parity: "none"}, holds)
}

func TestForeignSlaveOverTCP(t *testing.T) {
	holds, port := foreignSlave(t, "tcp")
	compareForeign(t, modbus.TCP, line.Options{Address: "127.0.0.1:" + port}, holds)
}
