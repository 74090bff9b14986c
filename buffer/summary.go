package buffer

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// Summary is what a buffer holds.
type Summary struct {
	UsedBytes int64                    `json:"used_bytes"`
	FileBytes int64                    `json:"file_bytes"`
	MaxBytes  int64                    `json:"max_bytes,omitempty"` // a file does not know it
	Epochs    []EpochSummary           `json:"epochs"`              // oldest first
	Uplinks   map[string]UplinkSummary `json:"uplinks"`
	Boots     []BootSummary            `json:"boots"`
	Damaged   []Fault                  `json:"damaged,omitempty"` // records; verify looks at the readings
}

// EpochSummary is one life of the buffer, by class.
type EpochSummary struct {
	Epoch   string                  `json:"epoch"`
	Classes map[string]ClassSummary `json:"classes"`
}

// ClassSummary is one class of an epoch.
type ClassSummary struct {
	First     gateway.Seq `json:"first_seq,omitempty"` // the oldest that is still there
	Committed gateway.Seq `json:"committed_seq"`       // the last
	GivenUp   int64       `json:"given_up"`            // by gap records that are still in the file
}

// UplinkSummary is what one uplink has to deliver.
type UplinkSummary struct {
	Backlog int64      `json:"backlog"`
	Gaps    int        `json:"gaps"`
	Oldest  *time.Time `json:"oldest_unsent,omitempty"` // nil when there is none, or its time is not known
}

// BootSummary is a boot that readings were made in.
type BootSummary struct {
	Boot    string     `json:"boot"`
	Clock   string     `json:"clock"`             // synced, estimated or unknown
	Started *time.Time `json:"started,omitempty"` // when the system started, by that clock
}

// Summary returns what the buffer holds.
func (v *View) Summary(ctx context.Context) (Summary, error) {
	c, err := v.contents(ctx)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{UsedBytes: c.used, FileBytes: c.size, Uplinks: map[string]UplinkSummary{}, Damaged: c.faults}
	if v.boot != nil { // the limit belongs to the connection
		s.MaxBytes = c.limit
	}
	for _, e := range c.epochs {
		s.Epochs = append(s.Epochs, c.epochSummary(e))
	}
	for _, row := range sortedRows(c.boots) {
		s.Boots = append(s.Boots, c.boots[row].summary())
	}
	for _, name := range c.uplinks {
		if s.Uplinks[name], err = v.uplinkSummary(ctx, c, name); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (c *contents) epochSummary(e *epoch) EpochSummary {
	s := EpochSummary{Epoch: e.id.String(), Classes: map[string]ClassSummary{}}
	for class := range gateway.Class(gateway.Classes) {
		x := ClassSummary{Committed: e.class[class].high}
		if first := e.class[class].first; first <= x.Committed {
			x.First = first
		}
		var given gateway.Ranges
		for _, name := range c.uplinks {
			for _, g := range c.gaps[ackPlace{name, e.row, class}] {
				given.Add(g.span)
			}
		}
		x.GivenUp = given.Count()
		s.Classes[class.String()] = x
	}
	return s
}

func (b *bootRecord) summary() BootSummary {
	s := BootSummary{Boot: b.boot.ID, Clock: "unknown"}
	if o, known := b.boot.Offset(); known {
		at := time.UnixMilli(o.Milli).UTC()
		s.Started, s.Clock = &at, gateway.Estimated.String()
		if o.Trusted {
			s.Clock = gateway.Synced.String()
		}
	}
	return s
}

func (v *View) uplinkSummary(ctx context.Context, c *contents, name string) (UplinkSummary, error) {
	var s UplinkSummary
	for _, e := range c.epochs {
		for class := range gateway.Class(gateway.Classes) {
			at := ackPlace{name, e.row, class}
			high := e.class[class].high
			if high == 0 {
				continue
			}
			has := append(gateway.Ranges(nil), c.acked[at]...)
			for _, g := range c.gaps[at] {
				if !c.acked[at].Has(g.span) {
					s.Gaps++
				}
				has.Add(g.span)
			}
			owed := has.Missing(gateway.SeqRange{From: 1, To: high})
			s.Backlog += owed.Count()
			if len(owed) == 0 {
				continue
			}
			made, err := v.made(ctx, c, e, class, owed[0].From)
			if err != nil {
				return s, err
			}
			if made != nil && (s.Oldest == nil || made.Before(*s.Oldest)) {
				s.Oldest = made
			}
		}
	}
	return s, nil
}

// made returns when a reading was made, or nil where nobody can say.
func (v *View) made(ctx context.Context, c *contents, e *epoch, class gateway.Class, seq gateway.Seq) (*time.Time, error) {
	var r row
	err := v.read(ctx, func(tx *flash.Tx) error {
		return tx.Query(selectRows[class]+"WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", func(got flash.Row) error {
			r = scanRow(got)
			return nil
		}, rowID(e.row, 0), rowID(e.row, seq))
	})
	if err != nil && !flash.Damaged(err) || r.id == 0 {
		return nil, ignoreDamage(err)
	}
	rs, err := v.decode(c, &r, class)
	if place := seq - seqOf(r.id); err == nil && place < gateway.Seq(len(rs)) && placed(rs[place].Stamp) {
		wall, _ := rs[place].Stamp.Wall()
		at := time.UnixMilli(wall).UTC()
		return &at, nil
	}
	return nil, nil
}

func ignoreDamage(err error) error {
	if flash.Damaged(err) {
		return nil
	}
	return err
}

// placed reports whether anything is known of the wall time of a stamp.
func placed(s gateway.Stamp) bool {
	if s.Boot == nil {
		return false
	}
	_, known := s.Boot.Offset()
	return known
}
