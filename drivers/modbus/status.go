package modbus

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Status returns a copy. It is safe for concurrent use.
func (d *Driver) Status() gateway.LineStatus { return d.keep.Status() }

func (d *Driver) strayFrame(id byte, at time.Time) {
	u := d.units[id]
	if u == nil || !u.late(at) {
		return
	}
	d.keep.Count(func(s *gateway.LineStatus) { s.LateFrames++ })
}

func (d *Driver) strayBytes(n int) {
	if n > 0 {
		d.keep.Count(func(s *gateway.LineStatus) { s.UnsolicitedBytes += uint64(n) })
	}
}

func (d *Driver) echoed() {
	d.keep.Count(func(s *gateway.LineStatus) { s.Echoes++ })
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
