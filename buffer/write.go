package buffer

import (
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// A body of this size fills the rest of a 4096-byte page beside the other
// columns; one byte more than maxBody needs a page of its own.
const (
	fullBody = 3900
	maxBody  = 4000
)

// openSegment is the last row of a class while it still grows: each commit
// writes it again, in place. That page is written anyway, so it costs nothing.
type openSegment struct {
	segment
	row    row     // as it was written last, without its body; n is 0 when none is open
	stored int     // length of its body
	sealed bool    // nothing more may be added
	each   float64 // bytes that a reading needs, as learned
}

func (g *openSegment) close() {
	g.segment.reset()
	g.row, g.stored, g.sealed = row{}, 0, false
}

// The statements, by class.
var (
	selectRows, selectIDs, selectBoots, selectHeads [gateway.Classes]string
	insertRow, updateRow, deleteRows                [gateway.Classes]string
)

func init() {
	for c := range gateway.Classes {
		table := [...]string{"segment0", "segment1", "segment2"}[c]
		selectRows[c] = "SELECT id,n,boot,t0,t1,flags,crc,body FROM " + table + " "
		selectHeads[c] = "SELECT id,n,boot,t0,t1,length(body) FROM " + table + " "
		selectIDs[c] = "SELECT id FROM " + table + " "
		selectBoots[c] = "SELECT boot FROM " + table + " "
		insertRow[c] = "INSERT INTO " + table + "(n,boot,t0,t1,flags,crc,body,id) VALUES(?,?,?,?,?,?,?,?)"
		updateRow[c] = "UPDATE " + table + " SET n=?,boot=?,t0=?,t1=?,flags=?,crc=?,body=? WHERE id=?"
		deleteRows[c] = "DELETE FROM " + table + " WHERE id BETWEEN ? AND ?"
	}
}

func scanRow(r flash.Row) row {
	return row{id: r.Int(0), n: r.Int(1), boot: r.Int(2), t0: r.Int(3), t1: r.Int(4), flags: r.Int(5), crc: r.Int(6), body: r.Blob(7)}
}

// Write puts what waits into one transaction. Everything that must agree is in
// it: readings and their seqs, what is dropped for them and its gaps, what is acknowledged.
func (s *Store) Write(tx *flash.Tx) error {
	s.take()
	if err := s.writeDamage(tx); err != nil {
		return err
	}
	if !s.taken.empty() {
		if err := s.makeRoom(tx); err != nil {
			return err
		}
		if err := s.writeReadings(tx); err != nil {
			return err
		}
		if err := s.expire(tx); err != nil {
			return err
		}
	}
	if err := s.writeBoots(tx); err != nil {
		return err
	}
	return s.writeAcks(tx)
}

// take moves what waits to where the transaction works on it. What was taken
// before is settled.
func (s *Store) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken, s.queue = s.queue, s.taken
}

func (s *Store) writeReadings(tx *flash.Tx) error {
	s.doubt, s.assumed = s.current().id, [gateway.Classes]gateway.Seq{}
	for c := range s.taken.lanes {
		class := gateway.Class(c)
		lane := &s.taken.lanes[c]
		if lane.empty() {
			continue
		}
		err := lane.walk(
			func(es []entry) error { return s.writeRun(tx, class, es) },
			func(x loss) error { return s.writeLoss(tx, class, x) })
		if err != nil {
			return err
		}
		s.assumed[c] = s.next[c] - 1
	}
	return nil
}

// writeLoss gives up seqs for readings that were given up while they waited.
func (s *Store) writeLoss(tx *flash.Tx, class gateway.Class, x loss) error {
	return s.loseNext(tx, class, x.n, x.first, x.last, "disk too slow")
}

func (s *Store) loseNext(tx *flash.Tx, class gateway.Class, n int, first, last gateway.Stamp, reason string) error {
	from, err := s.mark(tx, first)
	if err != nil {
		return err
	}
	to, err := s.mark(tx, last)
	if err != nil {
		return err
	}
	lost := gateway.SeqRange{From: s.next[class], To: s.next[class] + gateway.Seq(n) - 1}
	if err := s.giveUp(tx, s.current(), class, lost, from, to, reason); err != nil {
		return err
	}
	s.open[class].close()
	s.next[class] += gateway.Seq(n)
	return s.writeHigh(tx)
}

// writeHigh saves how far the epoch got, where no row says so.
func (s *Store) writeHigh(tx *flash.Tx) error {
	e := *s.current()
	for c := range e.class {
		e.class[c].high = s.next[c] - 1
	}
	return e.write(tx)
}

func (s *Store) mark(tx *flash.Tx, st gateway.Stamp) (mark, error) {
	rec, err := s.bootRow(tx, st.Boot)
	if err != nil {
		return mark{}, err
	}
	return mark{rec.row, st.At}, nil
}

// writeRun adds readings to the open row, and opens another when it is full.
func (s *Store) writeRun(tx *flash.Tx, class gateway.Class, es []entry) error {
	g := &s.open[class]
	for len(es) > 0 {
		rec, err := s.bootRow(tx, es[0].r.Stamp.Boot)
		if err != nil {
			return err
		}
		if g.row.n > 0 && g.row.boot != rec.row {
			g.close()
		}
		k := g.room(es)
		if k == 0 {
			g.close()
			continue
		}
		if g.row.n == 0 {
			g.row = row{boot: rec.row, t0: es[0].r.Stamp.At, t1: es[0].r.Stamp.At}
		}
		for i := range es[:k] {
			tag, err := s.tagRow(tx, es[i].r.Tag)
			if err != nil {
				return err
			}
			g.add(tag, &es[i].r)
			g.row.t0, g.row.t1 = min(g.row.t0, es[i].r.Stamp.At), max(g.row.t1, es[i].r.Stamp.At)
		}
		es = es[k:]
		if err := s.writeOpen(tx, class, k); err != nil {
			return err
		}
	}
	return nil
}

