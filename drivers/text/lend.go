package text

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (d *Driver) Lend(ctx context.Context, use func(context.Context) error) error {
	return d.loans.Lend(ctx, use)
}

// lend waits until a line that is closed comes back; the error is ctx's.
func (d *Driver) lend(ctx context.Context, l *gateway.Loan) error {
	d.log.Info("line lent")
	defer d.log.Info("line returned")
	d.lent, d.downKnown, d.known = true, true, false
	defer func() { d.lent = false }()
	d.close(gateway.Maintenance, gateway.LentReason)
	return l.Grant(ctx, func() time.Time {
		d.begin(time.Now(), true)
		return d.wakeDown()
	})
}
