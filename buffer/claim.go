package buffer

import (
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// uplink is what one remote destination has and what it will never get.
type uplink struct {
	name   string
	claims map[claimKey]*claim
	oldest gateway.Stamp // of the first reading that Next gave last and that is not acknowledged
	unsent gateway.Seq   // its seq, 0 for none
	key    claimKey      // and of what
	cache  unpacked
}

type claimKey struct {
	epoch gateway.Epoch
	class gateway.Class
}

type claim struct {
	acked   gateway.Ranges
	gaps    []gap // in order, none overlaps another; some of it may be acked
	changed bool  // acked is not what is in the file
}

// gap is readings that were given up before this uplink had them. It may grow
// until it is sent.
type gap struct {
	id          int64
	span        gateway.SeqRange
	first, last mark
	reason      string
	frozen      bool
}

// mark is a stamp as it rests.
type mark struct{ boot, at int64 }

func newUplink(name string) *uplink { return &uplink{name: name, claims: map[claimKey]*claim{}} }

func (u *uplink) claim(key claimKey) *claim {
	c := u.claims[key]
	if c == nil {
		c = &claim{}
		u.claims[key] = c
	}
	return c
}

// Ack notes that an uplink has delivered a range. The note rides on the next
// commit; if it is lost the range is sent again, and receivers drop it.
func (s *Store) Ack(_ context.Context, name string, id gateway.Epoch, class gateway.Class, from, to gateway.Seq) error {
	s.mu.Lock()
	u := s.uplinks[name]
	if u == nil || class >= gateway.Classes {
		s.mu.Unlock()
		return fmt.Errorf("acknowledge %s of %q: %w", class, name, ErrNoUplink)
	}
	e := s.epochOf(id)
	if e == nil { // nothing of it is left
		s.mu.Unlock()
		return nil
	}
	from, to = max(from, 1), min(to, e.class[class].high) // what was not committed was not handed out
	key := claimKey{id, class}
	wake := false
	if from <= to {
		c := u.claim(key)
		if c.acked.Add(gateway.SeqRange{From: from, To: to}) {
			wake = !c.changed
			c.changed = true
		}
		if u.key == key && u.unsent <= to {
			u.unsent = 0
		}
	}
	s.mu.Unlock()
	if wake {
		s.file.Wake(ackIdle)
	}
	return nil
}

func (s *Store) epochOf(id gateway.Epoch) *epoch {
	for _, e := range s.epochs {
		if e.id == id {
			return e
		}
	}
	return nil
}

func (s *Store) epochOfRow(row int64) *epoch {
	for _, e := range s.epochs {
		if e.row == row {
			return e
		}
	}
	return nil
}

// loadUplinks reads what each uplink has. What is acknowledged in memory and not
// in the file stays so: the acks of a transaction that failed.
func (s *Store) loadUplinks(tx *flash.Tx) error {
	known := map[string]bool{}
	have := map[ackPlace]gateway.Ranges{}
	err := tx.Query("SELECT uplink,epoch,class,spans,crc FROM ack", func(r flash.Row) error {
		a := ackRow{uplink: r.Text(0), epochRow: r.Int(1), class: gateway.Class(r.Int(2)), spans: r.Blob(3)}
		known[a.uplink] = true
		acked, err := gateway.ParseRanges(a.spans)
		if err != nil || r.Int(4) != a.sum() {
			s.log.Error("what an uplink has delivered is damaged in the buffer, it is sent again", "uplink", a.uplink)
			acked = nil
		}
		have[ackPlace{a.uplink, a.epochRow, a.class}] = acked
		return nil
	})
	if err != nil {
		return err
	}
	for name, u := range s.uplinks {
		if err := s.loadClaims(tx, u, have, known[name] || s.loaded); err != nil {
			return err
		}
	}
	for name := range known {
		if s.uplinks[name] != nil {
			continue
		}
		s.log.Info("an uplink is not configured any more, and drops its claim", "uplink", name)
		if err := tx.Exec("DELETE FROM ack WHERE uplink=?", name); err != nil {
			return err
		}
	}
	return s.loadGaps(tx)
}

type ackPlace struct {
	uplink   string
	epochRow int64
	class    gateway.Class
}

// loadClaims brings memory and file together. An uplink has a row for each class
// of each epoch even when it has nothing of it: they say that it is not new. A
// new one begins with what is read from now on.
func (s *Store) loadClaims(tx *flash.Tx, u *uplink, have map[ackPlace]gateway.Ranges, known bool) error {
	var write []ackRow
	s.mu.Lock()
	u.cache = unpacked{}
	for _, e := range s.epochs {
		for class := range gateway.Class(gateway.Classes) {
			c := u.claim(claimKey{e.id, class})
			acked, ok := have[ackPlace{u.name, e.row, class}]
			for _, a := range acked {
				c.acked.Add(a)
			}
			if high := e.class[class].high; !known && high > 0 {
				c.acked.Add(gateway.SeqRange{From: 1, To: high})
			}
			c.gaps, c.changed = nil, false
			if !ok || !slices.Equal(c.acked, acked) {
				write = append(write, ackRow{u.name, e.row, class, c.acked.AppendBinary([]byte{}), nil})
			}
		}
	}
	s.mu.Unlock()
	for _, a := range write {
		if err := a.write(tx); err != nil {
			return err
		}
	}
	return nil
}

// loadGaps reads the gaps. A damaged one is dropped: Next finds the hole.
func (s *Store) loadGaps(tx *flash.Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var drop []int64
	s.lastGap = 0
	err := tx.Query(`SELECT id,uplink,epoch,class,from_seq,to_seq,first_boot,first_at,last_boot,last_at,reason,crc
		FROM gap ORDER BY epoch,class,from_seq`, func(r flash.Row) error {
		u, e := s.uplinks[r.Text(1)], s.epochOfRow(r.Int(2))
		g := gap{id: r.Int(0), span: gateway.SeqRange{From: gateway.Seq(r.Int(4)), To: gateway.Seq(r.Int(5))},
			first: mark{r.Int(6), r.Int(7)}, last: mark{r.Int(8), r.Int(9)}, reason: r.Text(10), frozen: true}
		class := gateway.Class(r.Int(3))
		s.lastGap = max(s.lastGap, g.id)
		if u == nil || e == nil || g.span.From < 1 || g.span.To < g.span.From || r.Int(3) >= gateway.Classes ||
			r.Int(11) != g.sum(r.Text(1), r.Int(2), class) {
			drop = append(drop, g.id)
			return nil
		}
		c := u.claim(claimKey{e.id, class})
		if n := len(c.gaps); n > 0 && c.gaps[n-1].span.To >= g.span.From {
			drop = append(drop, g.id)
			return nil
		}
		c.gaps = append(c.gaps, g)
		return nil
	})
	for _, id := range drop {
		if err == nil {
			err = tx.Exec("DELETE FROM gap WHERE id=?", id)
		}
	}
	return err
}

func (g *gap) sum(name string, epochRow int64, class gateway.Class) int64 {
	b := fmt.Appendf(nil, "%d %s %d %d %v %v %v ", g.id, name, epochRow, class, g.span, g.first, g.last)
	return int64(crc32.Checksum(append(b, g.reason...), castagnoli))
}

func (g *gap) write(tx *flash.Tx, name string, epochRow int64, class gateway.Class) error {
	return tx.Exec(`INSERT OR REPLACE INTO gap(id,uplink,epoch,class,from_seq,to_seq,first_boot,first_at,last_boot,last_at,reason,crc)
		VALUES(?,?,?,?,?,?,?,?,?,?,?,?)`, g.id, name, epochRow, int64(class), int64(g.span.From), int64(g.span.To),
		g.first.boot, g.first.at, g.last.boot, g.last.at, g.reason, g.sum(name, epochRow, class))
}

// giveUp writes for every uplink that a range will not come, as far as it was
// not delivered and is not given up already. It joins the gap before it, unless that was sent.
func (s *Store) giveUp(tx *flash.Tx, e *epoch, class gateway.Class, lost gateway.SeqRange, first, last mark, reason string) error {
	for _, u := range s.uplinks {
		var write []gap
		s.mu.Lock()
		c := u.claim(claimKey{e.id, class})
		for _, part := range c.owed(lost) {
			s.lastGap++
			g := c.giveUp(gap{id: s.lastGap, span: part, first: first, last: last, reason: reason})
			write = append(write, g)
			s.dropped[class] += uint64(part.Count())
		}
		s.mu.Unlock()
		for _, g := range write {
			if err := g.write(tx, u.name, e.row, class); err != nil {
				return err
			}
		}
	}
	return nil
}

// owed returns the parts of a range that are neither acknowledged nor given up.
func (c *claim) owed(n gateway.SeqRange) gateway.Ranges {
	var out gateway.Ranges
	for _, part := range c.acked.Missing(n) {
		for _, g := range c.gaps {
			if part.From > part.To || g.span.From > part.To {
				break
			}
			if g.span.To < part.From {
				continue
			}
			if g.span.From > part.From {
				out = append(out, gateway.SeqRange{From: part.From, To: g.span.From - 1})
			}
			part.From = g.span.To + 1
		}
		if part.From <= part.To {
			out = append(out, part)
		}
	}
	return out
}

// giveUp adds a gap, or lets the one before it grow, and returns what is to be written.
func (c *claim) giveUp(n gap) gap {
	i, _ := slices.BinarySearchFunc(c.gaps, n, func(a, b gap) int { return cmp.Compare(a.span.From, b.span.From) })
	if i > 0 {
		before := &c.gaps[i-1]
		if before.span.To+1 == n.span.From && before.reason == n.reason && !before.frozen {
			before.span.To, before.last = n.span.To, n.last
			return *before
		}
	}
	c.gaps = slices.Insert(c.gaps, i, n)
	return n
}

// writeAcks lets the acks ride on whatever else is written, and removes gaps
// that the far side has. Alone they wait for a minute.
func (s *Store) writeAcks(tx *flash.Tx) error {
	if !s.acksPending() {
		s.acksDue = time.Time{}
		return nil
	}
	if s.acksDue.IsZero() {
		s.acksDue = time.Now().Add(ackIdle)
	}
	if !tx.Wrote() && !tx.Last() && time.Now().Before(s.acksDue) {
		s.file.Wake(time.Until(s.acksDue))
		return nil
	}
	s.acksDue = time.Time{}
	for _, a := range s.takeAcks() {
		if err := a.write(tx); err != nil {
			return err
		}
		for _, id := range a.done {
			if err := tx.Exec("DELETE FROM gap WHERE id=?", id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) acksPending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uplinks {
		for _, c := range u.claims {
			if c.changed {
				return true
			}
		}
	}
	return false
}

// ackRow is what an uplink has of one class, as it rests.
type ackRow struct {
	uplink   string
	epochRow int64
	class    gateway.Class
	spans    []byte
	done     []int64 // ids of gaps that it has
}

func (s *Store) takeAcks() (rows []ackRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uplinks {
		for key, c := range u.claims {
			e := s.epochOf(key.epoch)
			if !c.changed || e == nil {
				continue
			}
			a := ackRow{uplink: u.name, epochRow: e.row, class: key.class, spans: c.acked.AppendBinary([]byte{})}
			kept := c.gaps[:0:0]
			for _, g := range c.gaps {
				if c.acked.Has(g.span) {
					a.done = append(a.done, g.id)
				} else {
					kept = append(kept, g)
				}
			}
			c.gaps, c.changed = kept, false
			rows = append(rows, a)
		}
	}
	return rows
}

func (a ackRow) write(tx *flash.Tx) error {
	return tx.Exec("INSERT OR REPLACE INTO ack(uplink,epoch,class,spans,crc) VALUES(?,?,?,?,?)",
		a.uplink, a.epochRow, int64(a.class), a.spans, a.sum())
}

func (a ackRow) sum() int64 {
	head := fmt.Appendf(nil, "%s %d %d ", a.uplink, a.epochRow, a.class)
	return int64(crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, a.spans))
}
