package text

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// sweep reads tags of one poll that have the same interval, once each interval.
//
//	idle ─due─► active ─answered, refused or given up─► idle
type sweep struct {
	device   *device
	poll     *poll
	interval time.Duration
	tags     []*tag
	readings []gateway.Reading

	due      time.Time // of the next sweep: phases never drift
	deadline time.Time // of this one: the next one's due
	active   bool
	attempts int
	lineDown bool // the last readings said that the line was down, or lent

	heard   bool      // of a listener: something new has come since it was published
	heardAt time.Time // and when something last came
	damaged bool      // what came since was damaged
}

func newSweep(dev *device, p *poll, interval time.Duration, tags []*tag) *sweep {
	s := &sweep{device: dev, poll: p, interval: interval, tags: tags, readings: make([]gateway.Reading, len(tags))}
	for i, t := range tags {
		s.readings[i] = gateway.Reading{Tag: t.tag, Class: t.class}
	}
	return s
}

func (s *sweep) start() {
	s.active, s.attempts, s.deadline = true, 0, s.due
}

// advance moves the due time past now by whole intervals, and returns how many
// of them passed without a sweep.
func (s *sweep) advance(now time.Time) (missed uint64) {
	n := now.Sub(s.due)/s.interval + 1
	s.due = s.due.Add(n * s.interval)
	return uint64(n - 1)
}

// take fills in the readings from what the replies said.
func (s *sweep) take(c *catch, at gateway.Stamp) {
	for i, t := range s.tags {
		t.read(&s.readings[i], c)
		s.readings[i].Stamp = at
	}
}

// finish publishes the readings; why is the reason if there are no values.
func (s *sweep) finish(to gateway.Sink, why gateway.Reason, now gateway.Stamp) {
	if why != gateway.NoReason {
		for i := range s.readings {
			s.readings[i].Fail(why)
			s.readings[i].Stamp = now
		}
	}
	s.active, s.lineDown = false, why == gateway.LineDown || why == gateway.Maintenance
	if to != nil {
		to.Append(s.readings, nil)
	}
}
