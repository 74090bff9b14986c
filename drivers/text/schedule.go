package text

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// begin starts the sweeps whose time has come. An instrument that was not asked,
// and a line that is down, yields readings without a value instead, so that no
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
			u := s.device.unit
			if !lineDown && s.attempts == 0 && !u.hopeless() && !now.Before(d.freeAt(u)) {
				d.skipped(s, s.advance(at)+1) // the line is too slow for all that is asked
				continue
			}
			if s.attempts == 0 {
				d.skipped(s, 1)
			}
			s.finish(d.publish, d.excuse(u, lineDown), d.keep.Now())
		}
		d.skipped(s, s.advance(at))
		s.start()
		if lineDown {
			d.skipped(s, 1)
			s.finish(d.publish, d.excuse(s.device.unit, lineDown), d.keep.Now())
		}
	}
}

// excuse says why there is no value of an instrument that was not asked.
func (d *Driver) excuse(u *unit, lineDown bool) gateway.Reason {
	switch {
	case d.keep.Down() != gateway.NoReason:
		return d.keep.Down()
	case lineDown:
		return gateway.LineDown
	case u.why != nil:
		return reasonOf(u.why)
	case u.proven: // the line waited for the late answer of another
		return gateway.Timeout
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
		}
	}
}

// choose returns the sweep whose turn it is, or nil. Instruments that answer go
// by deadline. The others get deadShare of the line together, whoever waits for
// it; each is tried once without regard to that, after one that answers had its turn.
func (d *Driver) choose(now time.Time) *sweep {
	var urgent, silent, fresh *sweep
	for _, s := range d.sweeps {
		if !s.active || now.Before(d.freeAt(s.device.unit)) {
			continue
		}
		switch u := s.device.unit; {
		case u.hopeless():
			if silent == nil || u.triedAt.Before(silent.device.unit.triedAt) {
				silent = s
			}
		case !u.proven:
			if fresh == nil || s.deadline.Before(fresh.deadline) {
				fresh = s
			}
		case urgent == nil || s.deadline.Before(urgent.deadline):
			urgent = s
		}
	}
	switch {
	case fresh != nil && (urgent == nil || !d.wasSilent):
		return fresh
	case silent != nil && (len(d.units) == 1 || !now.Before(d.budgetAt)) && (urgent == nil || !d.wasSilent):
		return silent
	default:
		return urgent
	}
}

// wakeAt returns when there may be something to do that there is not now.
func (d *Driver) wakeAt(now time.Time) time.Time {
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
			sooner(d.freeAt(s.device.unit))
			sooner(d.budgetAt)
		}
	}
	return next
}
