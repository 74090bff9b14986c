package text

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

// Error makes a loan a reason why poll ends.
func (*loan) Error() string { return "lent" }

// lentReason is why a line is not open while it is lent.
const lentReason = "lent for maintenance"

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (d *Driver) Lend(ctx context.Context, use func(context.Context) error) error {
	l := &loan{granted: make(chan struct{}), returned: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(ctx)
	defer l.cancel()
	select {
	case d.loans <- l:
	case <-ctx.Done():
		return d.late(ctx)
	}
	<-l.granted
	defer close(l.returned)
	return use(l.ctx)
}

// lend waits until a line that is closed comes back; the error is ctx's.
func (d *Driver) lend(ctx context.Context, l *loan) error {
	d.log.Info("line lent")
	d.lent, d.downKnown = true, true
	d.close(gateway.Maintenance, lentReason)
	close(l.granted)
	defer func() { d.lent = false }()
	stopped := ctx.Done()
	for {
		d.begin(time.Now(), true)
		timer := time.NewTimer(time.Until(d.wakeDown()))
		select {
		case <-l.returned:
			timer.Stop()
			d.log.Info("line returned")
			return ctx.Err()
		case <-timer.C:
		case <-stopped:
			timer.Stop()
			l.cancel()
			stopped = nil // and from now on only for use
		}
	}
}
