package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// lender lends a line that a driver owns to somebody else for a while. Make it
// with newLender.
//
//	lend ─wanted─► the driver closes the line ─grant─► use ─► the driver opens it again
type lender struct{ asked chan *loan }

// newLender returns a lender.
func newLender() lender { return lender{make(chan *loan)} }

// loan is a line that somebody wants, or has. As an error it is why a driver
// leaves its line.
type loan struct {
	ctx      context.Context
	cancel   context.CancelFunc
	granted  chan struct{} // closed when the port is free
	returned chan struct{} // closed when it may be opened again
}

// Error makes a loan a reason.
func (*loan) Error() string { return "lent" }

// lentReason is why a line is not open while it is lent.
const lentReason = "lent for maintenance"

// wanted is where the driver hears of who wants the line. Whom it takes from
// there it must grant, also when it is about to end.
func (l lender) wanted() <-chan *loan { return l.asked }

// lend waits until the driver grants the line, and calls use, whose context ends
// with ctx and with the driver. It returns what use returns, or ctx's error if
// the line was not to be had. It is safe for concurrent use.
func (l lender) lend(ctx context.Context, use func(context.Context) error) error {
	ours := &loan{granted: make(chan struct{}), returned: make(chan struct{})}
	ours.ctx, ours.cancel = context.WithCancel(ctx)
	defer ours.cancel()
	select {
	case l.asked <- ours:
	case <-ctx.Done():
		return fmt.Errorf("the line was not to be had in time: %w", ctx.Err())
	}
	<-ours.granted
	defer close(ours.returned)
	return use(ours.ctx)
}

// grant gives the line away, which the driver has closed, and returns when it is
// back; the error is ctx's. Meanwhile tell is called to let what is due fail, and
// says when to call it next. When ctx ends, so does what use was given.
func (l *loan) grant(ctx context.Context, tell func() (next time.Time)) error {
	close(l.granted)
	stopped := ctx.Done()
	for {
		timer := time.NewTimer(time.Until(tell()))
		select {
		case <-l.returned:
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		case <-stopped:
			timer.Stop()
			l.cancel()
			stopped = nil // and from now on only for use
		}
	}
}

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (k *Keeper) Lend(ctx context.Context, use func(context.Context) error) error {
	return k.loans.lend(ctx, use)
}

// lend waits until a line that is closed comes back; the error is ctx's.
func (k *Keeper) lend(ctx context.Context, l *loan) error {
	k.Log.Info("line lent")
	defer k.Log.Info("line returned")
	k.lent, k.strange = true, true
	defer func() { k.lent = false }()
	k.closed(gateway.Maintenance, lentReason, lentReason)
	return l.grant(ctx, k.absent)
}
