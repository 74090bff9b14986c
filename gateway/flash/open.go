//go:build cgo

package flash

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const (
	applicationID = 0x67617567 // "gaug", in the header of every file of ours
	schemaVersion = 1          // raised when an older version must not touch the tables any more

	pageSize       = 4096 // the block of ext4 and the page of most flash translation layers
	quickCheckMax  = 64 << 20
	memoryMaxBytes = 16 << 20
)

// Options says where the file is and how large it may grow.
type Options struct {
	Path    string // its directory is made when it is missing
	MaxSize int64  // bytes; 0 means no limit
	Log     *slog.Logger

	// Fault, which tests set, is asked before each step and breaks it by
	// returning an error. After StepSync the transaction is on disk, and nobody knows.
	Fault func(Step) error
}

// Step is a place where a disk fails.
type Step int

// The steps, as they follow one another.
const (
	StepOpen Step = iota
	StepWrite
	StepCommit
	StepSync
)

func (o Options) fault(s Step) error {
	if o.Fault == nil {
		return nil
	}
	return o.Fault(s)
}

// open opens the file, and a new one where it cannot be used: what cannot be
// read is moved aside. It fails with an UnusableError or ErrInUse only. again
// says that the file was open before: then only damage moves it aside, and
// suspect says that some was seen.
func (o Options) open(again, suspect bool) (c *connection, err error) {
	if err := makeDir(filepath.Dir(o.Path)); err != nil {
		return nil, &UnusableError{o.Path, err}
	}
	for attempt := range 3 {
		c, err = o.try(suspect)
		var newer *newerError
		switch {
		case err == nil:
			return c, nil
		case isCode(err, sqlite3.ErrBusy, sqlite3.ErrLocked):
			return nil, fmt.Errorf("%s: %w", o.Path, ErrInUse)
		case isDamage(err), errors.As(err, &newer):
		case again, isCode(err, sqlite3.ErrFull, sqlite3.ErrNomem):
			return nil, &UnusableError{o.Path, err}
		case attempt == 0 && isCode(err, sqlite3.ErrIoErr):
			continue // a second look before good data goes aside
		}
		if asideErr := o.moveAside(err); asideErr != nil {
			return nil, &UnusableError{o.Path, errors.Join(err, asideErr)}
		}
	}
	return nil, &UnusableError{o.Path, err}
}

