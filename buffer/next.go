package buffer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// ErrNoUplink means that the buffer was opened without this uplink.
var ErrNoUplink = errors.New("not an uplink of this buffer")

const (
	defaultMaxReadings = maxSegmentReadings
	// How often Next looks by itself while it waits for a clock or a disk:
	// neither says when it is back.
	lookAgain = time.Second
)

// unpacked is the segment that an uplink read last; small batches come from it
// several times.
type unpacked struct {
	id, crc  int64
	readings []gateway.Reading
}

// find is what Next found in the file.
type find struct {
	epoch gateway.Epoch
	class gateway.Class
	from  gateway.Seq // the first that the uplink does not have
	to    gateway.Seq // and what it can have at most, up to the next it has
	gaps  []gateway.Gap
	after []gap // that may follow the readings
	rows  []row
	boots []*gateway.Boot // of rows
	tags  []*gateway.Tag
}

var (
	errHeld = errors.New("no clock yet") // or a disk that just failed: look again
	errGone = errors.New("cannot be read")
)

// Next returns what the uplink should send next: the most urgent class that it
// wants, and of that the oldest. The readings are shared: do not change them. It
// returns the same again until it is acknowledged. Nothing is handed out before the
// wall time of its boot is known and on disk.
func (s *Store) Next(ctx context.Context, name string, want gateway.Want) (gateway.Batch, error) {
	if want.MaxReadings <= 0 {
		want.MaxReadings = defaultMaxReadings
	}
	for {
		s.mu.Lock()
		u, changed, closed := s.uplinks[name], s.changed, s.closed
		due := u != nil && !s.stale && s.due(u, want.Classes) != nil
		s.mu.Unlock()
		switch {
		case u == nil:
			return gateway.Batch{}, fmt.Errorf("next for %q: %w", name, ErrNoUplink)
		case closed:
			return gateway.Batch{}, flash.ErrClosed
		}
		err := gateway.ErrNothing
		if due {
			var b gateway.Batch
			if b, err = s.batch(ctx, u, want); err == nil {
				return b, nil
			}
		}
		if err := s.pause(ctx, err, want.Wait, changed); err != nil {
			return gateway.Batch{}, err
		}
	}
}

