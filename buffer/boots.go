package buffer

import (
	"fmt"
	"hash/crc32"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// bootRecord is a boot that readings in the file were made in. What the file
// says of its wall time is in saved: until that is what the boot itself says,
// no reading of it is handed out, so that none ever bears two times.
type bootRecord struct {
	row    int64
	boot   *gateway.Boot
	saved  gateway.Offset
	known  bool  // saved is set
	lastAt int64 // of its last reading, once it is over; 0 while nobody looked
}

// ready reports whether the boot's wall time is known and on disk.
func (b *bootRecord) ready() bool {
	now, known := b.boot.Offset()
	return known && b.known && now == b.saved
}

// bootTable is guarded by the store's lock; only the committer changes it.
type bootTable struct {
	byRow     map[int64]*bootRecord
	byPointer map[*gateway.Boot]*bootRecord
	open      []*bootRecord // whose wall time may still change or is not known, oldest first
	next      int64         // row
}

func (s *Store) loadBoots(tx *flash.Tx) error {
	t := bootTable{byRow: map[int64]*bootRecord{}, byPointer: map[*gateway.Boot]*bootRecord{}, next: 1}
	known := map[string]*gateway.Boot{s.boot.ID: s.boot}
	for b := range s.boots.byPointer {
		known[b.ID] = b // readings that wait or were handed out share it
	}
	err := tx.Query("SELECT id,boot_id,offset_ms,known,trusted,synced_at,last_at,crc FROM boot ORDER BY id", func(r flash.Row) error {
		rec := &bootRecord{row: r.Int(0), lastAt: r.Int(6), known: r.Int(3) != 0,
			saved: gateway.Offset{Milli: r.Int(2), Trusted: r.Int(4) != 0, SyncedAt: r.Int(5)}}
		if rec.boot = known[r.Text(1)]; rec.boot == nil {
			rec.boot = gateway.NewBoot(r.Text(1))
		}
		if r.Int(7) != rec.sum() {
			s.log.Error("the clock of an earlier boot is damaged in the buffer, its times are estimated", "boot", r.Text(1))
			rec.saved, rec.known, rec.lastAt = gateway.Offset{}, false, 0
		}
		if rec.known {
			rec.boot.SetOffset(rec.saved)
		}
		t.add(rec)
		return nil
	})
	s.mu.Lock()
	s.boots = t
	s.mu.Unlock()
	return err
}

func (t *bootTable) add(rec *bootRecord) {
	t.byRow[rec.row], t.byPointer[rec.boot] = rec, rec
	if !rec.saved.Trusted {
		t.open = append(t.open, rec)
	}
	t.next = max(t.next, rec.row+1)
}

func (b *bootRecord) sum() int64 {
	return int64(crc32.Checksum(fmt.Appendf(nil, "%d %s %v %v %d", b.row, b.boot.ID, b.saved, b.known, b.lastAt), castagnoli))
}

func (b *bootRecord) write(tx *flash.Tx) error {
	return tx.Exec("INSERT OR REPLACE INTO boot(id,boot_id,offset_ms,known,trusted,synced_at,last_at,crc) VALUES(?,?,?,?,?,?,?,?)",
		b.row, b.boot.ID, b.saved.Milli, bit(b.known), bit(b.saved.Trusted), b.saved.SyncedAt, b.lastAt, b.sum())
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// bootRow returns the record of a boot, and makes it in this transaction if there is none.
func (s *Store) bootRow(tx *flash.Tx, b *gateway.Boot) (*bootRecord, error) {
	if b == nil {
		b = s.boot
	}
	if rec := s.boots.byPointer[b]; rec != nil {
		return rec, nil
	}
	for _, rec := range s.boots.byRow { // another pointer to a boot that is known
		if rec.boot.ID == b.ID {
			s.mu.Lock()
			s.boots.byPointer[b] = rec
			s.mu.Unlock()
			return rec, nil
		}
	}
	rec := &bootRecord{row: s.boots.next, boot: b}
	rec.saved, rec.known = b.Offset()
	s.mu.Lock()
	s.boots.add(rec)
	s.mu.Unlock()
	return rec, rec.write(tx)
}

// writeBoots saves what became known of wall times. Boots that are over and
// never learned theirs are placed so that they end when the next one began:
// the latest they can have been.
func (s *Store) writeBoots(tx *flash.Tx) error {
	stillOpen := s.boots.open[:0:0]
	for i, rec := range s.boots.open {
		now, known := rec.boot.Offset()
		if !known && rec.boot != s.boot {
			now, known = s.estimate(rec)
		}
		if known && (!rec.known || now != rec.saved) {
			s.mu.Lock()
			rec.saved, rec.known = now, true
			s.mu.Unlock()
			if err := rec.write(tx); err != nil {
				return err
			}
			rec.boot.SetOffset(now)
		}
		if !now.Trusted && (rec.boot == s.boot || !known) {
			stillOpen = append(stillOpen, s.boots.open[i])
		}
	}
	s.boots.open = stillOpen
	return nil
}

// estimate places a boot by the first later one that is known.
func (s *Store) estimate(rec *bootRecord) (gateway.Offset, bool) {
	later := s.boots.byRow[rec.row+1]
	for row := rec.row + 1; row < s.boots.next && later == nil; row++ {
		later = s.boots.byRow[row]
	}
	if later == nil {
		return gateway.Offset{}, false
	}
	began, known := later.boot.Offset()
	if !known && later.boot != s.boot {
		began, known = s.estimate(later)
	}
	return gateway.Offset{Milli: began.Milli - rec.lastAt}, known
}

// closeBoots notes when the last reading of each boot was made that is over and
// has no clock. It is known when the next boot begins, from the last row of each class.
func (s *Store) closeBoots(tx *flash.Tx, last []row) error {
	for _, r := range last {
		rec := s.boots.byRow[r.boot]
		if rec == nil || rec.known || rec.boot == s.boot || rec.lastAt >= r.t1 {
			continue
		}
		rec.lastAt = r.t1
		if err := rec.write(tx); err != nil {
			return err
		}
	}
	return nil
}
