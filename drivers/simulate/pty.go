package simulate

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pty is the master side of a pseudo-terminal.
type pty struct {
	*os.File
	name   string // of the slave side
	closed atomic.Bool
}

// openPTY opens a pseudo-terminal that passes bytes as they are.
func openPTY() (*pty, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	name, err := preparePTY(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &pty{File: os.NewFile(uintptr(fd), "/dev/ptmx"), name: name}, nil
}

func preparePTY(fd int) (name string, err error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return "", fmt.Errorf("unlock the pseudo-terminal: %w", err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return "", fmt.Errorf("name the pseudo-terminal: %w", err)
	}
	// On a master these reach the slave's settings. Without, the terminal would
	// echo what we send before somebody opens it raw.
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("read the settings of the pseudo-terminal: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B9600
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return "", fmt.Errorf("make the pseudo-terminal raw: %w", err)
	}
	return fmt.Sprintf("/dev/pts/%d", n), nil
}

// lookAgain is how often a pseudo-terminal that nobody has open is looked at:
// the kernel cannot tell when it is opened.
const lookAgain = 5 * time.Millisecond

// Read waits while nobody has the slave side open.
func (p *pty) Read(b []byte) (int, error) {
	for {
		n, err := p.File.Read(b)
		if n > 0 || !errors.Is(err, unix.EIO) {
			return n, err
		}
		if p.closed.Load() {
			return 0, os.ErrClosed
		}
		time.Sleep(lookAgain)
	}
}

// Close makes the slave side hang up.
func (p *pty) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	return p.File.Close()
}
