package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

const (
	fileName = "buffer.db"

	// What may wait in memory while the disk does not take it: a minute at
	// 1000 readings a second, in about 5 MB, and some long messages.
	maxWaiting      = 1 << 16
	maxWaitingBytes = 8 << 20
	// A commit does not wait for its time any longer when this much waits.
	hurryReadings = maxWaiting / 4
	hurryBytes    = maxWaitingBytes / 4

	ackIdle      = time.Minute      // how long an ack waits for data to ride with
	copyInterval = 10 * time.Minute // how coarse the epoch's copy may be
)

// Store keeps readings in a file until every uplink has delivered them. It
// implements gateway.Store. All methods are safe for concurrent use.
//
// Run must run for anything to be committed or read. Whoever is still to join
// the same file does so through File before that.
type Store struct {
	o    Options
	log  *slog.Logger
	boot *gateway.Boot
	file *flash.File
	pack *packer
	copy chan struct{} // capacity 1: the copy of the epoch is to be written

	// Of the committer.
	loaded  bool
	taken   queue                        // what the transaction takes, or took when nobody knows how it ended
	assumed [gateway.Classes]gateway.Seq // the last seqs that taken would have; 0 where nothing is in doubt
	doubt   gateway.Epoch                // the epoch of assumed, 0 when there is no doubt
	open    [gateway.Classes]openSegment
	next    [gateway.Classes]gateway.Seq // to be given, in the last epoch
	fulls   int                          // transactions in a row that the file was too full for
	expired time.Time                    // when history was last aged
	lastGap int64                        // id
	acksDue time.Time                    // when acks no longer wait for company; zero when there are none

	mu      sync.Mutex
	closed  bool
	stale   bool // a transaction failed: what is below may not be what is in the file
	queue   queue
	uplinks map[string]*uplink
	epochs  []*epoch // oldest first; readings get the last one
	tags    tagTable
	boots   bootTable
	damaged []place       // where Next found something wrong
	changed chan struct{} // closed at each commit
	dropped [gateway.Classes]uint64
}

var (
	_ gateway.Store     = (*Store)(nil)
	_ flash.Participant = (*Store)(nil)
)

// The refusals.
var (
	ErrOverflow = errors.New("too many readings wait for the disk")
	ErrTooLong  = fmt.Errorf("the message is longer than %d bytes", maxText)
)

// Open opens the buffer in o.Directory, for these uplinks: one that is new
// begins with what is read from now on, one that is gone drops its claim. It
// always gives a Store, in memory where there is no usable file (Stats says
// so), except that two processes cannot share a directory (flash.ErrInUse).
//
// If readings of this boot are in the file with their wall time, boot gets it:
// set the clock after Open.
func Open(o Options, boot *gateway.Boot, uplinks []string, log *slog.Logger) (*Store, error) {
	o.Defaults()
	if o.Now == nil {
		o.Now = boot.Now
	}
	s := &Store{o: o, log: log, boot: boot, pack: newPacker(), copy: make(chan struct{}, 1),
		uplinks: map[string]*uplink{}, changed: make(chan struct{})}
	for _, name := range uplinks {
		s.uplinks[name] = newUplink(name)
	}
	fo := flash.Options{Path: filepath.Join(o.Directory, fileName), MaxSize: int64(o.MaxSize), Log: log, Fault: o.Fault}
	err := s.openFile(fo)
	if errors.Is(err, flash.ErrInUse) {
		return nil, fmt.Errorf("open buffer: %w", err)
	}
	if err == nil {
		s.writeCopy()
		return s, nil
	}
	log.Error("readings are kept in memory only: a restart or a power cut loses what is not delivered", "error", err)
	if s.file, err = flash.OpenMemory(fo, err); err == nil {
		err = s.file.Join(s)
	}
	if err != nil {
		return nil, fmt.Errorf("open buffer in memory: %w", err)
	}
	return s, nil
}

func (s *Store) openFile(o flash.Options) (err error) {
	if s.file, err = flash.Open(o); err != nil {
		return err
	}
	if err = s.file.Join(s); err != nil {
		s.file.Abandon()
	}
	return err
}

// File is the file that the readings rest in, for others to join.
func (s *Store) File() *flash.File { return s.file }

// Run commits until ctx ends, then what is left. It returns what went wrong
// with that.
func (s *Store) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.file.Run(ctx) }()
	tick := time.NewTicker(copyInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			s.writeCopy()
			return err
		case <-s.copy:
		case <-tick.C:
		}
		s.writeCopy()
	}
}

