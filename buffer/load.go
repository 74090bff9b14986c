package buffer

import (
	"errors"
	"math"
	"os"
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// The tables. Nothing in them is ever read without a checksum; the rows of
// epoch have theirs too, since a flipped bit there would rename everything.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS epoch(id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL,
		high0 INTEGER NOT NULL, high1 INTEGER NOT NULL, high2 INTEGER NOT NULL, crc INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS boot(id INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, offset_ms INTEGER NOT NULL,
		known INTEGER NOT NULL, trusted INTEGER NOT NULL, synced_at INTEGER NOT NULL, last_at INTEGER NOT NULL, crc INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS tag(id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
		unit TEXT NOT NULL, scale TEXT NOT NULL, offset TEXT NOT NULL, crc INTEGER NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS ack(uplink TEXT NOT NULL, epoch INTEGER NOT NULL, class INTEGER NOT NULL, spans BLOB NOT NULL,
		crc INTEGER NOT NULL, PRIMARY KEY(uplink, epoch, class)) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS gap(id INTEGER PRIMARY KEY, uplink TEXT NOT NULL, epoch INTEGER NOT NULL, class INTEGER NOT NULL,
		from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL, first_boot INTEGER NOT NULL, first_at INTEGER NOT NULL,
		last_boot INTEGER NOT NULL, last_at INTEGER NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL)`,
	segmentTable("segment0"), segmentTable("segment1"), segmentTable("segment2"),
}

func segmentTable(name string) string {
	return "CREATE TABLE IF NOT EXISTS " + name + `(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, boot INTEGER NOT NULL,
		t0 INTEGER NOT NULL, t1 INTEGER NOT NULL, flags INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL)`
}

// Load reads everything but the readings themselves.
func (s *Store) Load(tx *flash.Tx) error {
	for _, t := range tables {
		if err := tx.Exec(t); err != nil {
			return err
		}
	}
	for _, load := range []func(*flash.Tx) error{s.loadTags, s.loadBoots, s.loadThisBoot, s.loadEpochs, s.loadUplinks, s.prune} {
		if err := load(tx); err != nil {
			return err
		}
	}
	s.settleDoubt()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		s.open[c].close()
		s.next[c] = s.current().class[c].high + 1
	}
	s.loaded, s.stale = true, false
	return nil
}

// loadThisBoot gives the running boot a row, even before its first reading:
// boots that never learned the time are placed before it.
func (s *Store) loadThisBoot(tx *flash.Tx) error {
	_, err := s.bootRow(tx, s.boot)
	return err
}

// settleDoubt finds out whether the last transaction, whose end nobody saw, is
// in the file. If not, its readings wait again, without the seqs they would have had.
func (s *Store) settleDoubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt == 0 {
		return
	}
	committed := s.doubt == s.current().id
	for c, last := range s.assumed {
		committed = committed && s.current().class[c].high >= last
	}
	if committed {
		s.taken.reset()
		s.doubt = 0
		return
	}
	s.putBack()
}

// loadEpochs reads the epochs and how far each class got, and begins a new one
// where the last must not be used further: a seq that was used once is never
// used again, whatever happened to the file.
func (s *Store) loadEpochs(tx *flash.Tx) error {
	var epochs, nameless []*epoch
	fresh := ""
	err := tx.Query("SELECT id,epoch,high0,high1,high2,crc FROM epoch ORDER BY id", func(r flash.Row) error {
		e := &epoch{row: r.Int(0), id: gateway.Epoch(r.Int(1))}
		for c := range e.class {
			e.class[c].high = gateway.Seq(r.Int(2 + c))
		}
		if r.Int(5) != e.sum() {
			fresh = "the record of the last epoch is damaged"
			nameless = append(nameless, e)
			return nil
		}
		fresh = ""
		epochs = append(epochs, e)
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range nameless { // nobody could tell what its readings are called
		s.log.Error("the record of an epoch is damaged, its readings are lost", "row", e.row)
		if err := e.erase(tx); err != nil {
			return err
		}
	}
	var last []row
	for i, e := range epochs {
		rows, err := e.loadExtents(tx)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.crc != r.sum() && i == len(epochs)-1 {
				fresh = "the last segment is damaged, and with it how many readings there were"
			}
		}
		last = append(last, rows...)
	}
	if !s.loaded {
		if err := s.closeBoots(tx, last); err != nil {
			return err
		}
		if why := s.compareCopy(epochs); why != "" {
			fresh = why
		}
	}
	if len(epochs) == 0 {
		fresh = "the buffer is new"
	}
	if fresh == "" && epochs[len(epochs)-1].full() {
		fresh = "the sequence numbers are used up"
	}
	if fresh != "" {
		if epochs, err = s.beginEpoch(tx, epochs, fresh); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.epochs = epochs
	s.mu.Unlock()
	return nil
}

func (e *epoch) full() bool {
	return e.class[0].high > maxSeq/2 || e.class[1].high > maxSeq/2 || e.class[2].high > maxSeq/2
}

// loadExtents finds the first and last seq of each class, and returns the last rows.
func (e *epoch) loadExtents(tx *flash.Tx) (last []row, err error) {
	lo, hi := rowID(e.row, 0), rowID(e.row, maxSeq)
	for c := range e.class {
		x := &e.class[c]
		err := tx.Query(selectRows[c]+"WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", func(r flash.Row) error {
			got := scanRow(r)
			last = append(last, got)
			if got.crc != got.sum() {
				got.n = 1 // it may say anything
			}
			x.high = max(x.high, seqOf(got.id)+gateway.Seq(got.n)-1)
			return nil
		}, lo, hi)
		if err != nil {
			return nil, err
		}
		err = tx.Query("SELECT max(to_seq) FROM gap WHERE epoch=? AND class=?", func(r flash.Row) error {
			x.high = max(x.high, gateway.Seq(r.Int(0)))
			return nil
		}, e.row, int64(c))
		if err != nil {
			return nil, err
		}
		x.first = x.high + 1
		err = tx.Query(selectIDs[c]+"WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", func(r flash.Row) error {
			x.first = seqOf(r.Int(0))
			return nil
		}, lo, hi)
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (s *Store) compareCopy(epochs []*epoch) string {
	if s.file.InMemory() {
		return ""
	}
	c, id, err := readEpochCopy(s.o.Directory)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("the copy of the epoch cannot be read, it is written anew", "error", err)
		}
		return ""
	}
	if len(epochs) == 0 {
		return ""
	}
	return c.behind(id, epochs)
}

// beginEpoch adds an epoch. What the file still holds of earlier ones keeps its names.
func (s *Store) beginEpoch(tx *flash.Tx, epochs []*epoch, why string) ([]*epoch, error) {
	row := int64(1)
	err := tx.Query("SELECT max(id) FROM epoch", func(r flash.Row) error { row = r.Int(0) + 1; return nil })
	if err != nil {
		return nil, err
	}
	if row >= maxEpochRows {
		return nil, errors.New("the file has had too many epochs")
	}
	for _, e := range epochs {
		if err := e.write(tx); err != nil { // as far as it got
			return nil, err
		}
	}
	e := &epoch{row: row, id: newEpoch()}
	for c := range e.class {
		e.class[c].first = 1
	}
	s.log.Info("a new epoch begins", "epoch", e.id.String(), "why", why)
	select {
	case s.copy <- struct{}{}:
	default:
	}
	return append(epochs, e), e.write(tx)
}

// write saves how far an epoch got. Rows and gaps say so too, but not when the
// last of them is dropped.
func (e *epoch) write(tx *flash.Tx) error {
	return tx.Exec("INSERT OR REPLACE INTO epoch(id,epoch,high0,high1,high2,crc) VALUES(?,?,?,?,?,?)",
		e.row, int64(e.id), int64(e.class[0].high), int64(e.class[1].high), int64(e.class[2].high), e.sum())
}

func (e *epoch) sum() int64 {
	return (&row{id: e.row, n: int64(e.id), boot: int64(e.class[0].high), t0: int64(e.class[1].high), t1: int64(e.class[2].high)}).sum()
}

// erase removes everything of an epoch but its record's number.
func (e *epoch) erase(tx *flash.Tx) error {
	var err error
	for c := range e.class {
		err = errors.Join(err, tx.Exec(deleteRows[c], rowID(e.row, 0), rowID(e.row, maxSeq)))
	}
	return errors.Join(err,
		tx.Exec("DELETE FROM ack WHERE epoch=?", e.row),
		tx.Exec("DELETE FROM gap WHERE epoch=?", e.row),
		(&epoch{row: e.row, id: newEpoch()}).write(tx))
}

// prune forgets epochs and boots that nothing in the file belongs to any more.
func (s *Store) prune(tx *flash.Tx) error {
	kept := s.epochs[:0:0]
	for i, e := range s.epochs {
		var left int64
		for c := range e.class {
			left += int64(e.class[c].high + 1 - e.class[c].first)
		}
		err := tx.Query("SELECT count(*) FROM gap WHERE epoch=?", func(r flash.Row) error { left += r.Int(0); return nil }, e.row)
		if err != nil {
			return err
		}
		if left > 0 || i == len(s.epochs)-1 {
			kept = append(kept, e)
			continue
		}
		err = errors.Join(tx.Exec("DELETE FROM ack WHERE epoch=?", e.row), tx.Exec("DELETE FROM epoch WHERE id=?", e.row))
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.epochs = kept
	for _, u := range s.uplinks {
		for key := range u.claims {
			if !slices.ContainsFunc(kept, func(e *epoch) bool { return e.id == key.epoch }) {
				delete(u.claims, key)
			}
		}
	}
	s.mu.Unlock()
	return s.pruneBoots(tx)
}

func (s *Store) pruneBoots(tx *flash.Tx) error {
	oldest := int64(math.MaxInt64)
	note := func(r flash.Row) error {
		if n := r.Int(0); n > 0 {
			oldest = min(oldest, n)
		}
		return nil
	}
	for _, e := range s.epochs {
		for c := range e.class {
			err := tx.Query(selectBoots[c]+"WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", note, rowID(e.row, 0), rowID(e.row, maxSeq))
			if err != nil {
				return err
			}
		}
	}
	if err := tx.Query("SELECT min(first_boot) FROM gap", note); err != nil {
		return err
	}
	for id, rec := range s.boots.byRow {
		if id >= oldest || id == s.boots.next-1 || rec.boot == s.boot { // the last one keeps its number from being used again
			continue
		}
		if err := tx.Exec("DELETE FROM boot WHERE id=?", id); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.boots.byRow, id)
		delete(s.boots.byPointer, rec.boot)
		s.boots.open = slices.DeleteFunc(s.boots.open, func(r *bootRecord) bool { return r == rec })
		s.mu.Unlock()
	}
	return nil
}