func (o Options) try(suspect bool) (*connection, error) {
	if err := o.fault(StepOpen); err != nil {
		return nil, err
	}
	info, statErr := os.Stat(o.Path)
	if err := checkHeader(o.Path); err != nil {
		return nil, err
	}
	c, err := connect(o.Path)
	if err != nil {
		return nil, err
	}
	if err := o.prepare(c, statErr == nil && (suspect || info.Size() <= quickCheckMax)); err != nil {
		c.close()
		return nil, err
	}
	if statErr != nil { // a new file: its name must survive a power cut too
		if err := syncDir(filepath.Dir(o.Path)); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// checkHeader looks at a file before SQLite does, which deletes the WAL of what
// it takes for an empty database: that may be all there is to salvage.
func checkHeader(path string) error {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return nil // SQLite says it better
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if n, err := io.ReadFull(f, head); n == 0 && errors.Is(err, io.EOF) {
		return nil // made, but never written to
	}
	if string(head) != magic {
		return &damagedError{"it is not an SQLite database"}
	}
	return nil
}

// prepare makes the connection what the measurements say it must be for flash. Each
// setting is read back.
func (o Options) prepare(c *connection, check bool) error {
	if err := c.pragma("page_size", strconv.Itoa(pageSize), strconv.Itoa(pageSize)); err != nil {
		return err
	}
	if err := mark(c); err != nil {
		return err
	}
	maxPages := "4294967294" // SQLite's own limit
	if o.MaxSize > 0 {
		maxPages = strconv.FormatInt(max(o.MaxSize/pageSize, 16), 10)
	}
	pages, err := c.number("PRAGMA page_count")
	if err != nil {
		return err
	}
	if n, _ := strconv.ParseInt(maxPages, 10, 64); n < pages {
		maxPages = strconv.FormatInt(pages, 10) // the limit was lowered: the file shrinks by use
	}
	for _, p := range []struct{ name, value, want string }{
		{"locking_mode", "", "exclusive"},
		{"journal_mode", "WAL", "wal"},
		{"synchronous", "", "2"},
		{"auto_vacuum", "NONE", "0"},
		{"wal_autocheckpoint", "64", "64"},     // recycled within seconds; a growing WAL costs a journal commit of ext4 per sync
		{"journal_size_limit", "-1", "-1"},     // truncating it would make it grow again
		{"max_page_count", maxPages, maxPages}, // belongs to the connection, not to the file
		{"cache_size", "-512", "-512"},
		{"temp_store", "MEMORY", "2"},
		{"foreign_keys", "OFF", "0"},
	} {
		if err := c.pragma(p.name, p.value, p.want); err != nil {
			return err
		}
	}
	if err := c.conn.SetFileControlInt("main", sqlite3.SQLITE_FCNTL_PERSIST_WAL, 1); err != nil {
		return err
	}
	if check {
		if err := quickCheck(c); err != nil {
			return err
		}
	}
	// Whatever an earlier life left in the WAL goes through a checked sync now:
	// after this, what can be read is on disk, and nothing else can come back.
	busy, err := c.number("PRAGMA wal_checkpoint(RESTART)")
	if err == nil && busy != 0 {
		err = ErrInUse
	}
	return err
}

// mark checks that the file is ours and of a version we know, and marks a new
// one. Its write lock stays ours, since the locking mode is EXCLUSIVE, and
// shows at once a file that can only be read.
func mark(c *connection) error {
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	switch {
	case id == 0 && version == 0 && tables == 0:
		err = errors.Join(
			c.exec("PRAGMA application_id="+strconv.Itoa(applicationID)),
			c.exec("PRAGMA user_version="+strconv.Itoa(schemaVersion)))
	case id != applicationID:
		return &damagedError{"it is not a file of this gateway"}
	case version > schemaVersion:
		return &newerError{version}
	}
	return errors.Join(err, c.exec("COMMIT"))
}

func quickCheck(c *connection) error {
	result, err := c.text("PRAGMA quick_check(1)")
	if err != nil {
		return err
	}
	if result != "ok" {
		return &damagedError{"the check found: " + result}
	}
	return nil
}

// moveAside renames the file and its WAL, so that what is in them can be
// salvaged: `*.corrupt-<n>`, of which the newest is kept, and `*.newer-<n>`,
// which are never removed.
func (o Options) moveAside(why error) error {
	kind := "corrupt"
	var newer *newerError
	if errors.As(why, &newer) {
		kind = "newer"
	}
	older, highest := o.aside(kind)
	name := fmt.Sprintf("%s.%s-%d", o.Path, kind, highest+1)
	if err := os.Rename(o.Path, name); err != nil {
		return err
	}
	if err := os.Rename(o.Path+"-wal", name+"-wal"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if kind == "corrupt" {
		for _, path := range older {
			os.RemoveAll(path)
			os.Remove(path + "-wal")
		}
	}
	o.Log.Error("buffer file moved aside, a new one is made", "why", why.Error(), "file", name)
	return syncDir(filepath.Dir(o.Path))
}

// aside lists what was moved aside before, without the WALs.
func (o Options) aside(kind string) (paths []string, highest int) {
	prefix := filepath.Base(o.Path) + "." + kind + "-"
	entries, _ := os.ReadDir(filepath.Dir(o.Path))
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		if n, err := strconv.Atoi(number); ok && err == nil {
			paths = append(paths, filepath.Join(filepath.Dir(o.Path), e.Name()))
			highest = max(highest, n)
		}
	}
	return paths, highest
}

func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