// Close commits what waits and closes the file of a Store that was never run.
func (s *Store) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return s.Run(ctx)
}

// Flush returns when everything appended before is on disk, or why it is not.
func (s *Store) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	s.Append(nil, func(err error) { done <- err })
	s.file.Wake(0)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Epoch is the epoch that readings get now.
func (s *Store) Epoch() gateway.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current().id
}

func (s *Store) current() *epoch { return s.epochs[len(s.epochs)-1] }

// Append takes readings, in order of arrival. It never waits: what the disk
// does not take in time is given up, oldest and least class first, and becomes
// a gap. With done the commit is urgent; refused readings are not kept and get no gap.
func (s *Store) Append(rs []gateway.Reading, done func(error)) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if done != nil {
			done(flash.ErrClosed)
		}
		return
	}
	var refused error
	urgent := false
	for i := range rs {
		if err := s.enqueue(&rs[i], done != nil); err != nil {
			refused = err
		}
		urgent = urgent || rs[i].Class == gateway.Alarm
	}
	if done != nil {
		s.queue.calls = append(s.queue.calls, call{done, refused})
	}
	lost := s.queue.shrink(maxWaiting, maxWaitingBytes)
	within := s.o.interval()
	switch {
	case s.queue.len() > hurryReadings || s.queue.bytes > hurryBytes:
		within = 0
	case done != nil:
		within = min(within, flash.Acknowledgement)
	case urgent:
		within = min(within, flash.Alarm)
	}
	s.mu.Unlock()
	if lost > 0 {
		s.log.Warn("the disk does not take the readings, the oldest are given up", "readings", lost)
	}
	if len(rs) > 0 || done != nil {
		s.file.Wake(within)
	}
}

func (s *Store) enqueue(r *gateway.Reading, asked bool) error {
	w := weight(r)
	if w > maxText {
		return ErrTooLong
	}
	class := min(r.Class, gateway.Bulk)
	s.queue.lanes[class].entries = append(s.queue.lanes[class].entries, entry{*r, asked})
	s.queue.bytes += w
	return nil
}

// Settled tells those who wait how it ended.
func (s *Store) Settled(err error) {
	s.mu.Lock()
	var calls []call
	switch {
	case err == nil:
		calls = s.settledWell()
	case errors.Is(err, flash.ErrFull) && s.fulls < 8:
		s.fulls++
		s.stale = true
		s.putBack()
	default:
		calls = slices.Concat(s.taken.calls, s.queue.calls)
		s.taken.calls, s.queue.calls = nil, nil
		s.stale = true
		s.closed = s.closed || errors.Is(err, flash.ErrClosed)
		for c := range s.queue.lanes {
			s.queue.lanes[c].drop()
			s.taken.lanes[c].drop()
		}
		s.weigh()
		if s.doubt == 0 { // else Load finds out what is in the file
			s.putBack()
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	for _, c := range calls {
		if c.err == nil {
			c.err = err
		}
		c.done(c.err)
	}
}

func (s *Store) settledWell() []call {
	calls := slices.Clone(s.taken.calls)
	if e := s.current(); s.next[0] > 0 {
		for c := range e.class {
			e.class[c].high = s.next[c] - 1
		}
	}
	s.taken.reset()
	s.doubt, s.fulls = 0, 0
	return calls
}

// putBack lets the readings of a transaction that was undone wait again.
func (s *Store) putBack() {
	later := s.queue
	s.queue, s.taken = s.taken, queue{}
	for c := range s.queue.lanes {
		s.queue.lanes[c].join(&later.lanes[c])
	}
	s.queue.calls = append(s.queue.calls, later.calls...)
	s.weigh()
	s.doubt = 0
}

func (s *Store) weigh() {
	s.queue.bytes = 0
	for c := range s.queue.lanes {
		l := &s.queue.lanes[c]
		for i := l.head; i < len(l.entries); i++ {
			s.queue.bytes += weight(&l.entries[i].r)
		}
	}
}

// writeCopy keeps the copy of the epoch beside the file.
func (s *Store) writeCopy() {
	if s.file.InMemory() {
		return
	}
	s.mu.Lock()
	e := *s.current()
	s.mu.Unlock()
	if err := writeEpochCopy(s.o.Directory, e); err != nil {
		s.log.Warn("the copy of the epoch cannot be written: an older copy of the buffer would not be noticed", "error", err)
	}
}
