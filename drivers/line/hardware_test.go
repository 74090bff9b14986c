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
