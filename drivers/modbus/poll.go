package modbus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// poll does what is due on an open line until ctx ends or the line is lost,
// and returns why.
func (d *Driver) poll(ctx context.Context, x engine) error {
	d.restart()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		select {
		case l := <-d.loans.Asked():
			return l
		default:
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
func (d *Driver) next(ctx context.Context, x engine, now time.Time) (done bool, err error) {
	s := d.choose(now)
	if s == nil || !d.asked {
		if q := d.inquiryAt(now); q != nil {
			d.asked = true
			return true, d.inquire(ctx, x, q)
		}
	}
	d.asked = false
	if s == nil {
		return false, nil
	}
	return true, d.transact(ctx, x, s)
}

// idle waits until there may be something to do. While an answer is missing it
// listens, to learn how late the unit can be.
func (d *Driver) idle(ctx context.Context, x engine, timer *time.Timer, now time.Time) error {
	until := d.wake(now)
	if d.owed(now) {
		if limit := now.Add(stopCheck); limit.Before(until) {
			until = limit // somebody may want something
		}
		return x.listen(ctx, until)
	}
	timer.Reset(until.Sub(now))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case q := <-d.arrivals():
		d.waiting = append(d.waiting, q)
		return nil
	case l := <-d.loans.Asked():
		return l
	case <-timer.C:
		return nil
	}
}

func (d *Driver) owed(now time.Time) bool {
	return slices.ContainsFunc(d.devices, func(dev *device) bool { return dev.unit.owes(now) })
}

// transact asks for one block of the sweep. The error is that the line is lost,
// or ctx's.
func (d *Driver) transact(ctx context.Context, x engine, s *sweep) error {
	i, distinct := s.next(x)
	b, r, probe := &s.blocks[i], s.blocks[i].request, false
	if !distinct {
		r, probe = b.probe()
		if !probe {
			r = b.request
		}
	}
	sent := time.Now()
	s.unit.triedAt = sent
	data, at, err := x.exchange(ctx, s.unit.id, r, d.patience(s.unit))
	d.count(sent, at, err)
	d.serve(s.unit, at.Sub(sent))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case isLineError(err):
		d.owe(x, s.unit, r, sent, at)
		return err
	case isMiss(err) || viaGateway(err):
		d.missed(x, s, i, r, err, sent, at)
		return x.worn()
	}
	now := d.now()
	d.answered(s.unit, sent, at, now)
	switch {
	case probe: // whatever it says, it is alive and in step
	case isBusy(err):
		d.postpone(x, s, b, err, at)
	default:
		s.unit.rests = 0
		s.replied(now)
		d.took(s, i, data, err)
		if s.complete() {
			s.finish(d.publish, gateway.NoReason, now)
		}
	}
	return nil
}

// patience returns how long a unit may think. Where nobody else waits for the
// line there is nothing to be won by giving up early.
func (d *Driver) patience(u *unit) time.Duration {
	if d.lonely {
		return d.timeout
	}
	return u.patience(d.timeout, d.greeting)
}

// postpone asks a busy unit again a little later, if that is still in time.
func (d *Driver) postpone(x engine, s *sweep, b *block, why error, at time.Time) {
	u := s.unit
	u.rest(at, why)
	d.refused(s.device, fmt.Sprintf("%v at %s %d", why, b.request.Function, b.request.Address))
	for _, other := range d.sweeps {
		if other.unit == u && other.active && !u.restUntil.Add(x.wireTime(b.request)).Before(other.due) {
			other.finish(d.publish, reasonOf(why), d.now())
		}
	}
}

// took puts an answer into the readings.
func (d *Driver) took(s *sweep, i int, data []byte, err error) {
	b := &s.blocks[i]
	if err == nil {
		s.take(b, data)
		return
	}
	d.refused(s.device, fmt.Sprintf("%v at %s %d", err, b.request.Function, b.request.Address))
	exception, is := err.(wire.Exception) //nolint:errorlint // the engine returns it bare
	switch {
	case is && divisible(exception) && b.parts():
		s.divide(i)
	default:
		if is && divisible(exception) {
			b.refused = true
			s.device.learn(hole{b.request.Function, b.start(), b.end() - 1})
		}
		s.lose(b, reasonOf(err))
	}
}

// divisible reports whether a part of the request might be answered: the
// instrument does not have all of the registers, or does not give so many.
func divisible(e wire.Exception) bool { return e == wire.IllegalAddress || e == wire.IllegalValue }

// viaGateway reports whether a gateway answered for an instrument that does not.
func viaGateway(err error) bool {
	return err == wire.GatewayPath || err == wire.GatewayNoResponse //nolint:errorlint // the engine returns it bare
}

