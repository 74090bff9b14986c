package line

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gaugeway/gaugeway/gateway"
)

// The values of rs485.
const (
	rs485Off    = "off"    // the adapter switches direction itself, as nearly all do
	rs485Kernel = "kernel" // the driver of the port does, with RTS
)

// serialRS485 is struct serial_rs485 of linux/serial.h.
type serialRS485 struct {
	flags                   uint32
	delayBefore, delayAfter uint32 // ms
	_                       [5]uint32
}

const (
	rs485Enabled      = 1 << 0
	rs485RTSOnSend    = 1 << 1
	rs485RTSAfterSend = 1 << 2
)

// switchDirection has the kernel raise RTS while it sends, and leaves the rest as
// the board's description has set it: delays, and who ends the line. The state lives in
// the port, so any descriptor of it will do; the library has no way to do it.
func switchDirection(fd int, path string) error {
	var s serialRS485
	if err := ioctl(fd, unix.TIOCGRS485, unsafe.Pointer(&s)); err != nil {
		return rs485Error(path, err)
	}
	s.flags = s.flags&^rs485RTSAfterSend | rs485Enabled | rs485RTSOnSend
	if err := ioctl(fd, unix.TIOCSRS485, unsafe.Pointer(&s)); err != nil {
		return rs485Error(path, err)
	}
	return nil
}

func rs485Error(path string, err error) error {
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // ENOSYS: an emulator
		return fmt.Errorf("open %s: the driver of this port cannot switch an RS-485 direction; if the adapter does it itself, as most do, remove rs485 = %q", path, rs485Kernel)
	}
	return fmt.Errorf("open %s: switch on RS-485: %w", path, err)
}

const (
	// serialFlags is where flags stands in struct serial_struct of linux/serial.h.
	serialFlags     = 16
	asyncLowLatency = 1 << 13
)

// lowerLatency asks the driver to hand over bytes at once. It is a favour: where
// the driver or the rights do not allow it, everything works, only slower. An
// FTDI adapter holds short answers back for 16 ms otherwise.
func lowerLatency(fd int, path string) {
	var s [128]byte // struct serial_struct has 60 to 72, as the machine is
	if ioctl(fd, unix.TIOCGSERIAL, unsafe.Pointer(&s)) == nil {
		flags := (*uint32)(unsafe.Pointer(&s[serialFlags]))
		*flags |= asyncLowLatency
		_ = ioctl(fd, unix.TIOCSSERIAL, unsafe.Pointer(&s)) // see above
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		timer := filepath.Join(sysTTY, filepath.Base(real), "device", "latency_timer")
		if text, err := os.ReadFile(timer); err == nil && strings.TrimSpace(string(text)) != "1" {
			_ = os.WriteFile(timer, []byte("1"), 0) // see above
		}
	}
}

// sysTTY is where the kernel describes its ports.
var sysTTY = "/sys/class/tty"

// interruptCounts is struct serial_icounter_struct of linux/serial.h.
type interruptCounts struct {
	_                           [6]int32 // cts, dsr, rng, dcd, rx, tx
	frame, overrun, parity, brk int32
	bufOverrun                  int32
	_                           [9]int32
}

// countErrors reads what the hardware has counted since it was switched on.
func countErrors(fd int) (c interruptCounts, ok bool) {
	return c, ioctl(fd, unix.TIOCGICOUNT, unsafe.Pointer(&c)) == nil
}

// since returns what was counted after before.
func (c interruptCounts) since(before interruptCounts) gateway.UARTErrors {
	return gateway.UARTErrors{
		Known: true, Framing: uint64(uint32(c.frame - before.frame)), Parity: uint64(uint32(c.parity - before.parity)),
		Overruns: uint64(uint32(c.overrun - before.overrun + c.bufOverrun - before.bufOverrun)), Breaks: uint64(uint32(c.brk - before.brk)),
	}
}

// ioctl is another in tests: no pseudo-terminal has what is asked of a port here.
var ioctl = func(fd int, request uint, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}
