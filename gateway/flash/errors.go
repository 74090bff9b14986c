//go:build cgo

package flash

import (
	"errors"
	"fmt"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// The states a caller can decide on.
var (
	// ErrFull means that the file has reached its size limit, or the disk has no room.
	// The transaction is rolled back, and deleting makes room within the limit.
	ErrFull = errors.New("the buffer file is full")
	// ErrClosed means that Run has ended.
	ErrClosed = errors.New("the buffer file is closed")
	// ErrUnavailable means that the disk failed; the file is being opened again.
	ErrUnavailable = errors.New("the buffer file cannot be used at the moment")
	// ErrInUse means that another process has the file open.
	ErrInUse = errors.New("another process uses the buffer file; stop it, or give this one another directory")
)

// UnusableError means that no file can be kept in the directory at all, so that
// only memory is left.
type UnusableError struct {
	Path string
	Err  error
}

// Error says which file and why.
func (e *UnusableError) Error() string { return fmt.Sprintf("%s cannot be used: %v", e.Path, e.Err) }

// Unwrap returns why.
func (e *UnusableError) Unwrap() error { return e.Err }

// damagedError says that the file is there, but not one this version can use.
type damagedError struct{ why string }

func (e *damagedError) Error() string { return e.why }

// newerError says that a newer version wrote the file.
type newerError struct{ has int64 }

func (e *newerError) Error() string {
	return fmt.Sprintf("a newer version wrote it (schema %d, this one knows %d)", e.has, schemaVersion)
}

func sqliteCode(err error) (sqlite3.ErrNo, bool) {
	var e sqlite3.Error
	if errors.As(err, &e) {
		return e.Code, true
	}
	return 0, false
}

func isCode(err error, codes ...sqlite3.ErrNo) bool {
	code, ok := sqliteCode(err)
	for _, c := range codes {
		if ok && code == c {
			return true
		}
	}
	return false
}

func isDamage(err error) bool {
	var damaged *damagedError
	var pragma *pragmaError
	return errors.As(err, &damaged) || errors.As(err, &pragma) || isCode(err, sqlite3.ErrCorrupt, sqlite3.ErrNotADB)
}
