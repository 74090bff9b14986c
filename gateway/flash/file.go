//go:build cgo

package flash

import (
	"context"
	"sync"
	"time"
)

// How long the urgent wait for others to share their commit with.
const (
	// Acknowledgement is for what somebody waits for an answer to: within
	// 100 ms, of which the timer and the start of the commit need a little.
	Acknowledgement = 90 * time.Millisecond
	// Alarm is for what may not be lost for longer than 200 ms, flush included.
	Alarm = 150 * time.Millisecond
)

// Participant has rows in the file. All its methods are called by the goroutine
// that calls Join, and then by the one that runs Run; never two at once.
type Participant interface {
	// Load makes the participant's tables where they are missing and reads its
	// state. It comes first, and again before the next Write whenever a
	// transaction failed or the file was opened anew: then the file decides
	// what is on disk, and it may be an empty file. What Load writes is
	// committed with all other Loads.
	Load(tx *Tx) error
	// Write writes what waits, if anything. It may come without a reason.
	Write(tx *Tx) error
	// Settled says how it ended: nil when everything up to the last Write is
	// on disk. With ErrFull the transaction is undone, and so it is with an
	// error of a Write; after any other error nobody knows before the next
	// Load. It also comes without a Write: each time that a file which was lost
	// could not be opened again, and with ErrClosed at the end.
	Settled(err error)
}

// File is the open file. Run owns it; Wake, Read and Stats are safe for
// concurrent use.
type File struct {
	o     Options
	parts []Participant
	db    *connection // nil while the file cannot be opened
	reads chan read
	poke  chan struct{} // capacity 1: look at due again
	ended chan struct{} // closed when Run or Close has closed the connection

	// Of the goroutine that commits.
	broken  breakage
	corrupt int  // transactions in a row that found damage
	undone  int  // transactions in a row that were rolled back
	stale   bool // the participants must Load before they Write

	mu    sync.Mutex
	due   time.Time // of the next commit; zero when nothing waits
	stats Stats
}

// Stats is what the file costs.
type Stats struct {
	Commits   uint64
	Used      int64 // bytes of pages in use
	Size      int64 // bytes of the file
	MaxSize   int64 // bytes it may grow to
	LastWrite time.Time
	InMemory  bool   // nothing survives a restart
	Trouble   string // why the file is not, or not fully, usable; "" when all is well
}

// Open opens the file, and makes it where it is missing. A file that is damaged
// or that a newer version wrote is moved aside, and a new one is made. An
// *UnusableError means that the directory cannot hold a file: OpenMemory
// still can. ErrInUse means that somebody else has it.
func Open(o Options) (*File, error) {
	db, err := o.open(false, false)
	if err != nil {
		return nil, err
	}
	return newFile(o, db), nil
}

// OpenMemory opens a file in memory, of at most 16 MB, because of why: a gateway
// whose disk is gone still polls and sends.
func OpenMemory(o Options, why error) (*File, error) {
	o.MaxSize = memoryMaxBytes
	db, err := openMemory(o)
	if err != nil {
		return nil, err
	}
	f := newFile(o, db)
	f.stats.InMemory, f.stats.Trouble = true, why.Error()
	return f, nil
}

func openMemory(o Options) (*connection, error) {
	db, err := connect(memoryName)
	if err != nil {
		return nil, err
	}
	for _, p := range []struct{ name, value, want string }{
		{"page_size", "4096", "4096"},
		{"max_page_count", "4096", "4096"},
	} {
		if err := db.pragma(p.name, p.value, p.want); err != nil {
			db.close()
			return nil, err
		}
	}
	return db, nil
}

func newFile(o Options, db *connection) *File {
	f := &File{o: o, db: db, reads: make(chan read), poke: make(chan struct{}, 1), ended: make(chan struct{})}
	f.measure()
	return f
}

// Join lets p take part: it is loaded now. Call it before Run. Writes and
// answers come in the order of joining.
func (f *File) Join(p Participant) error {
	f.parts = append(f.parts, p)
	err := f.load(p)
	for attempt := 0; err != nil && attempt < 2; attempt++ {
		err = f.reopen(err) // a file that cannot be loaded goes aside at the second attempt
	}
	return err
}

// Wake asks for a commit within d. An earlier wish of somebody else stands.
func (f *File) Wake(d time.Duration) {
	due := time.Now().Add(d)
	f.mu.Lock()
	sooner := f.due.IsZero() || due.Before(f.due)
	if sooner {
		f.due = due
	}
	f.mu.Unlock()
	if sooner {
		select {
		case f.poke <- struct{}{}:
		default:
		}
	}
}

type read struct {
	fn   func(*Tx) error
	done chan error
}

// Read calls fn between two commits, so that it sees what is committed and
// nothing else. fn must be short and keep nothing of tx; it cannot write. Read fails
// with ErrUnavailable while the disk does, and with ErrClosed after Run.
func (f *File) Read(ctx context.Context, fn func(*Tx) error) error {
	r := read{fn, make(chan error, 1)}
	select {
	case f.reads <- r:
		return <-r.done
	case <-f.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns what the file costs now.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close ends a file that was never run: it commits what waits.
func (f *File) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return f.Run(ctx)
}

// Abandon closes a file that was never run, and commits nothing.
func (f *File) Abandon() {
	if f.db != nil {
		f.db.close()
		f.db = nil
	}
	close(f.ended)
}
