package modbus

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// strangerWait bounds how long answers to others are waited for.
const strangerWait = 500 * time.Millisecond

// Run polls until ctx ends, and returns ctx's error. It owns the lines that open
// returns, and calls open again after a line was lost.
func (d *Driver) Run(ctx context.Context, open func(context.Context) (gateway.Line, error), publish gateway.Sink) error {
	d.publish = publish
	start := time.Now()
	for _, s := range d.sweeps {
		s.due = start
	}
	d.forceAt = start.Add(-deadShare * d.timeout) // units that were never tried need not wait
	return d.keep.Run(ctx, open, keeper.Work{Poll: d.work, Absent: d.absent})
}

// Lend closes the line, has use do with the port what it likes, and opens the
// line again when it returns. Meanwhile what is due yields readings that are bad
// for maintenance, and other errands fail. The context that use gets ends with
// ctx, and with Run, which waits for use. Lend returns what use returns, or ctx's
// error if the line was not to be had. It is safe for concurrent use.
func (d *Driver) Lend(ctx context.Context, use func(context.Context) error) error {
	return d.keep.Lend(ctx, use)
}

// work polls on an open line, after the pause that some instruments need.
func (d *Driver) work(ctx context.Context, l gateway.Line) error {
	if !gateway.Sleep(ctx, d.connectDelay) {
		return ctx.Err()
	}
	d.x = d.engine(l)
	d.distrust(d.x)
	return d.poll(ctx, d.x)
}

func (d *Driver) engine(l gateway.Line) engine {
	p, _ := protocolOf(d.protocol)
	d.tap = &tap{Line: l, view: viewer{traces: &d.keep.Traces, protocol: p}}
	l = d.tap
	var x engine
	if p.framing == nil {
		x = newMBAP(l, d.options, d)
	} else {
		x = newRTU(l, p.framing, d.timeout, d.options, d)
	}
	d.wire = x.wireTime(wire.Request{Function: wire.ReadHoldingRegisters, Count: d.longest()})
	return x
}

// distrust leaves all units alone for a while after the line was opened for the
// first time, or after a loan: an answer may still come that somebody else asked
// for, or this program before it was started anew.
func (d *Driver) distrust(x engine) {
	if !d.keep.Strange() {
		return
	}
	until := time.Now().Add(min(2*x.quarantine(0), strangerWait))
	for _, u := range d.units {
		if u != nil && until.After(u.blockedUntil) {
			u.blockedUntil = until
		}
	}
	for _, s := range d.sweeps {
		if !s.active && s.due.Before(until) {
			s.due = until
		}
	}
}

// longest returns the registers of the longest request.
func (d *Driver) longest() (registers uint16) {
	for _, s := range d.sweeps {
		for i := range s.plan {
			if r := s.plan[i].request; !r.Function.Bits() {
				registers = max(registers, uint16(r.DataSize()/2))
			}
		}
	}
	return registers
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
