package simulate

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

func run(t *testing.T, o Options) *Simulator {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return s
}

// populate sets what mbpoll is going to read.
func populate(t *testing.T, in *Instruments) {
	t.Helper()
	u := in.Unit(5)
	u.SetWords(wire.ReadHoldingRegisters, 100, 1, 65535, 4660)
	u.SetBits(wire.ReadCoils, 3, true, false, true)
	u.SetBits(wire.ReadDiscreteInputs, 0, false, true)
	for _, err := range []error{
		u.Set(wire.ReadInputRegisters, 10, "float32", "ABCD", 123.456),
		u.Set(wire.ReadInputRegisters, 12, "int32", "CDAB", -7),
		u.SetFunc(wire.ReadHoldingRegisters, 200, "uint16", "", func(time.Duration) any { return 77 }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// mbpoll asks as a foreign master, and returns what it shows.
func mbpoll(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("mbpoll")
	if err != nil {
		t.Fatal("mbpoll is missing; install it: make test does")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, append([]string{"-1", "-0", "-a", "5", "-o", "5"}, args...)...).CombinedOutput()
	return string(out)
}

var shown = regexp.MustCompile(`(?m)^\[\d+\]:\s+(\S+)`)

func askAll(t *testing.T, where ...string) {
	t.Helper()
	cases := []struct {
		args, want string
	}{
		{"-t 4 -r 100 -c 3", "1 65535 0x1234"},
		{"-t 4:hex -r 100 -c 3", "0x0001 0xFFFF 0x1234"},
		{"-t 4 -r 200", "77"},
		{"-t 3:float -B -r 10", "123.456"},
		{"-t 3:int -r 12", "-7"},
		{"-t 0 -r 3 -c 3", "1 0 1"},
		{"-t 1 -r 0 -c 2", "0 1"},
		{"-t 4 -r 300", "Illegal data address"},
	}
	for _, c := range cases {
		out := mbpoll(t, append(strings.Fields(c.args), where...)...)
		var values []string
		for _, m := range shown.FindAllStringSubmatch(out, -1) {
			values = append(values, m[1])
		}
		got := strings.Join(values, " ")
		if want := strings.Replace(c.want, "0x1234", "4660", 1); got != c.want && got != want && !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, want %q:\n%s", c.args, got, c.want, out)
		}
	}
}

func TestForeignMasterOverTCP(t *testing.T) {
	s := run(t, Options{Address: "127.0.0.1:0"})
	populate(t, s.Instruments)
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	askAll(t, "-m", "tcp", "-p", port, host)
	if c := s.Counters(); c.Requests != 8 || c.Exceptions != 1 {
		t.Errorf("%+v", c)
	}
}

func TestForeignMasterOnASerialLine(t *testing.T) {
	s := run(t, Options{Path: filepath.Join(t.TempDir(), "port")})
	populate(t, s.Instruments)
	askAll(t, "-m", "rtu", "-b", "19200", "-P", "none", s.Path())
}

func TestFaultsFollowTheirSeed(t *testing.T) {
	play := func(f Fault) (string, Counters) {
		in := NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1, 2, 3)
		in.Fault(f)
		var all strings.Builder
		frame := func(unit byte, pdu []byte) []byte { return wire.AppendRTU(nil, unit, pdu) }
		r := wire.Request{Function: wire.ReadHoldingRegisters, Count: 3}
		for range 200 {
			for _, p := range in.respond(1, r.AppendPDU(nil), []byte("request"), frame, true) {
				all.WriteString(p.after.String() + hex.EncodeToString(p.bytes) + "\n")
			}
		}
		return all.String(), in.Counters()
	}
	f := Fault{Seed: 7, Late: 0.1, LateBy: time.Second, Duplicate: 0.1, Lost: 0.1, Flip: 0.1, Noise: 0.1, NUL: 0.1, Extra: 0.1, WrongUnit: 0.1, Exception: 0.1, Split: 0.1}
	first, c := play(f)
	if second, _ := play(f); second != first {
		t.Error("the same seed made other faults")
	}
	f.Seed = 8
	if other, _ := play(f); other == first {
		t.Error("another seed made the same faults")
	}
	for name, n := range map[string]uint64{"late": c.Late, "duplicated": c.Duplicated, "lost": c.Lost, "flipped": c.Flipped, "noisy": c.Noisy,
		"nul": c.NULs, "extra": c.Extras, "wrong unit": c.WrongUnits, "exception": c.Exceptions, "split": c.Splits} {
		if n < 5 || n > 40 {
			t.Errorf("%s: %d of 200, want about 20", name, n)
		}
	}
	if _, sound := play(Fault{}); sound != (Counters{Requests: 200, Replies: 200}) {
		t.Errorf("a sound line: %+v", sound)
	}
	if text, silent := play(Fault{Silent: true}); text != "" || silent.Silent != 200 {
		t.Errorf("a silent line: %+v", silent)
	}
	if _, echo := play(Fault{Echo: true}); echo.Echoes != 200 {
		t.Errorf("an echoing line: %+v", echo)
	}
}

func TestPaceOfTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		near, far := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- in.serveRTU(t.Context(), far, pacing{char: time.Millisecond, think: 20 * time.Millisecond})
		}()
		before := time.Now()
		r := wire.Request{Function: wire.ReadHoldingRegisters, Count: 1}
		if _, err := near.Write(append([]byte{0, 0xFF}, wire.AppendRTU(nil, 1, r.AppendPDU(nil))...)); err != nil {
			t.Fatal(err)
		}
		if n, err := io.ReadFull(near, make([]byte, 7)); err != nil {
			t.Fatal(n, err)
		}
		if d := time.Since(before); d != 35*time.Millisecond { // 20 ms and 8 + 7 characters
			t.Errorf("the answer took %s", d)
		}
		_ = near.Close()
		if err := <-done; !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

