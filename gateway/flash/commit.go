//go:build cgo

package flash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Run commits until ctx ends, then a last time, and closes the file. It returns
// what went wrong with the last commit.
//
//	idle ──Wake──► due ──timer──► Write…, COMMIT ──ok──► Settled(nil) ──► idle
//	                                │ undone: Settled(ErrFull), Load ──► due
//	                                └ failed: Settled(err), close ──► open again ──► Load ──► due
func (f *File) Run(ctx context.Context) error {
	defer close(f.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(f.wait())
		select {
		case <-ctx.Done():
			return f.end()
		case r := <-f.reads:
			r.done <- f.read(r.fn)
		case <-f.poke:
		case <-timer.C:
			f.turn()
		}
	}
}

// wait returns how long until there is something to do.
func (f *File) wait() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.db == nil:
		return time.Until(f.broken.retry)
	case f.due.IsZero():
		return time.Hour
	default:
		return time.Until(f.due)
	}
}

// turn does what the timer was set for.
func (f *File) turn() {
	if f.db == nil {
		f.recover()
		return
	}
	f.mu.Lock()
	due := !f.due.IsZero() && !time.Now().Before(f.due)
	if due {
		f.due = time.Time{}
	}
	f.mu.Unlock()
	if due {
		f.commit(false)
	}
}

func (f *File) end() error {
	if f.db == nil {
		f.recover()
	}
	if f.db == nil {
		f.settle(ErrClosed)
		return fmt.Errorf("%w: %w", ErrUnavailable, f.broken.err)
	}
	err := f.commit(true)
	if f.db != nil {
		err = errors.Join(err, f.close())
	}
	f.settle(ErrClosed) // what came after the last Write
	return err
}

// close brings everything into the database file and closes it. The WAL keeps
// its length, for growing it costs wear, but not what is in it: if somebody puts
// another database file in place, an old WAL must not be played onto that.
func (f *File) close() error {
	clean := false
	err := f.db.query("PRAGMA wal_checkpoint(RESTART)", func(r Row) error {
		clean = r.Int(0) == 0 && r.Int(1) == r.Int(2)
		return Stop
	})
	err = errors.Join(err, f.db.close())
	f.db = nil
	if err != nil || !clean || f.InMemory() {
		return err
	}
	wal, err := os.OpenFile(f.o.Path+"-wal", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = wal.WriteAt(make([]byte, walHeader), 0)
	return errors.Join(err, wal.Sync(), wal.Close())
}

const walHeader = 32 // bytes (sqlite.org/fileformat2, section 4.1); zeros there mean an empty WAL

func (f *File) fault(s Step) error {
	if f.InMemory() {
		return nil
	}
	return f.o.fault(s)
}

func (f *File) read(fn func(*Tx) error) error {
	if f.db == nil {
		return ErrUnavailable
	}
	err := fn(&Tx{f: f, readOnly: true})
	if _, ours := sqliteCode(err); ours {
		f.fail(err)
	}
	return err
}

// commit writes what everybody has in one transaction.
func (f *File) commit(last bool) error {
	if f.stale {
		if err := f.load(f.parts...); err != nil {
			f.settle(err)
			f.fail(err)
			return err
		}
	}
	tx := &Tx{f: f, last: last}
	undone, err := f.transact(tx, f.parts, Participant.Write)
	switch {
	case err == nil:
		f.corrupt, f.undone = 0, 0
		f.account(tx)
		f.settle(nil)
		return nil
	case undone:
		f.stale = true
		f.settle(err)
		f.Wake(min(10*time.Millisecond<<f.undone, time.Second))
		f.undone = min(f.undone+1, 10)
		return err
	default:
		f.settle(err)
		f.fail(err)
		return err
	}
}

// load lets participants read their state in one transaction.
func (f *File) load(parts ...Participant) error {
	tx := &Tx{f: f}
	if _, err := f.transact(tx, parts, Participant.Load); err != nil {
		return fmt.Errorf("load the buffer file: %w", err)
	}
	f.stale = false
	f.account(tx)
	return nil
}

// transact runs one step of every participant and commits. undone says that
// the transaction was rolled back for certain; a failed COMMIT is not: the
// file then has to be opened again to learn what is in it.
func (f *File) transact(tx *Tx, parts []Participant, step func(Participant, *Tx) error) (undone bool, err error) {
	for _, p := range parts {
		if err = step(p, tx); err != nil {
			break
		}
	}
	if err == nil && !tx.begun {
		return false, nil
	}
	if err != nil {
		return f.undo(tx, err)
	}
	if err = f.fault(StepCommit); err == nil {
		err = f.db.exec("COMMIT")
	}
	if err == nil {
		err = f.fault(StepSync)
	}
	if isCode(err, sqlite3.ErrFull) {
		return f.undo(tx, err)
	}
	return false, err
}

func (f *File) undo(tx *Tx, err error) (undone bool, _ error) {
	if tx.begun && !f.db.conn.AutoCommit() { // SQLite has rolled back by itself after some errors
		if rollbackErr := f.db.exec("ROLLBACK"); rollbackErr != nil {
			return false, errors.Join(err, rollbackErr)
		}
	}
	if isCode(err, sqlite3.ErrFull) {
		return true, fmt.Errorf("%w: %w", ErrFull, err)
	}
	_, ours := sqliteCode(err)
	return !ours, err
}

func (f *File) settle(err error) {
	for _, p := range f.parts {
		p.Settled(err)
	}
}

func (f *File) account(tx *Tx) {
	if !tx.begun {
		return
	}
	f.mu.Lock()
	f.stats.Commits++
	f.stats.LastWrite = time.Now()
	f.mu.Unlock()
	f.measure()
}

func (f *File) measure() {
	used, size, limit, _ := (&Tx{f: f}).Space()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Used, f.stats.Size, f.stats.MaxSize = used, size, limit
}
