package text

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// ask sends all steps of a poll; what they said is in d.catch afterwards. limit
// is how long a step may make the next one wait. last is the step that was sent last.
func (d *Driver) ask(ctx context.Context, x *engine, dev *device, p *poll, limit time.Duration) (last *step, at time.Time, err error) {
	in := dev.in
	if s, at, err := d.rouse(ctx, x, dev); err != nil {
		return s, at, err
	}
	d.catch.reset()
	for i, s := range p.steps {
		last = s
		if at, err = x.exchange(ctx, in, s, &d.catch, d.patience(s), false); err != nil {
			return last, at, err
		}
		if s.wait != "" && i < len(p.steps)-1 {
			if err := d.wait(ctx, x, dev, s, limit); err != nil {
				return last, time.Now(), err
			}
		}
	}
	return last, at, nil
}

// patience returns how long an instrument may think about a step.
func (d *Driver) patience(s *step) time.Duration {
	if s.timeout > 0 {
		return s.timeout
	}
	return d.timeout
}

// rouse makes an instrument ready for the next command.
func (d *Driver) rouse(ctx context.Context, x *engine, dev *device) (*step, time.Time, error) {
	if !dev.ready {
		if s, at, err := d.prepare(ctx, x, dev); err != nil {
			return s, at, err
		}
	}
	if s := dev.in.wake; s != nil {
		if at, err := x.exchange(ctx, dev.in, s, &d.catch, d.patience(s), true); err != nil && !isMiss(err) {
			return s, at, err
		}
	}
	return nil, time.Time{}, nil
}

// prepare makes an instrument quiet and ready to be asked: after opening, and
// after it did not answer, when it may have been without power.
func (d *Driver) prepare(ctx context.Context, x *engine, dev *device) (*step, time.Time, error) {
	if s := dev.in.stop; s != nil {
		if at, err := x.exchange(ctx, dev.in, s, &d.catch, d.patience(s), true); err != nil && !isMiss(err) {
			return s, at, err
		}
	}
	for _, s := range dev.in.init {
		d.catch.reset()
		if at, err := x.exchange(ctx, dev.in, s, &d.catch, d.patience(s), false); err != nil {
			return s, at, err
		}
	}
	dev.ready = true
	return nil, time.Time{}, nil
}

// wait waits as long as the reply said that the instrument needs, or until it says
// that it is done.
func (d *Driver) wait(ctx context.Context, x *engine, dev *device, s *step, limit time.Duration) error {
	text, _ := d.catch.field(s.wait)
	seconds, err := strconv.ParseUint(string(trim(text)), 10, 16)
	if err != nil {
		return fmt.Errorf("%w: %s seconds to wait", errNonsense, quote(text))
	}
	wait := time.Duration(seconds) * time.Second
	if wait > limit {
		return fmt.Errorf("%w: it wants %s", errSlow, wait)
	}
	until := time.Now().Add(wait)
	for {
		n, now, err := x.read(ctx, dev.in, until)
		if err != nil {
			return err
		}
		for {
			f, ok := x.next(s.framing, x.ended(s.framing, n, now), now)
			if !ok {
				break
			}
			if s.until != nil && s.until.MatchString(latin1(f.says)) {
				return nil
			}
			d.strayBytes(len(f.says), time.Time{})
		}
		if n == 0 || !now.Before(until) {
			x.drop(time.Time{})
			return nil
		}
	}
}

// result is what came of asking once.
type result struct {
	err       error // why there is no value; nil for an answer
	last      *step
	sent      time.Time
	at        time.Time
	stamp     gateway.Stamp
	forbidden bool // the instrument answered, and asking again is of no use
}

// transact asks a poll and notes what that says of the unit. The error is that
// the line is lost, or ctx's.
func (d *Driver) transact(ctx context.Context, x *engine, dev *device, p *poll, limit time.Duration) (result, error) {
	u, r := dev.unit, result{sent: time.Now()}
	u.triedAt = r.sent
	hopeless := u.hopeless()
	r.last, r.at, r.err = d.ask(ctx, x, dev, p, limit)
	r.stamp = d.keep.Now()
	d.count(r.sent, r.at, r.err)
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case r.err == nil:
		d.answered(u, r)
	case isLineError(r.err):
		d.quarantine(dev, r) // a serial server may hand the reply to the next connection
		return r, r.err
	case errors.Is(r.err, errRefused), errors.Is(r.err, errSlow):
		r.forbidden = true
		d.answered(u, r)
		d.keep.Refused(dev.index, r.err.Error())
	default:
		d.missed(dev, r, hopeless)
	}
	return r, nil
}

func (d *Driver) answered(u *unit, r result) {
	u.answered(r.sent, r.at)
	d.keep.Prove()
	d.online(u, r.stamp)
}

// missed notes that there was no good answer. It may still come: the instrument
// is left alone for that long, and so is the whole line where a reply does not
// say whose it is.
func (d *Driver) missed(dev *device, r result, hopeless bool) {
	u := dev.unit
	u.missed(r.err)
	dev.ready = false
	free := r.at
	if d.quarantine(dev, r) {
		free = d.blockedUntil // the others wait as well
	}
	if hopeless || u.hopeless() {
		d.spend(free.Sub(r.sent), r.at)
	}
	if u.dead() || !isMiss(r.err) {
		d.offline(u, r.err, r.stamp)
	}
}

// quarantine leaves an instrument alone while its answer may still come. It
// reports whether the whole line waits for it.
func (d *Driver) quarantine(dev *device, r result) (everybody bool) {
	u, timeout := dev.unit, d.timeout
	if r.last != nil {
		timeout = d.patience(r.last)
	}
	u.owing(r.sent, r.at, timeout)
	if everybody = len(d.units) > 1 && (r.last == nil || !r.last.asserts); everybody {
		d.blockedUntil = u.blockedUntil
	}
	return everybody
}

// spend takes a try to reach an instrument that does not answer from what these
// may cost together. Some tries may come in a row, so that a short fault is over soon.
func (d *Driver) spend(cost time.Duration, now time.Time) {
	if earliest := now.Add(-deadBurst * deadShare * d.timeout); d.budgetAt.Before(earliest) {
		d.budgetAt = earliest
	}
	d.budgetAt = d.budgetAt.Add((deadShare + 1) * cost) // the silence between frames counts as well
}
