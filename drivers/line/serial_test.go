package line

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// openPTY returns the master side of a pseudo-terminal and the name of the other.
// A pseudo-terminal takes any speed and ignores parity, so mode is tested apart.
func openPTY(t *testing.T) (*os.File, string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { _ = master.Close() })
	return master, fmt.Sprintf("/dev/pts/%d", n)
}

func serialOptions(path string) Options {
	return Options{Serial: path, BaudRate: 19200, Parity: "even"}
}

func open(t *testing.T, o Options) *serialLine {
	t.Helper()
	l, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*serialLine)
}

func far(t *testing.T, l *serialLine) {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
}

func readFull(t *testing.T, l *serialLine, n int) string {
	t.Helper()
	far(t, l)
	var all []byte
	buf := make([]byte, 512)
	for len(all) < n {
		k, err := l.Read(buf)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(all), err)
		}
		all = append(all, buf[:k]...)
	}
	return string(all)
}

func TestEveryByteGoesBothWays(t *testing.T) {
	master, path := openPTY(t)
	link := filepath.Join(t.TempDir(), "usb-FTDI-port0")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	l := open(t, serialOptions(link))
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if _, err := l.Write(all); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 0, 256)
	buf := make([]byte, 256)
	for len(got) < 256 {
		n, err := master.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buf[:n]...)
	}
	if string(got) != string(all) {
		t.Errorf("the far side read %x", got)
	}
	if _, err := master.Write(all); err != nil {
		t.Fatal(err)
	}
	if got := readFull(t, l, 256); got != string(all) {
		t.Errorf("read %x", got)
	}
}

func TestNothingComes(t *testing.T) {
	_, path := openPTY(t)
	l := open(t, serialOptions(path))
	for _, d := range []time.Duration{-time.Hour, 0, time.Microsecond, 3 * time.Millisecond} {
		deadline := time.Now().Add(d)
		if err := l.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if n, err := l.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline %s: %d, %v", d, n, err)
		}
		if d > 0 && time.Now().Before(deadline) {
			t.Errorf("deadline %s: too early", d)
		}
	}
}

func TestPassedDeadlineTakesWhatIsThere(t *testing.T) {
	master, path := openPTY(t)
	l := open(t, serialOptions(path))
	if _, err := master.WriteString("ab"); err != nil {
		t.Fatal(err)
	}
	far(t, l)
	one := make([]byte, 1)
	if _, err := l.Read(one); err != nil || one[0] != 'a' {
		t.Fatalf("%q, %v", one, err)
	}
	_ = l.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := l.Read(one); n != 1 || err != nil || one[0] != 'b' {
		t.Errorf("%d %q, %v", n, one, err)
	}
}

