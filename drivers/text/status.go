package text

import (
	"errors"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Status returns a copy. It is safe for concurrent use.
func (d *Driver) Status() gateway.LineStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.status
	s.Devices = slices.Clone(s.Devices)
	s.Busy = d.busy.Share(time.Now())
	if d.port != nil {
		s.UART = d.port.UART()
	}
	return s
}

// hasPort notes the line that is open, nil for none, for what Status asks it.
func (d *Driver) hasPort(l gateway.Line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.port, _ = l.(gateway.UARTCounter)
}

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
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status.UnsolicitedBytes += uint64(n)
	if lost != nil {
		d.status.LateFrames++
	}
}

func (d *Driver) echoed() {
	d.mu.Lock()
	d.status.Echoes++
	d.mu.Unlock()
}

// unbroken tells once that the line cannot send a break.
func (d *Driver) unbroken() {
	if !d.noBreak {
		d.log.Warn("the line cannot send a break; the adapter must do it by itself")
		d.noBreak = true
	}
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
	case errors.Is(err, errTimeout):
		d.status.Timeouts++
	case errors.Is(err, errDamaged):
		d.status.CRCErrors++
	case errors.Is(err, errRefused):
		d.status.Replies++
		d.status.Exceptions++
	}
}

// online notes for every device of a unit that it answers.
func (d *Driver) online(u *unit, at gateway.Stamp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dev := range d.devices {
		s := &d.status.Devices[dev.index]
		if dev.unit != u {
			continue
		}
		s.LastReply = at
		if s.Online {
			continue
		}
		d.log.Info("device online", "device", s.Device, "before", s.Reason, "for", time.Duration(at.At-s.Since.At)*time.Millisecond)
		s.Online, s.Since, s.Cause, s.Reason = true, at, gateway.NoReason, ""
	}
}

// offline notes for every device of a unit that it does not answer.
func (d *Driver) offline(u *unit, err error, at gateway.Stamp) {
	why := err.Error()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dev := range d.devices {
		s := &d.status.Devices[dev.index]
		if dev.unit != u || !s.Online && s.Reason == why {
			continue
		}
		d.log.Warn("device offline", "device", s.Device, "reason", why)
		if s.Online {
			s.Since = at
		}
		s.Online, s.Cause, s.Reason = false, reasonOf(err), why
	}
}

// refused notes what a device answers instead of values.
func (d *Driver) refused(dev *device, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := &d.status.Devices[dev.index]; s.Refused != what {
		d.log.Warn("device refuses", "device", s.Device, "reason", what)
		s.Refused = what
	}
}
