package keeper

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// loan is a line that somebody else uses for a while.
//
//	Lend ─loans─► the line is closed ─granted─► use ─returned─► the line is opened
type loan struct {
	ctx      context.Context
	cancel   context.CancelFunc
	granted  chan struct{} // closed when the port is free
	returned chan struct{} // closed when it may be opened again
}

// Error makes a loan a reason why a driver's work ends.
func (*loan) Error() string { return "lent" }

// lentReason is why a line is not open while it is lent.
const lentReason = "lent for maintenance"

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (k *Keeper) Lend(ctx context.Context, use func(context.Context) error) error {
	l := &loan{granted: make(chan struct{}), returned: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(ctx)
	defer l.cancel()
	select {
	case k.loans <- l:
	case <-ctx.Done():
		return k.Late(ctx)
	}
	<-l.granted
	defer close(l.returned)
	return use(l.ctx)
}

// lend waits until a line that is closed comes back; the error is ctx's.
func (k *Keeper) lend(ctx context.Context, l *loan) error {
	k.Log.Info("line lent")
	k.lent, k.strange = true, true
	defer func() { k.lent = false }()
	k.closed(gateway.Maintenance, lentReason, lentReason)
	next := k.absent()
	close(l.granted)
	stopped := ctx.Done()
	for {
		timer := time.NewTimer(time.Until(next))
		select {
		case <-l.returned:
			timer.Stop()
			k.Log.Info("line returned")
			return ctx.Err()
		case <-timer.C:
		case <-stopped:
			timer.Stop()
			l.cancel()
			stopped = nil // and from now on only for use
		}
		next = k.absent()
	}
}
