package text

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// staleTimes is how many intervals a listener may hear nothing, unless
	// stale_after says otherwise: an instrument that talks once a second is not
	// always in time for somebody who looks once a second.
	staleTimes = 2

	// A stream that does not start is started again this often at most.
	firstStart = time.Second
	lastStart  = time.Minute
)

// hear listens to an instrument that talks by itself until ctx ends or the line
// is lost, and returns why. Each interval the last frame of a poll is published,
// once; when none has come for too long, readings without a value are.
func (d *Driver) hear(ctx context.Context, x *engine, dev *device) error {
	now := time.Now()
	for _, s := range d.sweeps {
		s.heard, s.heardAt, s.damaged = false, now, false
	}
	x.torn = dev.in.framing.cut() // it may be in the middle of a frame
	startAt, startIn := now, firstStart
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		select {
		case l := <-d.loans.Asked():
			return l
		default:
		}
		now = time.Now()
		if e := d.errandAt(now); e != nil {
			if err := d.run(ctx, x, e); err != nil {
				return err
			}
		}
		if !dev.ready && !now.Before(startAt) {
			if err := d.startStream(ctx, x, dev); err != nil {
				return err
			}
			x.torn = dev.in.framing.cut()
			startAt, startIn = time.Now().Add(startIn), min(2*startIn, lastStart)
		}
		d.publishHeard(now)
		until := d.wakeAt(now)
		if limit := now.Add(stopCheck); limit.Before(until) {
			until = limit // somebody may want something
		}
		if err := d.listen(ctx, x, dev, until); err != nil {
			return err
		}
		if dev.unit.proven && dev.unit.fails == 0 {
			startIn = firstStart
		}
	}
}

// startStream sends what makes the instrument talk.
func (d *Driver) startStream(ctx context.Context, x *engine, dev *device) error {
	sent := time.Now()
	s, at, err := d.prepare(ctx, x, dev)
	d.count(sent, at, err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isLineError(err):
		return err
	case err != nil:
		d.offline(dev.unit, fmt.Errorf("%s: %w", s.name, err), d.now())
	}
	return nil
}

// listen takes what comes until a time.
func (d *Driver) listen(ctx context.Context, x *engine, dev *device, until time.Time) error {
	framing := dev.in.framing
	for {
		quiet := until
		if idle := x.lastByte.Add(framing.idle); framing.idle > 0 && x.n > 0 && idle.Before(until) {
			quiet = idle
		}
		n, now, err := x.read(ctx, dev.in, quiet)
		if err != nil {
			return err
		}
		for {
			f, ok := x.next(framing, x.ended(framing, n, now), now)
			if !ok {
				break
			}
			d.hears(dev, f, now)
		}
		if !now.Before(until) {
			return nil
		}
	}
}

// hears takes one frame.
func (d *Driver) hears(dev *device, f frame, now time.Time) {
	stamp, taken := d.now(), false
	d.catch.reset()
	for _, s := range d.sweeps {
		if f.damaged {
			s.damaged = true
			continue
		}
		d.catch.reset()
		v := s.poll.steps[0].judge(f, &d.catch)
		if v != ours {
			continue
		}
		s.take(&d.catch, stamp)
		s.heard, s.heardAt, s.damaged, taken = true, now, false, true
	}
	switch {
	case taken:
		dev.unit.proven, dev.unit.fails, dev.unit.why = true, 0, nil
		d.prove()
		d.online(dev.unit, stamp)
		d.countHeard(nil)
	case f.damaged:
		d.countHeard(errDamaged)
	default:
		d.strayBytes(len(f.says), time.Time{})
	}
}

func (d *Driver) countHeard(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.status.Replies++
	} else {
		d.status.CRCErrors++
	}
}

// publishHeard publishes what is due.
func (d *Driver) publishHeard(now time.Time) {
	for _, s := range d.sweeps {
		if s.due.After(now) {
			continue
		}
		d.skipped(s, s.advance(now))
		switch {
		case s.heard:
			s.heard = false
			s.finish(d.publish, gateway.NoReason, d.now())
		case now.Sub(s.heardAt) >= s.stale():
			d.silent(s)
		}
	}
}

// stale returns how long nothing may come.
func (s *sweep) stale() time.Duration {
	if after := s.device.in.options.StaleAfter; after > 0 {
		return after
	}
	return staleTimes * s.interval
}

// silent publishes that nothing came, and starts the stream again where there is
// one and no poll of the device hears anything.
func (d *Driver) silent(s *sweep) {
	why, dev := errTimeout, s.device
	if s.damaged {
		why = errDamaged
	}
	s.finish(d.publish, reasonOf(why), d.now())
	if slices.ContainsFunc(d.sweeps, func(o *sweep) bool { return time.Since(o.heardAt) < o.stale() }) {
		return
	}
	dev.unit.fails++
	dev.unit.why = why
	dev.ready = len(dev.in.init) == 0 && dev.in.stop == nil
	d.offline(dev.unit, why, d.now())
}