// room returns how many of the next readings go into the open segment; all of
// them have the boot of the first. 0 means that another one has to be opened.
func (g *openSegment) room(es []entry) int {
	if g.sealed || g.n >= maxSegmentReadings || g.size() >= maxSegmentRaw {
		return 0
	}
	if weight(&es[0].r) > ownSegment {
		if g.n > 0 {
			return 0
		}
		g.sealed = true
		return 1
	}
	if g.each == 0 {
		g.each = 6
	}
	most := min(len(es), maxSegmentReadings-g.n, (maxSegmentRaw-g.size())/16+1)
	fit := int(float64(fullBody-g.stored) / g.each)
	switch {
	case fit >= most:
	case g.n == 0:
		most = max(1, min(most, fit))
	case float64(maxBody-g.stored) > float64(len(es))*g.each: // the last few still go in
	case g.stored > fullBody*7/8:
		return 0 // full enough: its page is not written again
	default:
		most = max(1, fit)
	}
	bytes := g.stored
	for k := range most {
		w := weight(&es[k].r)
		if bytes += w; g.n+k > 0 && w > 0 && (w > ownSegment || bytes > fullBody) || es[k].r.Stamp.Boot != es[0].r.Stamp.Boot {
			return k
		}
	}
	return most
}

// writeOpen writes the open row with its last k readings.
func (s *Store) writeOpen(tx *flash.Tx, class gateway.Class, k int) error {
	g := &s.open[class]
	body, flags := s.pack.pack(&g.segment)
	r := &g.row
	statement := updateRow[class]
	if r.n == 0 {
		statement = insertRow[class]
		r.id = rowID(s.current().row, s.next[class])
	}
	r.n, r.flags, r.body = int64(g.n), flags, body
	r.crc = r.sum()
	s.next[class] += gateway.Seq(k)
	if each := float64(len(body)) / float64(g.n); g.n >= 32 && !g.sealed {
		g.each += (each - g.each) / 4
	}
	err := tx.Exec(statement, r.n, r.boot, r.t0, r.t1, r.flags, r.crc, body, r.id)
	r.body, g.stored = nil, len(body)
	return err
}

// place is where Next found something that cannot be read.
type place struct {
	epoch  gateway.Epoch
	class  gateway.Class
	seq    gateway.Seq
	decode bool // the checksum is right, and still it makes no sense
}

// writeDamage turns what cannot be read into gaps.
func (s *Store) writeDamage(tx *flash.Tx) error {
	s.mu.Lock()
	damaged := s.damaged
	s.damaged = nil
	s.mu.Unlock()
	for _, p := range damaged {
		if err := s.loseDamaged(tx, p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) loseDamaged(tx *flash.Tx, p place) error {
	s.mu.Lock()
	e := s.epochOf(p.epoch)
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	var at row // the row that should hold it
	lost := gateway.SeqRange{From: p.seq, To: e.class[p.class].high}
	err := tx.Query(selectRows[p.class]+"WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", func(r flash.Row) error {
		at = scanRow(r)
		return nil
	}, rowID(e.row, 0), rowID(e.row, p.seq))
	if err != nil {
		return err
	}
	err = tx.Query(selectIDs[p.class]+"WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", func(r flash.Row) error {
		lost.To = min(lost.To, seqOf(r.Int(0))-1)
		return nil
	}, rowID(e.row, p.seq+1), rowID(e.row, maxSeq))
	if err != nil {
		return err
	}
	holds := at.id != 0 && at.crc == at.sum() && seqOf(at.id)+gateway.Seq(at.n) > p.seq
	if holds && !p.decode {
		return nil // it can be read now
	}
	bad := at.id != 0 && (at.crc != at.sum() || holds)
	if bad {
		lost.From = seqOf(at.id)
		if s.open[p.class].row.id == at.id {
			s.open[p.class].close()
		}
		if err := tx.Exec(deleteRows[p.class], at.id, at.id); err != nil {
			return err
		}
	}
	s.log.Error("readings in the buffer are damaged, they become a gap", "class", p.class.String(),
		"from", lost.From, "to", lost.To)
	if err := s.giveUpDamaged(tx, e, p.class, lost, at); err != nil {
		return err
	}
	if e != s.current() {
		return e.write(tx)
	}
	return s.writeHigh(tx)
}

// giveUpDamaged takes the times of the gap from the row before it, for nothing
// of the damaged one can be trusted.
func (s *Store) giveUpDamaged(tx *flash.Tx, e *epoch, class gateway.Class, lost gateway.SeqRange, at row) error {
	s.mu.Lock()
	rec := s.boots.byRow[at.boot]
	s.mu.Unlock()
	if rec == nil || at.crc != at.sum() {
		now, err := s.bootRow(tx, s.boot)
		if err != nil {
			return err
		}
		m := mark{now.row, s.o.Now().At}
		return s.giveUp(tx, e, class, lost, m, m, "damaged")
	}
	return s.giveUp(tx, e, class, lost, mark{at.boot, at.t1}, mark{at.boot, at.t1}, "damaged")
}
