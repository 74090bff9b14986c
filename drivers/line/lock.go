package line

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// fdLimit is the first file descriptor that the library's select cannot take;
// its open needs three more than our lock.
const fdLimit = 1024 - 8

// uucpLocks is where minicom, pppd and their kind look (FHS 3.0, 5.9).
var uucpLocks = "/run/lock"

// lock takes the port for us alone. TIOCEXCL, which the library sets, does not
// stop root, and one who gets past it takes it away with its close; so we hold a
// flock on a descriptor of our own, opened before TIOCEXCL keeps it out. It is
// good as well for what the library cannot do; release closes it.
func lock(path string) (fd int, release func(), err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, nil, serialError(path, err)
	}
	undo := func() { _ = unix.Close(fd) }
	if fd >= fdLimit {
		undo()
		return 0, nil, fmt.Errorf("open %s: too many files are open for a serial port", path)
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		undo()
		return 0, nil, notPort(path)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		undo()
		return 0, nil, busy(path)
	}
	removeLockFile, err := writeLockFile(path)
	if err != nil {
		undo()
		return 0, nil, err
	}
	return fd, func() { removeLockFile(); undo() }, nil
}

// writeLockFile leaves the lock that UUCP-style programs honour, and honours
// theirs. Where the directory cannot be written there is only the flock.
func writeLockFile(path string) (remove func(), err error) {
	none := func() {}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !strings.HasPrefix(filepath.Base(real), "tty") {
		return none, nil // a pseudo-terminal: nobody dials on it
	}
	name := filepath.Join(uucpLocks, "LCK.."+filepath.Base(real))
	if text, err := os.ReadFile(name); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil && pid != os.Getpid() && unix.Kill(pid, 0) != unix.ESRCH {
			return nil, &openError{fmt.Sprintf("open %s: held by %s, says %s; stop it first", path, describe(pid), name), ErrBusy}
		}
		_ = os.Remove(name) // its maker is dead
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return none, nil
	}
	_, err = fmt.Fprintf(f, "%10d\n", os.Getpid())
	if closeErr := f.Close(); err != nil || closeErr != nil {
		_ = os.Remove(name)
		return none, nil
	}
	return func() { _ = os.Remove(name) }, nil
}

// serialError turns what the kernel or the library says into a sentence.
func serialError(path string, err error) error {
	var e *serial.PortError
	code := serial.PortErrorCode(-1)
	if errors.As(err, &e) {
		code = e.Code()
	}
	switch {
	case errors.Is(err, unix.ENOENT), code == serial.PortNotFound:
		return &openError{fmt.Sprintf("open %s: there is no such port; is the adapter plugged in? /dev/serial/by-id lists what is there", path), ErrMissing}
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return &openError{fmt.Sprintf("open %s: no hardware behind this port (%v)", path, err), ErrMissing}
	case errors.Is(err, unix.EBUSY), code == serial.PortBusy:
		return busy(path)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), code == serial.PermissionDenied:
		return &openError{fmt.Sprintf("open %s: not permitted; %s", path, groupRemedy(path)), ErrNotPermitted}
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENOTTY), code == serial.InvalidSerialPort:
		return notPort(path)
	case code == serial.InvalidSpeed:
		return fmt.Errorf("open %s: the port does not know this baud rate", path)
	default:
		return fmt.Errorf("open %s: %w", path, err)
	}
}

func notPort(path string) error {
	return &openError{fmt.Sprintf("open %s: not a serial port; write the path of one, such as /dev/ttyUSB0", path), ErrNotPort}
}

// groupRemedy names the group that may use the port.
func groupRemedy(path string) string {
	var st unix.Stat_t
	group := "dialout"
	if unix.Stat(path, &st) == nil {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(st.Gid), 10)); err == nil {
			group = g.Name
		}
	}
	return fmt.Sprintf("not in group %s? add the user with: usermod -aG %s USER", group, group)
}

func busy(path string) error {
	held := "by another program"
	if who := holder(path); who != "" {
		held = "by " + who
	}
	return &openError{fmt.Sprintf("open %s: held %s; a port serves one program at a time", path, held), ErrBusy}
}

// holder finds who holds a port, as far as we may see: the owner of a flock in
// /proc/locks, which everybody may read, else a process with the port open,
// which only root may see of others.
func holder(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	if text, err := os.ReadFile("/proc/locks"); err == nil {
		if pid := flockOwner(string(text), st.Ino); pid > 0 {
			return describe(pid)
		}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		var other unix.Stat_t
		if unix.Stat(l, &other) != nil || other.Ino != st.Ino || other.Rdev != st.Rdev || other.Mode&unix.S_IFMT != unix.S_IFCHR {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(l, "/")[2])
		if err == nil && pid != os.Getpid() {
			return describe(pid)
		}
	}
	return ""
}

// flockOwner reads /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 00:18:5 0 EOF".
func flockOwner(locks string, inode uint64) int {
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], ":"+strconv.FormatUint(inode, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			return pid
		}
	}
	return 0
}

func describe(pid int) string {
	if pid == os.Getpid() {
		return fmt.Sprintf("this program itself (pid %d)", pid)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
}