// pause waits for what err says is missing, or returns why not.
func (s *Store) pause(ctx context.Context, err error, wait bool, changed <-chan struct{}) error {
	var again <-chan time.Time
	switch {
	case errors.Is(err, gateway.ErrNothing), errors.Is(err, errGone):
	case errors.Is(err, errHeld), errors.Is(err, flash.ErrUnavailable):
		timer := time.NewTimer(lookAgain)
		defer timer.Stop()
		again = timer.C
	default:
		return err
	}
	if !wait {
		return gateway.ErrNothing
	}
	select {
	case <-changed:
	case <-again:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// due returns where the uplink goes on, or nil if it has everything.
func (s *Store) due(u *uplink, classes gateway.ClassSet) *find {
	for class := gateway.Alarm; class < gateway.Classes; class++ {
		if !classes.Has(class) {
			continue
		}
		for _, e := range s.epochs {
			c, high := u.claim(claimKey{e.id, class}), e.class[class].high
			from := c.acked.FirstMissing(1)
			if from > high {
				continue
			}
			to := high
			if n, ok := c.acked.NextFrom(from); ok {
				to = min(to, n-1)
			}
			return &find{epoch: e.id, class: class, from: from, to: to}
		}
	}
	return nil
}

// batch reads what is due, between two commits, and unpacks it here.
func (s *Store) batch(ctx context.Context, u *uplink, want gateway.Want) (gateway.Batch, error) {
	var f *find
	err := s.file.Read(ctx, func(tx *flash.Tx) (err error) {
		f, err = s.look(tx, u, want)
		return err
	})
	if err != nil {
		return gateway.Batch{}, err
	}
	if len(f.rows) == 0 {
		return gateway.Batch{Epoch: f.epoch, Class: f.class, Gaps: f.gaps}, nil
	}
	b := gateway.Batch{Epoch: f.epoch, Class: f.class, First: f.from, Gaps: f.gaps}
	bytes := 0
	for i := range f.rows {
		rs, err := s.unpack(u, f, i)
		if err != nil && i == 0 {
			s.damage(place{f.epoch, f.class, f.from, f.rows[0].crc == f.rows[0].sum()})
			return gateway.Batch{}, errGone
		}
		if err != nil {
			break
		}
		each := len(f.rows[i].body)/len(rs) + 1
		if i == 0 {
			rs = rs[f.from-seqOf(f.rows[0].id):]
		}
		left := f.to + 1 - f.from - gateway.Seq(len(b.Readings))
		most := min(len(rs), want.MaxReadings-len(b.Readings), int(min(left, maxSegmentReadings)))
		if want.MaxBytes > 0 {
			most = min(most, max((want.MaxBytes-bytes)/each, 1-len(b.Readings)))
		}
		if most <= 0 {
			break
		}
		bytes += most * each
		switch {
		case b.Readings != nil:
			b.Readings = append(b.Readings, rs[:most]...)
		case i == len(f.rows)-1:
			b.Readings = rs[:most:most] // as they are in the cache
		default:
			b.Readings = append(make([]gateway.Reading, 0, f.most(want.MaxReadings)), rs[:most]...)
		}
		if most < len(rs) {
			break
		}
	}
	s.handOut(u, f, &b)
	return b, nil
}

// most is how many readings the rows can give.
func (f *find) most(limit int) int {
	n := int64(0)
	for i := range f.rows {
		n += min(f.rows[i].n, maxSegmentReadings)
	}
	return int(min(n, int64(limit)))
}

// handOut adds the gaps that follow the readings, and freezes every gap that goes out.
func (s *Store) handOut(u *uplink, f *find, b *gateway.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := b.First + gateway.Seq(len(b.Readings)) - 1
	c := u.claim(claimKey{f.epoch, f.class})
	for _, g := range f.after {
		if g.span.From != end+1 || g.span.From > f.to {
			continue
		}
		sent, ok := s.sent(c, g, f)
		if !ok {
			break
		}
		b.Gaps = append(b.Gaps, sent)
		end = sent.To
	}
	u.oldest, u.unsent, u.key = b.Readings[0].Stamp, b.First, claimKey{f.epoch, f.class}
}

// sent returns a gap as it goes out, trimmed to what the uplink does not have, and freezes it.
func (s *Store) sent(c *claim, g gap, f *find) (gateway.Gap, bool) {
	first, last := s.boots.byRow[g.first.boot], s.boots.byRow[g.last.boot]
	if first == nil || last == nil || !first.ready() || !last.ready() {
		return gateway.Gap{}, false
	}
	for i := range c.gaps {
		if c.gaps[i].id == g.id {
			c.gaps[i].frozen = true
		}
	}
	from, to := max(g.span.From, f.from), min(g.span.To, f.to)
	return gateway.Gap{Class: f.class, From: from, To: to, Count: int(to - from + 1),
		First:  gateway.Stamp{Boot: first.boot, At: g.first.at},
		Last:   gateway.Stamp{Boot: last.boot, At: g.last.at},
		Reason: g.reason}, true
}

// look finds what is due in the file. It runs between two commits.
func (s *Store) look(tx *flash.Tx, u *uplink, want gateway.Want) (*find, error) {
	f, done, err := s.lookClaims(u, want)
	if err != nil || done {
		return f, err
	}
	return s.lookRows(tx, f, want)
}

// lookClaims finds where the uplink goes on. done says that it is a gap that no
// reading follows.
func (s *Store) lookClaims(u *uplink, want gateway.Want) (f *find, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale {
		return nil, false, errHeld
	}
	if f = s.due(u, want.Classes); f == nil {
		return nil, false, gateway.ErrNothing
	}
	c := u.claim(claimKey{f.epoch, f.class})
	at := f.from
	for _, g := range c.gaps {
		switch {
		case g.span.To < at:
		case g.span.From <= at:
			sent, ok := s.sent(c, g, f)
			if !ok {
				f, err = s.held(f)
				return f, true, err
			}
			f.gaps, at = append(f.gaps, sent), sent.To+1
		default:
			f.after = append(f.after, g)
		}
	}
	f.from, f.tags = at, s.tags.byRow
	return f, at > f.to, nil
}

// held says that what was found has no clock yet. If the clock is known and only
// not on disk, it asks for that.
func (s *Store) held(f *find) (*find, error) {
	if len(f.gaps) > 0 { // a part of it can go
		return f, nil
	}
	if _, known := s.boot.Offset(); known {
		s.file.Wake(flash.Acknowledgement)
	}
	return nil, errHeld
}

func (s *Store) lookRows(tx *flash.Tx, f *find, want gateway.Want) (*find, error) {
	e := s.epochOf(f.epoch)
	start := rowID(e.row, f.from)
	err := tx.Query(selectIDs[f.class]+"WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", func(r flash.Row) error {
		start = r.Int(0)
		return nil
	}, rowID(e.row, 0), start)
	if err != nil {
		return nil, err
	}
	n, bytes, held := 0, 0, false
	err = tx.Query(selectRows[f.class]+"WHERE id BETWEEN ? AND ? ORDER BY id", func(r flash.Row) error {
		got := scanRow(r)
		expected := f.from + gateway.Seq(n)
		if first := seqOf(got.id); first > expected || (n > 0 && first != expected) || first+gateway.Seq(got.n) <= expected {
			return flash.Stop
		}
		rec := s.boots.byRow[got.boot]
		if got.crc == got.sum() && rec != nil && !rec.ready() {
			held = true
			return flash.Stop
		}
		var boot *gateway.Boot
		if rec != nil {
			boot = rec.boot
		}
		f.rows, f.boots = append(f.rows, got), append(f.boots, boot)
		n += int(seqOf(got.id) + gateway.Seq(got.n) - expected)
		if bytes += len(got.body); n >= want.MaxReadings || (want.MaxBytes > 0 && bytes >= want.MaxBytes) {
			return flash.Stop
		}
		return nil
	}, start, rowID(e.row, f.to))
	switch {
	case err != nil:
		return nil, err
	case len(f.rows) > 0 || len(f.gaps) > 0 && !held:
		return f, nil
	case held:
		return s.held(f)
	default: // a seq that is in no row and no gap
		s.damage(place{epoch: f.epoch, class: f.class, seq: f.from})
		return nil, errGone
	}
}

// unpack returns the readings of a row.
func (s *Store) unpack(u *uplink, f *find, i int) ([]gateway.Reading, error) {
	r := &f.rows[i]
	s.mu.Lock()
	cache := u.cache
	s.mu.Unlock()
	if cache.id == r.id && cache.crc == r.crc && cache.readings != nil {
		return cache.readings, nil
	}
	if r.crc != r.sum() || f.boots[i] == nil {
		return nil, errSegment
	}
	raw, err := s.pack.unpack(r.body, r.flags)
	if err != nil {
		return nil, err
	}
	rs, err := decodeSegment(raw, f.boots[i], f.class, func(row int64) *gateway.Tag {
		if row < 0 || row >= int64(len(f.tags)) {
			return nil
		}
		return f.tags[row]
	})
	if err != nil {
		return nil, err
	}
	if int64(len(rs)) != r.n {
		return nil, errSegment
	}
	s.mu.Lock()
	u.cache = unpacked{r.id, r.crc, rs}
	s.mu.Unlock()
	return rs, nil
}

func (s *Store) damage(p place) {
	s.mu.Lock()
	s.damaged = append(s.damaged, p)
	s.mu.Unlock()
	s.file.Wake(flash.Acknowledgement)
}
