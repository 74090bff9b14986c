//go:build cgo

package flash

import (
	"errors"
	"fmt"
	"time"
)

// A disk that fails for this many attempts in a row, 7 s in all, is given up until
// the next start, and memory takes its place.
const attemptsBeforeMemory = 4

// breakage is a file that was closed because of an error.
type breakage struct {
	err      error
	attempts int
	retry    time.Time
}

// fail closes the file after an error that leaves its state unknown. A sync
// that failed is never tried again and believed: Linux drops the pages, and the
// next sync succeeds without them.
func (f *File) fail(err error) {
	if isDamage(err) {
		f.corrupt++
	}
	f.o.Log.Error("buffer file failed, it is opened again", "error", err)
	if f.db != nil {
		f.db.close()
		f.db = nil
	}
	f.broken = breakage{err: err, retry: time.Now()}
	f.mu.Lock()
	f.stats.Trouble = err.Error()
	f.mu.Unlock()
}

// recover opens the file again, or tells everybody that it could not.
func (f *File) recover() {
	if err := f.reopen(f.broken.err); err != nil {
		f.settle(fmt.Errorf("%w: %w", ErrUnavailable, err))
		f.broken.err = err
		f.broken.attempts++
		f.broken.retry = time.Now().Add(time.Second << min(f.broken.attempts-1, 5))
		return
	}
	f.o.Log.Warn("buffer file is open again", "in_memory", f.Stats().InMemory)
	f.Wake(0)
}

// reopen opens the file and loads everybody. A file in which damage was found
// is checked whole, and moved aside if it was found twice. Where there is no way to a
// file, there is memory.
func (f *File) reopen(why error) error {
	if f.db != nil {
		f.db.close()
		f.db = nil
	}
	var err error
	if f.InMemory() || f.broken.attempts+1 >= attemptsBeforeMemory {
		return f.toMemory(why)
	}
	if f.corrupt >= 2 {
		if err = f.o.moveAside(why); err != nil {
			return err
		}
		f.corrupt = 0
	}
	if f.db, err = f.o.open(true, isDamage(why)); err != nil {
		return err
	}
	if err = f.load(f.parts...); err == nil {
		f.mu.Lock()
		f.stats.Trouble = ""
		f.mu.Unlock()
		return nil
	}
	f.db.close()
	f.db = nil
	if isDamage(err) { // readable to the check, but not to those who use it
		f.corrupt = 2
	}
	return err
}

// InMemory reports whether nothing of this survives a restart.
func (f *File) InMemory() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats.InMemory
}

func (f *File) toMemory(why error) error {
	o := f.o
	o.MaxSize = memoryMaxBytes
	db, err := openMemory(o)
	if err != nil {
		return err
	}
	f.db = db
	f.mu.Lock()
	f.stats.InMemory, f.stats.Trouble = true, why.Error()
	f.mu.Unlock()
	f.o.Log.Error("the disk is given up until the next start: readings are kept in memory", "error", why)
	if err := f.load(f.parts...); err != nil {
		f.db = nil
		return errors.Join(err, db.close())
	}
	return nil
}
