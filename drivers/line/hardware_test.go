package line

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gaugeway/gaugeway/gateway"
)

func TestListen(t *testing.T) {
	p := NewOpener(Options{Listen: "127.0.0.1:0"})
	defer p.Close()
	early, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Open(early); !errors.Is(err, context.Canceled) {
		t.Fatalf("with an ended context: %v", err)
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	first := dial()
	one := opened(t, p)
	exchange(t, one, first)
	second := dial() // the modem lost its first connection, and nobody told us
	if n, err := one.Read(make([]byte, 1)); err == nil {
		t.Errorf("the line of a modem that dialled again still reads %d bytes", n)
	}
	_ = one.Close()
	exchange(t, opened(t, p), second)
	third := dial()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := third.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a modem that nobody served is told %v", err)
	}
}

func opened(t *testing.T, p *Opener) gateway.Line {
	t.Helper()
	l, err := p.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func exchange(t *testing.T, l gateway.Line, far net.Conn) {
	t.Helper()
	if _, err := l.Write([]byte("ask")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	if _, err := far.Read(b); err != nil || string(b) != "ask" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestListenWhereTheAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := NewOpener(Options{Listen: l.Addr().String()})
	defer p.Close()
	if _, err := p.Open(context.Background()); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "choose another") {
		t.Error(err)
	}
}

func TestRS485WhereTheDriverCannot(t *testing.T) {
	_, name := openPTY(t)
	o := serialOptions(name)
	o.RS485 = rs485Kernel
	_, err := Open(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), `if the adapter does it itself, as most do, remove rs485 = "kernel"`) {
		t.Fatal(err)
	}
	l := open(t, serialOptions(name)) // and the port was given back
	if e := l.UART(); e.Known {
		t.Errorf("a pseudo-terminal counts %+v", e)
	}
	if err := l.Break(time.Millisecond); err != nil {
		t.Logf("break on a pseudo-terminal: %v", err)
	}
	_ = l.Close()
	if e := l.UART(); e.Known {
		t.Errorf("a closed port counts %+v", e)
	}
}

// withIoctl has f stand in for the kernel.
func withIoctl(t *testing.T, f func(request uint, p unsafe.Pointer) error) {
	t.Helper()
	old := ioctl
	t.Cleanup(func() { ioctl = old })
	ioctl = func(_ int, request uint, p unsafe.Pointer) error { return f(request, p) }
}

func TestRS485KeepsWhatTheBoardSays(t *testing.T) {
	const terminated = 1 << 5
	state := serialRS485{flags: terminated | rs485RTSAfterSend, delayBefore: 1, delayAfter: 2}
	withIoctl(t, func(request uint, p unsafe.Pointer) error {
		switch request {
		case unix.TIOCGRS485:
			*(*serialRS485)(p) = state
		case unix.TIOCSRS485:
			state = *(*serialRS485)(p)
		}
		return nil
	})
	if err := switchDirection(0, "/dev/ttyX"); err != nil {
		t.Fatal(err)
	}
	if want := (serialRS485{flags: terminated | rs485Enabled | rs485RTSOnSend, delayBefore: 1, delayAfter: 2}); state != want {
		t.Errorf("%+v, want %+v", state, want)
	}
	withIoctl(t, func(request uint, p unsafe.Pointer) error {
		if request == unix.TIOCSRS485 {
			return unix.EPERM
		}
		return nil
	})
	if err := switchDirection(0, "/dev/ttyX"); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "switch on RS-485") {
		t.Error(err)
	}
}

