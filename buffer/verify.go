package buffer

import (
	"context"
	"fmt"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// Verified is what Verify looked at and what it found.
type Verified struct {
	Segments int64   `json:"segments"`
	Readings int64   `json:"readings"`
	GivenUp  int64   `json:"given_up"` // readings that gap records in the file stand for
	Faults   []Fault `json:"faults"`   // nil when all is well
}

// maxFaults bounds how many faults are told one by one.
const maxFaults = 1000

func (x *Verified) add(f Fault) {
	if len(x.Faults) < maxFaults {
		x.Faults = append(x.Faults, f)
	}
}

// Verify checks every segment and decodes it, that every seq is a reading or
// accounted for, and lets SQLite check its own pages. progress is told how many of about so
// many readings were looked at.
func (v *View) Verify(ctx context.Context, progress func(done, total int64)) (Verified, error) {
	c, err := v.contents(ctx)
	if err != nil {
		return Verified{}, err
	}
	x := Verified{Faults: c.faults}
	total := int64(0)
	for _, e := range c.epochs {
		for _, part := range e.class {
			total += int64(part.high + 1 - part.first)
		}
	}
	if err := v.checkPages(ctx, &x); err != nil {
		return x, err
	}
	if v.dir != "" {
		if kept, id, err := readEpochCopy(v.dir); err == nil && len(c.epochs) > 0 {
			if why := kept.behind(id, c.epochs); why != "" {
				x.add(Fault{What: why})
			}
		}
	}
	for _, e := range c.epochs {
		for class := range gateway.Class(gateway.Classes) {
			if err := v.verifyClass(ctx, c, e, class, &x, func() { progress(x.Readings, total) }); err != nil {
				return x, err
			}
		}
	}
	return x, nil
}

// checkPages lets SQLite check one table at a time, so that a running gateway
// can commit in between.
func (v *View) checkPages(ctx context.Context, x *Verified) error {
	for _, table := range []string{"epoch", "boot", "tag", "ack", "gap", "segment0", "segment1", "segment2"} {
		err := v.read(ctx, func(tx *flash.Tx) error {
			return tx.Query("PRAGMA integrity_check("+table+")", func(r flash.Row) error {
				if text := r.Text(0); text != "ok" {
					x.add(Fault{What: "SQLite says of table " + table + ": " + text})
				}
				return nil
			})
		})
		if flash.Damaged(err) {
			x.add(Fault{What: fmt.Sprintf("SQLite cannot check table %s: %v", table, err)})
		} else if err != nil && ctx.Err() != nil {
			return err
		} else if err != nil {
			x.add(Fault{What: fmt.Sprintf("SQLite cannot check table %s: %v", table, err)})
		}
	}
	return nil
}

func (v *View) verifyClass(ctx context.Context, c *contents, e *epoch, class gateway.Class, x *Verified, progress func()) error {
	var there, damaged gateway.Ranges
	bad := func(what string, from, to gateway.Seq) {
		x.add(Fault{What: what, Epoch: e.id.String(), Class: class.String(), From: from, To: to})
		damaged.Add(gateway.SeqRange{From: from, To: to})
	}
	var suspect *Fault // a damaged segment, which ends where the next begins
	settle := func(next gateway.Seq) {
		if suspect != nil {
			bad(suspect.What, suspect.From, max(next, suspect.From+1)-1)
			suspect = nil
		}
	}
	high := e.class[class].high
	err := v.rows(ctx, c, e, class, func(r row, rs []gateway.Reading, why error) error {
		x.Segments++
		first := seqOf(r.id)
		settle(first)
		if why != nil {
			suspect = &Fault{What: "damaged segment (" + why.Error() + ")", From: first}
			return nil
		}
		x.Readings += r.n
		span := gateway.SeqRange{From: first, To: first + gateway.Seq(r.n) - 1}
		if there.Missing(span).Count() != span.Count() {
			bad("two segments have the same seqs", span.From, span.To)
		}
		there.Add(span)
		progress()
		return nil
	})
	if flash.Damaged(err) {
		settle(high + 1)
		bad(fmt.Sprintf("the rest of the table cannot be read (%v)", err), there.FirstMissing(e.class[class].first), high)
		err = nil
	}
	settle(high + 1)
	if err != nil {
		return err
	}
	if high > 0 {
		c.verifyHoles(e, class, there, damaged, x)
	}
	return nil
}

// verifyHoles looks for seqs that are in no segment: each must be delivered or in
// a gap, for every uplink. Without uplinks, history ends at its old end only.
func (c *contents) verifyHoles(e *epoch, class gateway.Class, there, damaged gateway.Ranges, x *Verified) {
	all := gateway.SeqRange{From: 1, To: e.class[class].high}
	given := gateway.Ranges{}
	lost := func(what string, accounted gateway.Ranges) {
		for _, hole := range accounted.Missing(all) {
			x.add(Fault{What: what, Epoch: e.id.String(), Class: class.String(), From: hole.From, To: hole.To})
		}
	}
	with := func(more ...gateway.Ranges) (sum gateway.Ranges) {
		for _, set := range append(more, there, damaged) {
			for _, span := range set {
				sum.Add(span)
			}
		}
		return sum
	}
	for _, name := range c.uplinks {
		at := ackPlace{name, e.row, class}
		var gaps gateway.Ranges
		for _, g := range c.gaps[at] {
			gaps.Add(g.span)
			given.Add(g.span)
		}
		lost("missing, and neither delivered nor in a gap of uplink "+name, with(gaps, c.acked[at]))
	}
	x.GivenUp += given.Count()
	if len(c.uplinks) == 0 {
		old := gateway.Ranges{}
		if first := e.class[class].first; first > 1 {
			old.Add(gateway.SeqRange{From: 1, To: first - 1})
		}
		lost("missing", with(old))
	}
}