func TestDiscard(t *testing.T) {
	master, path := openPTY(t)
	l := open(t, serialOptions(path))
	if _, err := master.WriteString("late answer"); err != nil {
		t.Fatal(err)
	}
	far(t, l)
	if _, err := l.Read(make([]byte, 1)); err != nil { // it has arrived
		t.Fatal(err)
	}
	if err := l.Discard(); err != nil {
		t.Fatal(err)
	}
	_ = l.SetReadDeadline(time.Now())
	if n, err := l.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestCloseLeavesNothingForTheNext(t *testing.T) {
	master, path := openPTY(t)
	l := open(t, serialOptions(path))
	if _, err := master.WriteString("late answer"); err != nil {
		t.Fatal(err)
	}
	far(t, l)
	if _, err := l.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if n, err := unix.Read(fd, make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestUnplugged(t *testing.T) {
	master, path := openPTY(t)
	l := open(t, serialOptions(path))
	far(t, l)
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := l.Read(make([]byte, 8))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("read: %v", err)
		}
	}
	if _, err := l.Write([]byte("x")); err == nil {
		t.Error("a write to a port that is gone went well")
	}
	_ = l.Close()
	if _, err := Open(context.Background(), serialOptions(path)); !errors.Is(err, ErrMissing) {
		t.Errorf("open: %v", err)
	}
}

func TestOneHolder(t *testing.T) {
	_, path := openPTY(t)
	l := open(t, serialOptions(path))
	_, err := Open(context.Background(), serialOptions(path))
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("open twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, serialOptions(path))
}

func TestWhatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{filepath.Join(dir, "none"): ErrMissing, file: ErrNotPort, dir: ErrNotPort, "/dev/null": ErrNotPort} {
		_, err := Open(context.Background(), serialOptions(path))
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	err := serialError("/dev/null", unix.EACCES)
	if !errors.Is(err, ErrNotPermitted) || !strings.Contains(err.Error(), "not in group root?") {
		t.Errorf("EACCES: %v", err)
	}
	if err := serialError("/dev/null", unix.EBUSY); !errors.Is(err, ErrBusy) {
		t.Errorf("EBUSY: %v", err)
	}
}

func TestFlockOwner(t *testing.T) {
	const locks = "1: POSIX  ADVISORY  WRITE 11 00:18:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 4242 00:18:77 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 00:18:77 0 EOF\nnonsense\n"
	if pid := flockOwner(locks, 77); pid != 4242 {
		t.Errorf("pid %d, want 4242", pid)
	}
	if pid := flockOwner(locks, 7); pid != 0 {
		t.Errorf("pid %d, want none", pid)
	}
}

func TestLockFiles(t *testing.T) {
	dir := t.TempDir()
	defer func(old string) { uucpLocks = old }(uucpLocks)
	uucpLocks = dir
	path := filepath.Join(dir, "ttyUSB0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lockFile := filepath.Join(dir, "LCK..ttyUSB0")
	remove, err := writeLockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(lockFile); string(text) != fmt.Sprintf("%10d\n", os.Getpid()) {
		t.Errorf("lock file %q", text)
	}
	remove()
	if _, err := os.Stat(lockFile); err == nil {
		t.Error("the lock file stayed")
	}
	write := func(pid int) {
		if err := os.WriteFile(lockFile, fmt.Appendf(nil, "%10d\n", pid), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(os.Getppid()) // alive, and not us
	if _, err := writeLockFile(path); !errors.Is(err, ErrBusy) {
		t.Errorf("held by another: %v", err)
	}
	write(1 << 30) // no such process
	remove, err = writeLockFile(path)
	if err != nil {
		t.Errorf("left by a dead one: %v", err)
	}
	remove()
}

func TestMode(t *testing.T) {
	cases := []struct {
		o    Options
		want serial.Mode
	}{
		{Options{BaudRate: 9600, Parity: "none"}, serial.Mode{BaudRate: 9600, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit}},
		{Options{BaudRate: 1200, Parity: "even", DataBits: 7}, serial.Mode{BaudRate: 1200, DataBits: 7, Parity: serial.EvenParity, StopBits: serial.OneStopBit}},
		{Options{BaudRate: 115200, Parity: "odd", StopBits: 2}, serial.Mode{BaudRate: 115200, DataBits: 8, Parity: serial.OddParity, StopBits: serial.TwoStopBits}},
	}
	for _, c := range cases {
		if got := *mode(c.o); got != c.want {
			t.Errorf("%+v: %+v", c.o, got)
		}
	}
}

// stubborn is a port that does what a test says.
type stubborn struct {
	read  func([]byte) (int, error)
	block chan struct{} // Write and Close wait for it
	wait  time.Duration
	order []string
}

func (s *stubborn) Break(time.Duration) error            { return nil }
func (s *stubborn) Read(p []byte) (int, error)           { return s.read(p) }
func (s *stubborn) SetReadTimeout(d time.Duration) error { s.wait = d; return nil }
func (s *stubborn) ResetInputBuffer() error              { s.order = append(s.order, "in"); return nil }
func (s *stubborn) ResetOutputBuffer() error             { s.order = append(s.order, "out"); return nil }
func (s *stubborn) Write([]byte) (int, error)            { <-s.block; return 0, unix.EIO }
func (s *stubborn) Close() error                         { <-s.block; s.order = append(s.order, "close"); return nil }

func TestAStuckPortIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &stubborn{block: make(chan struct{})}
		released := false
		l := newSerialLine(serialOptions("/dev/ttyX"), p, func() { released = true })
		before := time.Now()
		if _, err := l.Write([]byte("request")); err == nil || !strings.Contains(err.Error(), "takes no bytes") {
			t.Errorf("write: %v", err)
		}
		if d := time.Since(before); d < writeMargin || d > 2*writeMargin {
			t.Errorf("the write was given up after %s", d)
		}
		if _, err := l.Write([]byte("again")); err == nil {
			t.Error("a second write went well")
		}
		before = time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(before); d > closePatience {
			t.Errorf("closing took %s", d)
		}
		if released {
			t.Error("the port was given to others before it was closed")
		}
		close(p.block) // the driver lets go at last
		synctest.Wait()
		if !released || strings.Join(p.order, " ") != "out in close" {
			t.Errorf("released %v after %v", released, p.order)
		}
	})
}

func TestReadsThatEndEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &stubborn{block: make(chan struct{})}
		p.read = func([]byte) (int, error) { // a select that returns a little early
			time.Sleep(p.wait - min(p.wait, 10*time.Microsecond))
			return 0, nil
		}
		l := newSerialLine(serialOptions("/dev/ttyX"), p, func() {})
		deadline := time.Now().Add(5 * time.Millisecond)
		_ = l.SetReadDeadline(deadline)
		calls := 0
		early := p.read
		p.read = func(b []byte) (int, error) {
			if calls++; calls > 2 {
				time.Sleep(p.wait)
				return 0, nil
			}
			return early(b)
		}
		if _, err := l.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(deadline) {
			t.Errorf("%v, %s before the deadline", err, time.Until(deadline))
		}
		p.read = func([]byte) (int, error) { var few []int; return few[1023], nil }
		if _, err := l.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "too many files") {
			t.Errorf("panic: %v", err)
		}
		close(p.block)
		_ = l.Close()
	})
}

// TestManyOpenFiles has more files open than the library's select can take: the port is
// refused in a sentence, and nothing is left open.
func TestManyOpenFiles(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max < 2*fdLimit {
		if os.Getenv("CI") != "" {
			t.Fatalf("no more than %d files may be open here; raise the limit (ulimit -Hn)", limit.Max)
		}
		t.Skipf("no more than %d files may be open here", limit.Max)
	}
	old := limit
	limit.Cur = 2 * fdLimit
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }()
	_, path := openPTY(t)
	var last int
	for last < fdLimit {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		last = fd
	}
	if _, err := Open(context.Background(), serialOptions(path)); err == nil || !strings.Contains(err.Error(), "too many files") {
		t.Error(err)
	}
	if fd, err := unix.Dup(0); err != nil || fd != last+1 {
		t.Errorf("descriptor %d, %v, want %d: one was left open", fd, err, last+1)
	} else {
		_ = unix.Close(fd)
	}
}
