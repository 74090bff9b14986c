package modbus

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// sweep reads all tags of one device and interval, once each interval.
//
//	idle ─due─► active ─all blocks done, or given up─► idle
type sweep struct {
	device   *device
	unit     *unit
	interval time.Duration
	plan     []block // as configured
	blocks   []block // and as the instrument allows it
	readings []gateway.Reading

	due      time.Time // of the next sweep: phases never drift
	deadline time.Time // of this one: the next one's due
	active   bool
	tried    bool // a request of this sweep had no good reply
	stamped  bool
	stamp    gateway.Stamp // of the first reply
	lineDown bool          // the last readings said that the line was down, or lent
	stale    bool          // the instrument may be another one
	divided  bool          // some requests may have been parted needlessly
	seen     int           // of what its device has learned
}

func newSweep(dev *device, o DeviceOptions, interval time.Duration, tags []*tag) *sweep {
	s := &sweep{device: dev, unit: dev.unit, interval: interval, plan: plan(o, tags)}
	s.replan()
	s.readings = make([]gateway.Reading, len(tags))
	for i, t := range tags {
		t.slot = i
		s.readings[i] = gateway.Reading{Tag: t.tag, Class: t.class}
	}
	return s
}

// replan forgets what the instrument refused to answer in one piece.
func (s *sweep) replan() {
	s.blocks = append(s.blocks[:0], s.plan...)
	s.stale, s.divided, s.seen = false, false, s.device.learned
}

// start makes the sweep active.
func (s *sweep) start() {
	if s.stale {
		s.replan()
	}
	if s.seen != s.device.learned {
		s.respect()
	}
	if s.divided {
		s.heal()
	}
	s.active, s.tried, s.stamped = true, false, false
	for i := range s.blocks {
		s.blocks[i].done, s.blocks[i].attempts = false, 0
	}
}

// advance moves the due time past now by whole intervals, and returns how many
// of them passed without a sweep.
func (s *sweep) advance(now time.Time) (missed uint64) {
	n := now.Sub(s.due)/s.interval + 1
	s.due = s.due.Add(n * s.interval)
	return uint64(n - 1)
}

// next returns the block to ask for: one whose answer cannot be taken for the
// missing one, and one that was answered last time before one that was not.
func (s *sweep) next(x engine) (index int, distinct bool) {
	index = -1
	for i := range s.blocks {
		b := &s.blocks[i]
		if b.done {
			continue
		}
		other := s.unit.avoid == 0 || x.replySize(b.request) != s.unit.avoid
		if index < 0 || other && !distinct || other == distinct && b.fails < s.blocks[index].fails {
			index, distinct = i, other
		}
	}
	return index, distinct
}

// replied notes when the sweep's first answer came.
func (s *sweep) replied(now gateway.Stamp) {
	if !s.stamped {
		s.stamped, s.stamp = true, now
	}
}

// take fills in the readings of a block from the data that answers it.
func (s *sweep) take(b *block, data []byte) {
	for _, t := range b.tags {
		t.read(&s.readings[t.slot], data, int(b.request.Address))
	}
	b.done, b.fails, b.refused, b.joined = true, 0, false, 0
	if s.device.answers(b.request) {
		s.divided = true
	}
}

// lose makes the readings of a block ones without a value.
func (s *sweep) lose(b *block, why gateway.Reason) {
	for _, t := range b.tags {
		s.readings[t.slot].Fail(why)
	}
	b.done = true
}

func (s *sweep) complete() bool {
	for i := range s.blocks {
		if !s.blocks[i].done {
			return false
		}
	}
	return true
}

// finish publishes all readings of the sweep in one call; blocks without an
// answer fail for the given reason. now is their time if nothing answered.
func (s *sweep) finish(to gateway.Sink, why gateway.Reason, now gateway.Stamp) {
	for i := range s.blocks {
		if !s.blocks[i].done {
			s.lose(&s.blocks[i], why)
		}
	}
	s.replied(now)
	for i := range s.readings {
		s.readings[i].Stamp = s.stamp
	}
	s.active, s.lineDown = false, why == gateway.LineDown || why == gateway.Maintenance
	to.Append(s.readings, nil)
}
