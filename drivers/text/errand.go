package text

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why an errand was not done, to be asked with errors.Is. The sentence around it
// says which line, device or tag.
var (
	ErrUnknown  = errors.New("there is no such device or tag")
	ErrLineDown = errors.New("the line is down")
	ErrRefused  = errors.New("this cannot be written")
)

// maxErrands bounds the requests of people that wait for their turn.
const maxErrands = 16

// errand is something a person asks of a device. The goroutine that owns the
// line does it between its own.
//
//	caller ─errands─► waiting ─device not blocked─► do ─done─► caller
type errand struct {
	ctx    context.Context // of the caller: when it ends nobody waits any more
	device *device
	do     func(ctx context.Context, x *engine) error // the error is that the line is lost
	done   chan error                                 // has room for it
}

// ask has the owner of the line do something. The error is that it was not done.
func (d *Driver) request(ctx context.Context, dev *device, do func(context.Context, *engine) error) error {
	if why := d.downReason(); why != "" {
		return fmt.Errorf("%w: line %s: %s", ErrLineDown, d.line, why)
	}
	e := &errand{ctx: ctx, device: dev, do: do, done: make(chan error, 1)}
	select {
	case d.errands <- e:
	case <-ctx.Done():
		return d.late(ctx)
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return d.late(ctx)
	}
}

func (d *Driver) late(ctx context.Context) error {
	return fmt.Errorf("line %s did not get round to it in time: %w", d.line, ctx.Err())
}

// downReason says why the line is known to be down, or "".
func (d *Driver) downReason() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status.Open || d.status.Reason == startingReason {
		return ""
	}
	return d.status.Reason
}

// errandAt returns the errand that may be done now, or nil.
func (d *Driver) errandAt(now time.Time) *errand {
	d.receive()
	for i, e := range d.waiting {
		if !now.Before(d.freeAt(e.device.unit)) {
			d.waiting = slices.Delete(d.waiting, i, i+1)
			return e
		}
	}
	return nil
}

// receive takes over new errands, and drops those that nobody waits for.
func (d *Driver) receive() {
	for len(d.waiting) < maxErrands {
		select {
		case e := <-d.errands:
			d.waiting = append(d.waiting, e)
			continue
		default:
		}
		break
	}
	if len(d.waiting) > 0 {
		d.waiting = slices.DeleteFunc(d.waiting, func(e *errand) bool { return e.ctx.Err() != nil })
	}
}

// arrivals is where idle hears of new errands; nil while no more can wait.
func (d *Driver) arrivals() <-chan *errand {
	if len(d.waiting) >= maxErrands {
		return nil
	}
	return d.errands
}

// refuseErrands fails what waits for a line that is not there.
func (d *Driver) refuseErrands() {
	why := d.downReason()
	for d.receive(); len(d.waiting) > 0; d.receive() {
		for _, e := range d.waiting {
			e.done <- fmt.Errorf("%w: line %s: %s", ErrLineDown, d.line, why)
		}
		d.waiting = d.waiting[:0]
	}
}

// run does an errand. The error is that the line is lost, or ctx's.
func (d *Driver) run(ctx context.Context, x *engine, e *errand) error {
	err := e.do(ctx, x)
	if err != nil {
		e.done <- fmt.Errorf("%w: line %s: %w", ErrLineDown, d.line, err)
		return err
	}
	e.done <- nil
	return nil
}