func TestLowLatency(t *testing.T) {
	root := t.TempDir()
	defer func(old string) { sysTTY = old }(sysTTY)
	sysTTY = root
	timer := filepath.Join(root, "ttyUSB0", "device", "latency_timer")
	if err := os.MkdirAll(filepath.Dir(timer), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(timer, []byte("16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, link := filepath.Join(root, "dev-ttyUSB0", "ttyUSB0"), filepath.Join(root, "usb-FTDI")
	if err := errors.Join(os.MkdirAll(filepath.Dir(port), 0o755), os.WriteFile(port, nil, 0o600), os.Symlink(port, link)); err != nil {
		t.Fatal(err)
	}
	var set uint32
	withIoctl(t, func(request uint, p unsafe.Pointer) error {
		flags := (*uint32)(unsafe.Add(p, serialFlags))
		if request == unix.TIOCGSERIAL {
			*flags = 0x10
		} else {
			set = *flags
		}
		return nil
	})
	lowerLatency(0, link)
	if text, _ := os.ReadFile(timer); string(text) != "1" || set != 0x10|asyncLowLatency {
		t.Errorf("latency timer %q, flags %#x", text, set)
	}
	withIoctl(t, func(uint, unsafe.Pointer) error { return unix.ENOTTY })
	lowerLatency(0, filepath.Join(root, "missing")) // does no harm
}

// TestLayoutOfTheKernel has the sizes of linux/serial.h, the same on all machines.
func TestLayoutOfTheKernel(t *testing.T) {
	if n := unsafe.Sizeof(serialRS485{}); n != 32 {
		t.Errorf("struct serial_rs485 has %d bytes, want 32", n)
	}
	if n := unsafe.Sizeof(interruptCounts{}); n != 80 {
		t.Errorf("struct serial_icounter_struct has %d bytes, want 80", n)
	}
}

func TestUARTTellsWhatCameSinceOpening(t *testing.T) {
	counts := interruptCounts{frame: 100}
	withIoctl(t, func(request uint, p unsafe.Pointer) error {
		if request != unix.TIOCGICOUNT {
			return unix.ENOTTY
		}
		*(*interruptCounts)(p) = counts
		return nil
	})
	_, path := openPTY(t)
	l := open(t, serialOptions(path))
	counts.frame, counts.brk = 103, 1
	if got, want := l.UART(), (gateway.UARTErrors{Known: true, Framing: 3, Breaks: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestHardwareCounts(t *testing.T) {
	before := interruptCounts{frame: 2, overrun: -1, parity: 3, brk: 1, bufOverrun: 4}
	now := interruptCounts{frame: 7, overrun: 1, parity: 3, brk: 2, bufOverrun: 5}
	want := gateway.UARTErrors{Known: true, Framing: 5, Overruns: 3, Breaks: 1}
	if got := now.since(before); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestList looks at a machine made of files: an FTDI adapter with a name that
// stays, a built-in port, a place that the kernel keeps for a port that is not
// there, and a console.
func TestList(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	write("sys/devices/usb1/manufacturer", "FTDI\n")
	write("sys/devices/usb1/product", "FT232R USB UART\n")
	write("sys/devices/usb1/serial", "A50285BI\n")
	write("sys/devices/usb1/1-1:1.0/ttyUSB0/latency_timer", "16")
	link("/drivers/ftdi_sio", "sys/devices/usb1/1-1:1.0/ttyUSB0/driver")
	link(filepath.Join(root, "sys/devices/usb1/1-1:1.0/ttyUSB0"), "sys/class/tty/ttyUSB0/device")
	write("dev/ttyUSB0", "")
	link("../../ttyUSB0", "dev/serial/by-id/usb-FTDI_A50285BI-if00-port0")
	link("../../ttyUSB0", "dev/serial/by-path/pci-0:1")
	for name, kind := range map[string]string{"ttyS0": "4", "ttyS1": "0"} {
		write("sys/class/tty/"+name+"/type", kind+"\n")
		write("sys/class/tty/"+name+"/device/x", "")
		link("/drivers/serial8250", "sys/class/tty/"+name+"/device/driver")
		write("dev/"+name, "")
	}
	write("sys/class/tty/tty0/uevent", "")
	write("dev/tty0", "")

	ports, err := list(root)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ports {
		ports[i].Group = ""
	}
	want := []Port{
		{Path: "/dev/ttyS0", Driver: "serial8250", Permitted: true},
		{Path: "/dev/ttyUSB0", Stable: []string{"/dev/serial/by-id/usb-FTDI_A50285BI-if00-port0", "/dev/serial/by-path/pci-0:1"}, Adapter: "FTDI FT232R USB UART A50285BI", Driver: "ftdi_sio", Permitted: true},
	}
	if !reflect.DeepEqual(ports, want) {
		t.Errorf("%+v\nwant\n%+v", ports, want)
	}
}
