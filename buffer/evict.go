package buffer

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

const (
	chunkRows  = 64 // dropped in one step: row by row the free list is written again and again
	chunkBytes = 1 << 20
	slackBytes = 128 << 10 // what tables, the free list and an estimate may need beside the readings
	expireEach = time.Minute
)

// makeRoom drops what it has to, so that what was taken fits: delivered history
// first, then bulk, then normal. Alarms may use the last tenth, and are dropped
// only for alarms. What there is no room for at all is given up as it comes.
func (s *Store) makeRoom(tx *flash.Tx) error {
	_, _, limit, err := tx.Space()
	if err != nil {
		return err
	}
	slack := min(slackBytes, limit/32)
	soft := limit/10*9 - slack - int64(s.fulls)*chunkRows*4096
	for {
		used, _, _, err := tx.Space()
		if err != nil {
			return err
		}
		alarms, others := s.need(gateway.Alarm), s.need(gateway.Normal)+s.need(gateway.Bulk)
		if used+alarms+others <= soft {
			return nil
		}
		dropped, err := s.evict(tx, limit, used+alarms > limit-slack-int64(s.fulls)*chunkRows*4096)
		if err != nil {
			return err
		}
		if !dropped {
			return s.refuseTaken(used, alarms, others, soft, limit-slack)
		}
	}
}

// need estimates how many bytes of pages the taken readings of a class take.
func (s *Store) need(class gateway.Class) int64 {
	l := &s.taken.lanes[class]
	if l.empty() {
		return 0
	}
	each := s.open[class].each
	if each == 0 {
		each = 6
	}
	bytes := float64(l.len()) * each
	if s.taken.bytes > 0 {
		for i := l.head; i < len(l.entries); i++ {
			if w := weight(&l.entries[i].r); w > ownSegment {
				bytes += float64(w/4096*4096 + 4096) // whole pages
			} else {
				bytes += 1.5 * float64(w) // pages that others do not fill
			}
		}
	}
	return int64(bytes)/4096*4096 + 2*4096
}

// refuseTaken gives up taken readings when only alarms are left in the file.
func (s *Store) refuseTaken(used, alarms, others, soft, hard int64) error {
	if others > 0 && used+alarms+others > soft {
		for class := gateway.Bulk; class > gateway.Alarm; class-- {
			l := &s.taken.lanes[class]
			l.giveUp(l.len())
		}
	}
	if used+alarms > hard {
		l := &s.taken.lanes[gateway.Alarm]
		l.giveUp(l.len())
	}
	return nil
}

// evict drops one chunk of what is wanted least, and reports whether there was any.
func (s *Store) evict(tx *flash.Tx, limit int64, alarmsToo bool) (bool, error) {
	chunk := int(min(chunkRows, max(4, limit/4096/16)))
	if dropped, err := s.evictHistory(tx, chunk, func(row) bool { return true }); dropped || err != nil {
		return dropped, err
	}
	last := gateway.Normal
	if alarmsToo {
		last = gateway.Alarm
	}
	for class := gateway.Bulk; ; class-- {
		for _, e := range s.epochs {
			rows, err := s.heads(tx, class, rowID(e.row, 0), rowID(e.row, maxSeq), chunk)
			if err != nil {
				return false, err
			}
			if len(rows) > 0 {
				return true, s.drop(tx, e, class, rows)
			}
		}
		if class == last {
			return false, nil
		}
	}
}

// evictHistory drops the oldest chunk that every uplink has, as long as its
// first row is one of those.
func (s *Store) evictHistory(tx *flash.Tx, chunk int, also func(last row) bool) (bool, error) {
	var oldest []row
	var of *epoch
	var class gateway.Class
	for _, e := range s.epochs {
		for c := range e.class {
			rows, err := s.history(tx, e, gateway.Class(c), chunk)
			if err != nil {
				return false, err
			}
			if len(rows) > 0 && (oldest == nil || older(rows[0], oldest[0])) {
				oldest, of, class = rows, e, gateway.Class(c)
			}
		}
		if oldest != nil {
			break // later epochs are younger
		}
	}
	if oldest == nil || !also(oldest[len(oldest)-1]) {
		return false, nil
	}
	return true, s.drop(tx, of, class, oldest)
}

