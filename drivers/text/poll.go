package text

import (
	"context"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// work does what is due on an open line until ctx ends or the line is lost, and
// returns why.
func (d *Driver) work(ctx context.Context, x *engine) error {
	for _, dev := range d.devices {
		dev.ready = len(dev.in.init) == 0 && dev.in.stop == nil
	}
	if dev := d.listener(); dev != nil {
		return d.hear(ctx, x, dev)
	}
	d.restart()
	d.distrust()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.keep.Wanted(); err != nil {
			return err
		}
		now := time.Now()
		d.begin(now, false)
		if done, err := d.next(ctx, x, now); err != nil {
			return err
		} else if done {
			continue
		}
		if err := d.idle(ctx, x, timer, now); err != nil {
			return err
		}
	}
}

// next does one transaction, if there is one to do: people and sweeps take turns.
func (d *Driver) next(ctx context.Context, x *engine, now time.Time) (done bool, err error) {
	s := d.choose(now)
	if done, err := d.keep.Serve(ctx, now, s == nil); done || s == nil {
		return done, err
	}
	d.wasSilent = s.device.unit.hopeless() || !s.device.unit.proven
	return true, d.sweep(ctx, x, s)
}

// idle waits until there may be something to do. While an answer is missing it
// listens, to learn how late the instrument can be.
func (d *Driver) idle(ctx context.Context, x *engine, timer *time.Timer, now time.Time) error {
	until := d.wakeAt(now)
	if d.owed(now) {
		if limit := now.Add(stopCheck); limit.Before(until) {
			until = limit // somebody may want something
		}
		n, at, err := x.read(ctx, nil, until)
		if n > 0 {
			x.drop(at)
		}
		return err
	}
	return d.keep.Idle(ctx, timer, until)
}

func (d *Driver) owed(now time.Time) bool {
	for _, u := range d.units {
		if u.owes(now) {
			return true
		}
	}
	return false
}

// sweep asks the poll of a sweep, and publishes what came of it, or gives it up
// when it cannot be asked again in time. The error is that the line is lost, or ctx's.
func (d *Driver) sweep(ctx context.Context, x *engine, s *sweep) error {
	r, err := d.transact(ctx, x, s.device, s.poll, s.interval)
	if err != nil {
		return err
	}
	u := s.device.unit
	s.attempts++
	switch {
	case r.err == nil:
		s.take(&d.catch, r.stamp)
		s.finish(d.publish, gateway.NoReason, r.stamp)
	case r.forbidden || !isMiss(r.err) || u.dead() || s.attempts > d.retriesOf(s.device) || !d.freeAt(u).Before(s.due):
		s.finish(d.publish, reasonOf(r.err), r.stamp)
	}
	return nil
}

func (d *Driver) retriesOf(dev *device) int {
	if r := dev.in.options.Retries; r != nil {
		return *r
	}
	return d.retries
}

// freeAt returns when an instrument may be asked.
func (d *Driver) freeAt(u *unit) time.Time {
	if d.blockedUntil.After(u.blockedUntil) {
		return d.blockedUntil
	}
	return u.blockedUntil
}
