package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Why an errand was not done, to be asked with errors.Is. The sentence around it
// says which line, device or tag.
var (
	ErrUnknown  = errors.New("there is no such device or tag")
	ErrLineDown = errors.New("the line is down")
)

// ErrLater is of an errand that must wait for another turn.
var ErrLater = errors.New("not yet")

// maxErrands bounds the requests of people that wait for their turn.
const maxErrands = 16

// errand is something a person asks of a device. The goroutine that owns the
// line does it between its own.
//
//	caller ─errands─► waiting ─device not blocked─► do ─done─► caller
type errand struct {
	ctx    context.Context  // of the caller: when it ends nobody waits any more
	freeAt func() time.Time // when the device may be asked
	do     Do
	done   chan error // has room for it

	// taken is set by whoever is first: the caller who gives up, so that it is
	// never done, or the goroutine that does it.
	taken atomic.Bool
}

// Do does an errand on the goroutine of Run, after begin has said that its caller
// still waits. The error is that the line is lost or worn, or ctx's, or ErrLater.
type Do func(ctx context.Context, begin func() bool) error

// Ask has an errand done, between what Run does. The error is ErrLineDown, or,
// while do may be at it still, ctx's; begun is whether it may be done then. It is
// safe for concurrent use, as freeAt and do need not be.
func (k *Keeper) Ask(ctx context.Context, freeAt func() time.Time, do Do) (begun bool, err error) {
	if why := k.downReason(); why != "" {
		return false, fmt.Errorf("%w: line %s: %s", ErrLineDown, k.Line, why)
	}
	e := &errand{ctx: ctx, freeAt: freeAt, do: do, done: make(chan error, 1)}
	select {
	case k.errands <- e:
	case <-ctx.Done():
		return false, k.Late(ctx)
	}
	select {
	case err := <-e.done:
		return e.taken.Load(), err
	case <-ctx.Done():
		return !e.begin(), k.Late(ctx)
	}
}

func (e *errand) begin() bool { return e.taken.CompareAndSwap(false, true) }

// Late says that ctx has ended too soon.
func (k *Keeper) Late(ctx context.Context) error {
	return fmt.Errorf("line %s did not get round to it in time: %w", k.Line, ctx.Err())
}

// Wanted is why a driver must give its line up, or nil.
func (k *Keeper) Wanted() error {
	select {
	case l := <-k.loans.wanted():
		return l
	default:
		return nil
	}
}

// Serve does an errand if it is people's turn: they and the driver take turns,
// unless it has nothing to do. The error is that the line is lost, or ctx's.
func (k *Keeper) Serve(ctx context.Context, now time.Time, idle bool) (done bool, err error) {
	if idle || !k.asked {
		if e := k.next(now); e != nil {
			k.asked = true
			return true, k.run(ctx, e)
		}
	}
	k.asked = false
	return false, nil
}

func (k *Keeper) run(ctx context.Context, e *errand) error {
	err := e.do(ctx, e.begin)
	switch {
	case errors.Is(err, ErrLater):
		k.waiting = append(k.waiting, e)
		return nil
	case err == nil || errors.Is(err, ErrWorn):
		e.done <- nil
	default:
		e.done <- fmt.Errorf("%w: line %s: %w", ErrLineDown, k.Line, err)
	}
	return err
}

// next returns the errand that may be done now, or nil.
func (k *Keeper) next(now time.Time) *errand {
	k.receive()
	for i, e := range k.waiting {
		if !now.Before(e.freeAt()) {
			k.waiting = slices.Delete(k.waiting, i, i+1)
			return e
		}
	}
	return nil
}

// receive takes over new errands, and drops those that nobody waits for.
func (k *Keeper) receive() {
	for len(k.waiting) < maxErrands {
		select {
		case e := <-k.errands:
			k.waiting = append(k.waiting, e)
			continue
		default:
		}
		break
	}
	if len(k.waiting) > 0 {
		k.waiting = slices.DeleteFunc(k.waiting, func(e *errand) bool { return e.ctx.Err() != nil })
	}
}

// refuse fails what waits for a line that is not there.
func (k *Keeper) refuse() {
	why := k.downReason()
	for k.receive(); len(k.waiting) > 0; k.receive() {
		for _, e := range k.waiting {
			e.done <- fmt.Errorf("%w: line %s: %s", ErrLineDown, k.Line, why)
		}
		k.waiting = k.waiting[:0]
	}
}

// Each calls f with the times when the errands that wait may be done.
func (k *Keeper) Each(f func(freeAt time.Time)) {
	for _, e := range k.waiting {
		f(e.freeAt())
	}
}

// Idle waits until a time, or until somebody wants something. The error is why
// the driver must give its line up, or ctx's.
func (k *Keeper) Idle(ctx context.Context, timer *time.Timer, until time.Time) error {
	arrivals := k.errands
	if len(k.waiting) >= maxErrands {
		arrivals = nil
	}
	timer.Reset(time.Until(until))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case e := <-arrivals:
		k.waiting = append(k.waiting, e)
		return nil
	case l := <-k.loans.wanted():
		return l
	case <-timer.C:
		return nil
	}
}
