package modbus

import (
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

func (d *Driver) strayFrame(id byte, at time.Time) {
	u := d.units[id]
	if u == nil || !u.late(at) {
		return
	}
	d.mu.Lock()
	d.status.LateFrames++
	d.mu.Unlock()
}

func (d *Driver) strayBytes(n int) {
	if n == 0 {
		return
	}
	d.mu.Lock()
	d.status.UnsolicitedBytes += uint64(n)
	d.mu.Unlock()
}

func (d *Driver) echoed() {
	d.mu.Lock()
	d.status.Echoes++
	d.mu.Unlock()
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
