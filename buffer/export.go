package buffer

import (
	"context"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// Filter says which readings are asked for. Zero values ask for all.
type Filter struct {
	From   time.Time // included
	To     time.Time // not included
	Device string
	Tag    string
}

// Exported is a reading with its identity.
type Exported struct {
	gateway.Reading
	Epoch gateway.Epoch
	Seq   gateway.Seq
	Wall  int64 // milliseconds since 1970, where Placed
	// Placed says that the wall time is known. It is not when no clock was
	// trusted in that boot, and no later one tells when it ended.
	Placed bool
}

// Export hands out readings, delivered or not, by epoch, class and seq. A
// segment that is damaged is left out; at the end they are an error. A reading
// whose time nobody knows is not within any time.
func (v *View) Export(ctx context.Context, f Filter, each func(Exported) error) error {
	c, err := v.contents(ctx)
	if err != nil {
		return err
	}
	damaged := len(c.faults)
	for _, e := range c.epochs {
		for class := range gateway.Class(gateway.Classes) {
			err := v.rows(ctx, c, e, class, func(r row, rs []gateway.Reading, why error) error {
				if why != nil {
					damaged++
					return nil
				}
				return f.pick(e.id, seqOf(r.id), rs, each)
			})
			if flash.Damaged(err) {
				damaged++
			} else if err != nil {
				return err
			}
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%d places in the buffer are damaged, and what stood there is not in the export; gaugeway buffer verify names them", damaged)
	}
	return nil
}

func (f Filter) pick(id gateway.Epoch, first gateway.Seq, rs []gateway.Reading, each func(Exported) error) error {
	for i := range rs {
		r := Exported{Reading: rs[i], Epoch: id, Seq: first + gateway.Seq(i), Placed: placed(rs[i].Stamp)}
		if r.Placed {
			r.Wall, _ = r.Stamp.Wall()
		}
		if !f.wants(&r) {
			continue
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func (f Filter) wants(r *Exported) bool {
	switch {
	case f.Device != "" && r.Reading.Tag.Device != f.Device, f.Tag != "" && r.Reading.Tag.Name != f.Tag:
		return false
	case !f.From.IsZero() && (!r.Placed || r.Wall < f.From.UnixMilli()):
		return false
	case !f.To.IsZero() && (!r.Placed || r.Wall >= f.To.UnixMilli()):
		return false
	default:
		return true
	}
}