// isBusy reports whether the instrument asks to be asked again.
func isBusy(err error) bool {
	return err == wire.Acknowledge || err == wire.DeviceBusy //nolint:errorlint // the engine returns it bare
}

func (d *Driver) answered(u *unit, sent, at time.Time, now gateway.Stamp) {
	if u.dead() {
		d.forget(u)
	}
	u.answered(sent, at)
	d.prove()
	d.online(u, now)
}

// prove notes that the open line has answered.
func (d *Driver) prove() {
	if !d.proved && d.lastErr != "" {
		d.log.Info("line back")
		d.lastErr = ""
	}
	d.proved, d.backoff = true, 0
}

// forget drops what was learned of a unit, which may be another instrument by now.
func (d *Driver) forget(u *unit) {
	for _, dev := range d.devices {
		if dev.unit == u {
			dev.holes = dev.holes[:0]
		}
	}
	for _, s := range d.sweeps {
		if s.unit == u {
			s.stale = true
		}
	}
}

// missed notes that a request had no good answer, and gives up what cannot be
// asked for again in time.
func (d *Driver) missed(x engine, s *sweep, i int, r wire.Request, why error, sent, now time.Time) {
	u, b := s.unit, &s.blocks[i]
	d.silent(x, u, r, why, sent, now)
	b.attempts++
	b.fails++
	s.tried = true
	reason := reasonOf(why)
	if u.dead() || viaGateway(why) {
		d.offline(u, why, d.now())
	}
	if u.dead() {
		for _, other := range d.sweeps {
			if other.unit == u && other.active {
				other.finish(d.publish, reason, d.now())
			}
		}
		return
	}
	switch {
	case b.joined > 0 && r == b.request: // some say nothing to what they cannot answer whole
		s.divide(i)
	case b.attempts > d.retries:
		s.lose(b, reason)
	}
	if s.complete() || !u.blockedUntil.Add(x.wireTime(r)).Before(s.due) {
		s.finish(d.publish, reason, d.now())
	}
}

// silent notes that a unit did not answer, or that a gateway could not reach it.
func (d *Driver) silent(x engine, u *unit, r wire.Request, why error, sent, now time.Time) {
	u.missed(why, sent, now, d.dead())
	if viaGateway(why) {
		d.prove()
	} else {
		d.owe(x, u, r, sent, now)
	}
	cost := now.Sub(sent)
	if u.hopeless() {
		d.forceAt = now.Add(deadShare * cost)
	}
	if u.fails > offlineAfter && d.anyAlive() {
		d.spend(cost, now)
	}
}

// anyAlive reports whether there is anybody whom tries to reach dead units could
// cost anything.
func (d *Driver) anyAlive() bool {
	return slices.ContainsFunc(d.sweeps, func(s *sweep) bool { return !s.unit.hopeless() })
}

// owe leaves a unit alone while the answer to a request may still come.
func (d *Driver) owe(x engine, u *unit, r wire.Request, sent, now time.Time) {
	quarantine, due := x.quarantine(u.slowest), sent.Add(x.wireTime(r)+d.timeout)
	if quarantine == 0 || due.Before(now) {
		due = now
	}
	u.owe(sent, due, quarantine, x.replySize(r))
}

// spend takes a try to reach a dead unit from what these may cost. What they did
// not use is kept for deadBurst long tries, so that a short fault is over soon.
func (d *Driver) spend(cost time.Duration, now time.Time) {
	if earliest := now.Add(-deadBurst * deadShare * d.timeout); d.budgetAt.Before(earliest) {
		d.budgetAt = earliest
	}
	d.budgetAt = d.budgetAt.Add((deadShare + 1) * cost) // the silence between frames counts as well
}

// dead counts the units that do not answer.
func (d *Driver) dead() (n int) {
	for _, u := range d.units {
		if u != nil && u.dead() {
			n++
		}
	}
	return n
}

// count keeps the figures of the line.
func (d *Driver) count(sent, at time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy.Add(sent, at)
	d.status.Requests++
	switch {
	case err == nil:
		d.status.Replies++
	case err == errTimeout: //nolint:errorlint // the engine returns it bare
		d.status.Timeouts++
	case err == errCRC: //nolint:errorlint // the engine returns it bare
		d.status.CRCErrors++
	default:
		if _, is := err.(wire.Exception); is { //nolint:errorlint // the engine returns it bare
			d.status.Replies++
			d.status.Exceptions++
		}
	}
}

func isLineError(err error) bool {
	_, is := err.(lineError) //nolint:errorlint // the engine returns it bare; errors.As would allocate
	return is
}

func isMiss(err error) bool {
	return err == errTimeout || err == errCRC //nolint:errorlint // the engine returns them bare
}
