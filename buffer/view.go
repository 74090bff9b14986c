package buffer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// View looks into a buffer and changes nothing: the one that a Store keeps, or a
// file that nobody runs.
type View struct {
	read  func(context.Context, func(*flash.Tx) error) error
	close func() error
	boot  *gateway.Boot // the running one; nil for a file
	dir   string        // of the copy of the epoch; "" for none
	pack  *packer
}

// View looks into the buffer between two commits, a little at a time.
func (s *Store) View() *View {
	return &View{read: s.file.Read, close: func() error { return nil }, boot: s.boot, pack: newPacker()}
}

// OpenView looks into a file that nobody runs, such as one of a dead box. The
// file and what lies beside it stay as they are. A file that a gateway has open is
// flash.ErrInUse.
func OpenView(path string) (*View, error) {
	c, err := flash.OpenCopy(path)
	if err != nil {
		return nil, fmt.Errorf("open buffer: %w", err)
	}
	v := &View{read: c.Read, close: c.Close, pack: newPacker()}
	if filepath.Base(path) == fileName {
		v.dir = filepath.Dir(path)
	}
	return v, nil
}

// FileIn returns the path of the buffer in a directory.
func FileIn(directory string) string { return filepath.Join(directory, fileName) }

// Close lets go of it.
func (v *View) Close() error { return v.close() }

// contents is everything in the file but the readings.
type contents struct {
	epochs  []*epoch
	tags    map[int64]*gateway.Tag
	boots   map[int64]*bootRecord
	uplinks []string // by name
	acked   map[ackPlace]gateway.Ranges
	gaps    map[ackPlace][]gap
	used    int64
	size    int64
	limit   int64
	faults  []Fault // records that are damaged
}

// Fault is something in the file that is damaged.
type Fault struct {
	What  string      `json:"what"`
	Epoch string      `json:"epoch,omitempty"`
	Class string      `json:"class,omitempty"`
	From  gateway.Seq `json:"from_seq,omitempty"` // of the readings that it concerns; 0 for none
	To    gateway.Seq `json:"to_seq,omitempty"`
}

// String says it in one line.
func (f Fault) String() string {
	if f.Class == "" {
		return f.What
	}
	return fmt.Sprintf("%s: epoch %s, class %s, seq %d to %d", f.What, f.Epoch, f.Class, f.From, f.To)
}

func (c *contents) fault(format string, args ...any) {
	c.faults = append(c.faults, Fault{What: fmt.Sprintf(format, args...)})
}

// contents reads it. What cannot be read is among the faults; err is of ctx or
// of a disk that fails.
func (v *View) contents(ctx context.Context) (*contents, error) {
	c := &contents{tags: map[int64]*gateway.Tag{}, boots: map[int64]*bootRecord{},
		acked: map[ackPlace]gateway.Ranges{}, gaps: map[ackPlace][]gap{}}
	for _, part := range []struct {
		what string
		load func(*flash.Tx) error
	}{{"tags", c.loadTags}, {"boots", c.loadBoots}, {"epochs", c.loadEpochs}, {"acknowledgements", c.loadAcks}, {"gaps", c.loadGaps}, {"size", c.loadSpace}} {
		err := v.read(ctx, part.load)
		switch {
		case flash.Damaged(err):
			c.fault("the %s cannot be read: %v", part.what, err)
		case err != nil:
			return nil, fmt.Errorf("read the %s: %w", part.what, err)
		}
	}
	c.estimate(v.boot)
	slices.Sort(c.uplinks)
	c.uplinks = slices.Compact(c.uplinks)
	return c, nil
}

func (c *contents) loadSpace(tx *flash.Tx) (err error) {
	c.used, c.size, c.limit, err = tx.Space()
	return err
}

func (c *contents) loadTags(tx *flash.Tx) error {
	return tx.Query("SELECT id,device,name,type,unit,scale,offset,crc FROM tag ORDER BY id", func(r flash.Row) error {
		tag, err := parseTag(r)
		if err != nil {
			c.fault("tag %d (%q %q): %v", r.Int(0), r.Text(1), r.Text(2), err)
			return nil
		}
		c.tags[r.Int(0)] = tag
		return nil
	})
}

func (c *contents) loadBoots(tx *flash.Tx) error {
	return tx.Query("SELECT id,boot_id,offset_ms,known,trusted,synced_at,last_at,crc FROM boot ORDER BY id", func(r flash.Row) error {
		rec := &bootRecord{row: r.Int(0), lastAt: r.Int(6), known: r.Int(3) != 0, boot: gateway.NewBoot(r.Text(1)),
			saved: gateway.Offset{Milli: r.Int(2), Trusted: r.Int(4) != 0, SyncedAt: r.Int(5)}}
		if r.Int(7) != rec.sum() {
			c.fault("the clock of boot %s: wrong checksum", r.Text(1))
			rec.saved, rec.known, rec.lastAt = gateway.Offset{}, false, 0
		}
		if rec.known {
			rec.boot.SetOffset(rec.saved)
		}
		c.boots[rec.row] = rec
		return nil
	})
}

