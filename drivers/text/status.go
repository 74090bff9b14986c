package text

import (
	"errors"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Status returns a copy. It is safe for concurrent use.
func (d *Driver) Status() gateway.LineStatus { return d.keep.Status() }

// strayBytes counts bytes that are no part of a reply. at is when they came, if
// that is known: then they may be the answer that is missing.
func (d *Driver) strayBytes(n int, at time.Time) {
	if n == 0 {
		return
	}
	var lost *unit
	for _, u := range d.units {
		if !at.IsZero() && u.owes(at) && (lost == nil || u.lostAt.After(lost.lostAt)) {
			lost = u
		}
	}
	if lost != nil {
		lost.late(at)
		if d.blockedUntil.After(at) && lost.blockedUntil.After(d.blockedUntil) {
			d.blockedUntil = lost.blockedUntil
		}
	}
	d.keep.Count(func(s *gateway.LineStatus) {
		s.UnsolicitedBytes += uint64(n)
		if lost != nil {
			s.LateFrames++
		}
	})
}

func (d *Driver) echoed() {
	d.keep.Count(func(s *gateway.LineStatus) { s.Echoes++ })
}

// unbroken tells once that the line cannot send a break.
func (d *Driver) unbroken() {
	if !d.noBreak {
		d.keep.Log.Warn("the line cannot send a break; the adapter must do it by itself")
		d.noBreak = true
	}
}

// count keeps the figures of the line.
func (d *Driver) count(sent, at time.Time, err error) {
	d.keep.Used(sent, at)
	d.keep.Count(func(s *gateway.LineStatus) {
		s.Requests++
		switch {
		case err == nil:
			s.Replies++
		case errors.Is(err, errTimeout):
			s.Timeouts++
		case errors.Is(err, errDamaged):
			s.CRCErrors++
		case errors.Is(err, errRefused):
			s.Replies++
			s.Exceptions++
		}
	})
}

// online notes for every device of a unit that it answers.
func (d *Driver) online(u *unit, at gateway.Stamp) {
	for _, dev := range d.devices {
		if dev.unit == u {
			d.keep.Online(dev.index, at)
		}
	}
}

// offline notes for every device of a unit that it does not answer.
func (d *Driver) offline(u *unit, err error, at gateway.Stamp) {
	for _, dev := range d.devices {
		if dev.unit == u {
			d.keep.Offline(dev.index, reasonOf(err), err.Error(), at)
		}
	}
}