func older(a, b row) bool {
	if a.boot != b.boot {
		return a.boot < b.boot
	}
	return a.t0 < b.t0
}

// history returns the oldest rows of a class that every uplink has.
func (s *Store) history(tx *flash.Tx, e *epoch, class gateway.Class, chunk int) ([]row, error) {
	s.mu.Lock()
	x := e.class[class]
	everyone := gateway.Ranges{{From: 1, To: max(x.high, 1)}}
	for _, u := range s.uplinks {
		everyone = everyone.Intersect(u.claim(claimKey{e.id, class}).acked)
	}
	s.mu.Unlock()
	for _, part := range everyone {
		if part.To < x.first {
			continue
		}
		rows, err := s.heads(tx, class, rowID(e.row, part.From), rowID(e.row, part.To), chunk)
		if err != nil {
			return nil, err
		}
		for len(rows) > 0 && seqOf(rows[len(rows)-1].id)+gateway.Seq(rows[len(rows)-1].n)-1 > part.To {
			rows = rows[:len(rows)-1] // an uplink has only the beginning of it
		}
		if len(rows) > 0 {
			return rows, nil
		}
	}
	return nil, nil
}

// heads returns the first rows of a range without their bodies.
func (s *Store) heads(tx *flash.Tx, class gateway.Class, lo, hi int64, most int) (rows []row, err error) {
	bytes := int64(0)
	err = tx.Query(selectHeads[class]+"WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", func(r flash.Row) error {
		rows = append(rows, row{id: r.Int(0), n: r.Int(1), boot: r.Int(2), t0: r.Int(3), t1: r.Int(4)})
		if bytes += r.Int(5); bytes > chunkBytes {
			return flash.Stop
		}
		return nil
	}, lo, hi, int64(most))
	return rows, err
}

// drop deletes rows that follow one another, and writes the gaps of those who
// did not have them.
func (s *Store) drop(tx *flash.Tx, e *epoch, class gateway.Class, rows []row) error {
	first, last := rows[0], rows[len(rows)-1]
	if err := tx.Exec(deleteRows[class], first.id, last.id); err != nil {
		return err
	}
	for _, r := range rows {
		lost := gateway.SeqRange{From: seqOf(r.id), To: seqOf(r.id) + gateway.Seq(r.n) - 1}
		if err := s.giveUp(tx, e, class, lost, mark{r.boot, r.t0}, mark{r.boot, r.t1}, "buffer full"); err != nil {
			return err
		}
	}
	if g := &s.open[class]; e == s.current() && g.row.n > 0 && g.row.id <= last.id {
		g.close()
	}
	x := &e.class[class]
	s.mu.Lock()
	if x.first >= seqOf(first.id) {
		x.first = seqOf(last.id) + gateway.Seq(last.n)
	}
	s.mu.Unlock()
	if e != s.current() {
		return e.write(tx)
	}
	return s.writeHigh(tx)
}

// expire drops history that is older than keep_delivered, in whole chunks.
func (s *Store) expire(tx *flash.Tx) error {
	if time.Since(s.expired) < expireEach && !s.expired.IsZero() {
		return nil
	}
	s.expired = time.Now()
	now := s.o.Now()
	if rec := s.boots.byPointer[now.Boot]; rec == nil || !rec.ready() {
		return nil // nobody knows how old anything is
	}
	wall, _ := now.Wall()
	old := func(last row) bool {
		rec := s.boots.byRow[last.boot]
		if rec == nil || !rec.ready() {
			return false
		}
		at, _ := gateway.Stamp{Boot: rec.boot, At: last.t1}.Wall()
		return at < wall-s.o.KeepDelivered.Milliseconds()
	}
	_, err := s.evictHistory(tx, chunkRows, old)
	return err
}