// estimate places boots that never learned the time, as the gateway does: so
// that they end when the next one began.
func (c *contents) estimate(running *gateway.Boot) {
	rows := sortedRows(c.boots)
	var later *gateway.Offset
	for _, row := range slices.Backward(rows) {
		rec := c.boots[row]
		now, known := rec.boot.Offset()
		if !known && running != nil && rec.boot.ID == running.ID {
			if now, known = running.Offset(); known {
				rec.boot.SetOffset(now)
			}
		} else if !known && later != nil {
			now, known = gateway.Offset{Milli: later.Milli - rec.lastAt}, true
			rec.boot.SetOffset(now)
		}
		if known {
			later = &now
		}
	}
}

func sortedRows(boots map[int64]*bootRecord) []int64 {
	var rows []int64
	for row := range boots {
		rows = append(rows, row)
	}
	slices.Sort(rows)
	return rows
}

func (c *contents) loadEpochs(tx *flash.Tx) error {
	err := tx.Query("SELECT id,epoch,high0,high1,high2,crc FROM epoch ORDER BY id", func(r flash.Row) error {
		e := &epoch{row: r.Int(0), id: gateway.Epoch(r.Int(1))}
		for class := range e.class {
			e.class[class].high = gateway.Seq(r.Int(2 + class))
		}
		if r.Int(5) != e.sum() {
			c.fault("the record of epoch %s: wrong checksum; nobody can say what its readings are called", e.id)
			return nil
		}
		c.epochs = append(c.epochs, e)
		return nil
	})
	for _, e := range c.epochs {
		if err == nil {
			_, err = e.loadExtents(tx)
		}
	}
	return err
}

func (c *contents) loadAcks(tx *flash.Tx) error {
	return tx.Query("SELECT uplink,epoch,class,spans,crc FROM ack", func(r flash.Row) error {
		a := ackRow{uplink: r.Text(0), epochRow: r.Int(1), class: gateway.Class(r.Int(2)), spans: r.Blob(3)}
		c.uplinks = append(c.uplinks, a.uplink)
		acked, err := gateway.ParseRanges(a.spans)
		if err != nil || r.Int(4) != a.sum() {
			c.fault("what uplink %s has delivered of class %s: wrong checksum; it will send it again", a.uplink, a.class)
			return nil
		}
		c.acked[ackPlace{a.uplink, a.epochRow, a.class}] = acked
		return nil
	})
}

func (c *contents) loadGaps(tx *flash.Tx) error {
	return tx.Query(`SELECT id,uplink,epoch,class,from_seq,to_seq,first_boot,first_at,last_boot,last_at,reason,crc
		FROM gap ORDER BY epoch,class,from_seq`, func(r flash.Row) error {
		g := gap{id: r.Int(0), span: gateway.SeqRange{From: gateway.Seq(r.Int(4)), To: gateway.Seq(r.Int(5))},
			first: mark{r.Int(6), r.Int(7)}, last: mark{r.Int(8), r.Int(9)}, reason: r.Text(10)}
		at := ackPlace{r.Text(1), r.Int(2), gateway.Class(r.Int(3))}
		if r.Int(11) != g.sum(at.uplink, at.epochRow, at.class) || g.span.From < 1 || g.span.To < g.span.From {
			c.fault("gap %d of uplink %s: wrong checksum", g.id, at.uplink)
			return nil
		}
		c.gaps[at] = append(c.gaps[at], g)
		return nil
	})
}

// A chunk is what is read between two commits of a running gateway.
const (
	lookRows  = 64
	lookBytes = 1 << 20
)

// rows hands out the segments of one class of one epoch in order, decoded or
// with why not.
func (v *View) rows(ctx context.Context, c *contents, e *epoch, class gateway.Class, each func(row, []gateway.Reading, error) error) error {
	next, end := rowID(e.row, 0), rowID(e.row, maxSeq)
	for {
		var chunk []row
		bytes := 0
		err := v.read(ctx, func(tx *flash.Tx) error {
			chunk, bytes = nil, 0
			return tx.Query(selectRows[class]+"WHERE id BETWEEN ? AND ? ORDER BY id", func(r flash.Row) error {
				got := scanRow(r)
				chunk = append(chunk, got)
				if bytes += len(got.body); len(chunk) == lookRows || bytes > lookBytes {
					return flash.Stop
				}
				return nil
			}, next, end)
		})
		if err != nil && !(flash.Damaged(err) && len(chunk) > 0) {
			return err
		}
		for _, r := range chunk { // what came before the damage counts
			rs, why := v.decode(c, &r, class)
			if err := each(r, rs, why); err != nil {
				return err
			}
			next = r.id + 1
		}
		if err != nil || len(chunk) == 0 {
			return err
		}
	}
}

func (v *View) decode(c *contents, r *row, class gateway.Class) ([]gateway.Reading, error) {
	if r.crc != r.sum() {
		return nil, errors.New("wrong checksum")
	}
	rec := c.boots[r.boot]
	if rec == nil {
		return nil, fmt.Errorf("no record of boot %d", r.boot)
	}
	raw, err := v.pack.unpack(r.body, r.flags)
	if err != nil {
		return nil, err
	}
	rs, err := decodeSegment(raw, rec.boot, class, func(row int64) *gateway.Tag { return c.tags[row] })
	if err == nil && int64(len(rs)) != r.n {
		err = fmt.Errorf("%w: %d readings, not %d", errSegment, len(rs), r.n)
	}
	return rs, err
}
