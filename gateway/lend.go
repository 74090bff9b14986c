package gateway

import (
	"context"
	"fmt"
	"time"
)

// Lender lends a line that a driver owns to somebody else for a while. Make it
// with NewLender.
//
//	Lend ─Asked─► the driver closes the line ─Grant─► use ─► the driver opens it again
type Lender struct{ asked chan *Loan }

// NewLender returns a Lender.
func NewLender() Lender { return Lender{make(chan *Loan)} }

// Loan is a line that somebody wants, or has. As an error it is why a driver
// leaves its line.
type Loan struct {
	ctx      context.Context
	cancel   context.CancelFunc
	granted  chan struct{} // closed when the port is free
	returned chan struct{} // closed when it may be opened again
}

// Error makes a Loan a reason.
func (*Loan) Error() string { return "lent" }

// LentReason is why a line is not open while it is lent.
const LentReason = "lent for maintenance"

// Asked is where the driver hears of who wants the line. Whom it takes from
// there it must grant, also when it is about to end.
func (l Lender) Asked() <-chan *Loan { return l.asked }

// Lend waits until the driver grants the line, and calls use, whose context ends
// with ctx and with the driver. It returns what use returns, or ctx's error if
// the line was not to be had. It is safe for concurrent use.
func (l Lender) Lend(ctx context.Context, use func(context.Context) error) error {
	loan := &Loan{granted: make(chan struct{}), returned: make(chan struct{})}
	loan.ctx, loan.cancel = context.WithCancel(ctx)
	defer loan.cancel()
	select {
	case l.asked <- loan:
	case <-ctx.Done():
		return fmt.Errorf("the line was not to be had in time: %w", ctx.Err())
	}
	<-loan.granted
	defer close(loan.returned)
	return use(loan.ctx)
}

// Grant gives the line away, which the driver has closed, and returns when it is
// back; the error is ctx's. Meanwhile tell is called to let what is due fail, and
// says when to call it next. When ctx ends, so does what use was given.
func (loan *Loan) Grant(ctx context.Context, tell func() (next time.Time)) error {
	close(loan.granted)
	stopped := ctx.Done()
	for {
		timer := time.NewTimer(time.Until(tell()))
		select {
		case <-loan.returned:
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		case <-stopped:
			timer.Stop()
			loan.cancel()
			stopped = nil // and from now on only for use
		}
	}
}
