//go:build cgo

package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Copy is a copy of a file that nobody runs, to look at. SQLite writes when it
// only reads what a power cut left: it plays the WAL back. It does so in the copy.
type Copy struct {
	f   *File
	dir string
}

// ErrNotOurs means that there is something, but no file of ours.
var ErrNotOurs = errors.New("it is not a buffer of gaugeway")

// OpenCopy copies a file and its WAL to the directory for temporary files, and
// opens the copy. The file itself is opened for reading only and never locked.
// ErrInUse means that another process has it: what it writes would tear the copy.
//
// Do not call it for a file that this very process has open: POSIX drops the
// locks of a process when it closes a file, whoever opened it.
func OpenCopy(path string) (*Copy, error) {
	c := &Copy{}
	err := checkHeader(path)
	if err == nil {
		c.dir, err = os.MkdirTemp("", "gaugeway-buffer-")
	}
	if err == nil {
		err = c.open(path)
	}
	if err != nil {
		c.Close()
		if isDamage(err) {
			err = fmt.Errorf("%w: %w", ErrNotOurs, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Copy) open(path string) error {
	name := filepath.Join(c.dir, "copy.db")
	if err := copyQuiet(path, name); err != nil {
		return err
	}
	db, err := connect(name)
	if err != nil {
		return err
	}
	c.f = &File{db: db}
	id, err := db.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	version, err := db.number("PRAGMA user_version")
	switch {
	case err != nil:
		return err
	case id != applicationID:
		return &damagedError{"another program wrote it"}
	case version > schemaVersion:
		return &newerError{version}
	}
	return db.exec("PRAGMA query_only=ON")
}

// copyQuiet copies the file and its WAL while nobody writes them.
func copyQuiet(path, to string) error {
	before, err := signature(path)
	if err != nil {
		return err
	}
	if err := copyFile(path, to); err != nil {
		return err
	}
	if err := copyFile(path+"-wal", to+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	after, err := signature(path)
	if err == nil && before != after {
		err = ErrInUse // somebody came in between
	}
	return err
}

// signature is what changes when somebody writes the file. It fails with
// ErrInUse when somebody holds it.
func signature(path string) (s [2]fileSignature, err error) {
	if err := held(path); err != nil {
		return s, err
	}
	for i, name := range [...]string{path, path + "-wal"} {
		info, err := os.Stat(name)
		switch {
		case err == nil:
			s[i] = fileSignature{info.Size(), info.ModTime().UnixNano()}
		case i == 0 || !errors.Is(err, os.ErrNotExist):
			return s, err
		}
	}
	return s, nil
}

type fileSignature struct{ size, modified int64 }

// Where SQLite locks a file (sqlite.org/fileformat2, "the lock-byte page").
const (
	lockBytes  = 0x40000000
	lockLength = 512
)

// held asks who has a lock on the file, without taking one.
func held(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: lockBytes, Len: lockLength}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil {
		return nil // a file system without locks: the signature has to do
	}
	if lock.Type != syscall.F_UNLCK {
		return fmt.Errorf("%w (process %d)", ErrInUse, lock.Pid)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		err = fmt.Errorf("copy it to look into it (TMPDIR may name another directory): %w", err)
	}
	return errors.Join(err, out.Close())
}

// Read calls fn with what is in the copy.
func (c *Copy) Read(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(&Tx{f: c.f, readOnly: true})
}

// Close removes the copy.
func (c *Copy) Close() error {
	var err error
	if c.f != nil {
		err = c.f.db.close()
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// Damaged reports whether err says that a file is damaged, or no file of ours.
func Damaged(err error) bool { return isDamage(err) }