func TestValuesThatMove(t *testing.T) {
	sine := Sine(10, 2, time.Minute)
	for at, want := range map[time.Duration]float64{0: 10, 15 * time.Second: 12, 30 * time.Second: 10, 45 * time.Second: 8} {
		if got := sine(at); got != want {
			t.Errorf("after %s: %v, want %v", at, got, want)
		}
	}
	if got := Counter(time.Second)(90 * time.Second); got != int64(90) {
		t.Errorf("counter %v", got)
	}
	u := NewInstruments().Unit(1)
	if err := u.Set(wire.ReadHoldingRegisters, 0, "flaot32", "", 1); err == nil {
		t.Error("a type that does not exist was taken")
	}
	if err := u.Set(wire.ReadHoldingRegisters, 0, "float32", "AB", 1); err == nil {
		t.Error("an order that does not exist was taken")
	}
}

func TestTheLinkIsOurs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Path: file}); err == nil {
		t.Error("a file was replaced by a link")
	}
	link := filepath.Join(dir, "link")
	s, err := New(Options{Path: link})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := os.Readlink(link)
	s.Unplug()
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link stayed when it was unplugged")
	}
	if err := s.Plug(); err != nil {
		t.Fatal(err)
	}
	if second, err := os.Readlink(link); err != nil || !strings.HasPrefix(second, "/dev/pts/") {
		t.Errorf("plugged back: %s, before %s, %v", second, first, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link stayed when it was stopped")
	}
}

func FuzzServe(f *testing.F) {
	f.Add(wire.AppendRTU(nil, 1, []byte{3, 0, 0, 0, 1}), true)
	f.Add(wire.AppendMBAP(nil, 1, 1, []byte{3, 0, 0, 0, 1}), false)
	f.Add([]byte{1, 0x2B, 0x0E}, true)
	f.Fuzz(func(t *testing.T, b []byte, rtu bool) {
		in := NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		rw := struct {
			io.Reader
			io.Writer
		}{strings.NewReader(string(b)), io.Discard}
		serve := in.ServeTCP
		if rtu {
			serve = in.ServeRTU
		}
		if err := serve(t.Context(), rw); err == nil {
			t.Error("serving ended without a reason")
		}
	})
}
