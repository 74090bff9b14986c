package modbus

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// begin starts the sweeps whose time has come. A unit that is left alone, and a
// line that is down, yields readings without a value instead, so that no
// interval passes in silence.
func (d *Driver) begin(now time.Time, lineDown bool) {
	down := d.keep.Down()
	for _, s := range d.sweeps {
		if s.active && down != gateway.NoReason {
			s.finish(d.publish, down, d.keep.Now())
		}
		at := now
		if lineDown && down == gateway.NoReason {
			at = now.Add(-s.interval) // the line may open yet: a sweep waits its whole interval for it
		}
		if s.due.After(at) {
			continue
		}
		if s.active {
			if !lineDown && !s.tried && !s.unit.hopeless() && s.unit.free(now) {
				d.skipped(s, s.advance(at)+1) // the line is too slow for all that is asked
				d.crowdedUntil = now.Add(crowded)
				continue
			}
			s.finish(d.publish, d.excuse(s.unit, lineDown), d.keep.Now())
		}
		d.skipped(s, s.advance(at))
		s.start()
		s.deadline = s.due
		if lineDown || now.Before(s.unit.aloneUntil) {
			d.skipped(s, 1)
			s.finish(d.publish, d.excuse(s.unit, lineDown), d.keep.Now())
		}
	}
}

// excuse says why there is no value of a unit that was not asked.
func (d *Driver) excuse(u *unit, lineDown bool) gateway.Reason {
	switch {
	case d.keep.Down() != gateway.NoReason:
		return d.keep.Down()
	case lineDown:
		return gateway.LineDown
	case u.why != nil:
		return reasonOf(u.why)
	default:
		return gateway.Starting
	}
}

func (d *Driver) skipped(s *sweep, n uint64) {
	if n > 0 {
		d.keep.Missed(s.device.index, n)
	}
}

// restart reads at once what could not be read while the line was down, unless
// its turn comes soon anyway.
func (d *Driver) restart() {
	now := time.Now()
	for _, s := range d.sweeps {
		if s.lineDown && !s.active && s.due.Sub(now) > time.Second {
			s.start()
			s.deadline = s.due
		}
	}
}

// choose returns the sweep whose turn it is, or nil: first those of units that
// answer, the most urgent before the others; then, if it makes none of these
// wait, or has not happened for long, one of a unit that does not. All those
// together that have been silent for a while get deadShare of the line.
func (d *Driver) choose(now time.Time) *sweep {
	var urgent, silent *sweep
	for _, s := range d.sweeps {
		if !s.active || !s.unit.free(now) {
			continue
		}
		switch u := s.unit; {
		case !u.hopeless():
			if urgent == nil || d.before(s, urgent, now) {
				urgent = s
			}
		case u.dead() && now.Before(d.budgetAt) && d.anyAlive(): // their share is used up
		case silent == nil || u.triedAt.Before(silent.unit.triedAt):
			silent = s
		}
	}
	if silent == nil {
		return urgent
	}
	forced := d.forceAt
	if urgent != nil {
		forced = forced.Add(deadShare * d.timeout)
	}
	switch {
	case !now.Before(forced):
		return silent
	case urgent == nil && !d.answeringDue(now).Before(now.Add(d.patience(silent.unit)+d.wire)):
		return silent
	default:
		return urgent
	}
}

// before reports whether a comes before b: the most urgent first. On a line that
// is too slow for all that is asked that would be the one that asks most, so
// there every unit gets the same share, and the next is the one that has had
// least (start-time fair queueing).
func (d *Driver) before(a, b *sweep, now time.Time) bool {
	if now.Before(d.crowdedUntil) {
		if x, y := max(a.unit.turn, d.served), max(b.unit.turn, d.served); x != y {
			return x < y
		}
	}
	return a.deadline.Before(b.deadline)
}

// serve notes that a unit had the line.
func (d *Driver) serve(u *unit, took time.Duration) {
	d.served = max(u.turn, d.served)
	u.turn = d.served + took
}

// answeringDue returns when the next sweep of a unit that answers is due; far
// in the future if there is none.
func (d *Driver) answeringDue(now time.Time) time.Time {
	next := now.Add(gateway.MaxInterval)
	for _, s := range d.sweeps {
		if !s.unit.hopeless() && s.due.Before(next) {
			next = s.due
		}
	}
	return next
}

// wake returns when there may be something to do that there is not now.
func (d *Driver) wake(now time.Time) time.Time {
	next := now.Add(gateway.MaxInterval)
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	d.keep.Each(sooner)
	for _, s := range d.sweeps {
		sooner(s.due)
		if s.active {
			sooner(s.unit.blockedUntil)
			sooner(s.unit.restUntil)
			sooner(d.budgetAt)
			sooner(d.forceAt)
			sooner(d.forceAt.Add(deadShare * d.timeout))
		}
	}
	return next
}
