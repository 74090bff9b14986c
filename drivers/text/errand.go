package text

import (
	"context"
	"errors"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
)

// Why an errand was not done, to be asked with errors.Is. The sentence around it
// says which line, device or tag.
var (
	ErrUnknown  = keeper.ErrUnknown
	ErrLineDown = keeper.ErrLineDown
	ErrRefused  = errors.New("this cannot be written")
)

// request has the owner of the line do something. The error is that it was not
// done, or, if it was begun, that nobody knows.
func (d *Driver) request(ctx context.Context, dev *device, do func(context.Context, *engine) error) (begun bool, err error) {
	return d.keep.Ask(ctx, func() time.Time { return d.freeAt(dev.unit) }, func(run context.Context, begin func() bool) error {
		if !begin() {
			return nil // nobody waits any more
		}
		return do(run, d.x)
	})
}
