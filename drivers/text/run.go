package text

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/gateway"
)

// strangerWait bounds how long replies to others are waited for.
const strangerWait = 500 * time.Millisecond

// Run reads until ctx ends, and returns ctx's error. It owns the lines that open
// returns, and calls open again after a line was lost.
func (d *Driver) Run(ctx context.Context, open func(context.Context) (gateway.Line, error), publish gateway.Sink) error {
	if !d.mute { // a listener hears although nobody asked
		d.publish = publish
	}
	start := time.Now()
	for _, s := range d.sweeps {
		s.due = start
	}
	return d.keep.Run(ctx, open, keeper.Work{Poll: d.poll, Absent: d.absent})
}

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (d *Driver) Lend(ctx context.Context, use func(context.Context) error) error {
	return d.keep.Lend(ctx, use)
}

// poll works on an open line.
func (d *Driver) poll(ctx context.Context, l gateway.Line) error {
	d.x = newEngine(l, d)
	err := d.work(ctx, d.x)
	if ctx.Err() != nil {
		d.hush(d.x)
	}
	return err
}

// distrust leaves the line alone for a while after it was opened for the first
// time, or after a loan: a reply may still come that somebody else asked for, or
// this program before it was started anew.
func (d *Driver) distrust() {
	if !d.keep.Strange() {
		return
	}
	until := time.Now().Add(min(d.timeout, strangerWait))
	if until.After(d.blockedUntil) {
		d.blockedUntil = until
	}
	for _, s := range d.sweeps {
		if !s.active && s.due.Before(until) {
			s.due = until
		}
	}
}

// hush stops a stream that we have started, as the last thing on the line.
func (d *Driver) hush(x *engine) {
	if dev := d.listener(); dev != nil && dev.in.stop != nil {
		if _, err := x.send(dev.in, dev.in.stop); err != nil {
			d.keep.Log.Debug("stop", "reason", err.Error())
		}
	}
}

// absent begins what is due while the line is not open, and returns when it has
// more to do.
func (d *Driver) absent(now time.Time) (next time.Time) {
	d.begin(now, true)
	next = now.Add(gateway.MaxInterval)
	for _, s := range d.sweeps {
		due := s.due
		if d.keep.Down() == gateway.NoReason {
			due = due.Add(s.interval)
		}
		if due.Before(next) {
			next = due
		}
	}
	return next
}
