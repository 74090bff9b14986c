package broker

import (
	"time"
)

// message is what was published. It is shared by all sessions and never changed.
type message struct {
	topic   string
	payload string
	props   string // those of MQTT 5 that go to its receivers, as they came
	qos     byte
	retain  bool      // as its publisher said it
	expires time.Time // zero for never
}

// cost is what a message that waits counts against the limits.
func (m *message) cost() int { return len(m.topic) + len(m.payload) + len(m.props) + overhead }

// expired reports whether the message is not to be sent any more ([MQTT-3.3.2-5]).
func (m *message) expired(now time.Time) bool { return !m.expires.IsZero() && !now.Before(m.expires) }

// item is one message on its way to one session.
type item struct {
	m     *message // nil once only PUBREL is left to say
	seq   uint64   // its place in the session's one order
	ids   []uint32 // subscription identifiers
	id    uint16   // given when it is first sent
	qos   byte
	flags byte
}

// The flags of an item: flagRetain and flagDup as in a PUBLISH, and:
const (
	flagReleased = 1 << 4 // QoS 2: PUBREC has come, so PUBREL is what is sent again
	flagSweep    = 1 << 5 // retained, sent because of a SUBSCRIBE
)

// session is what the broker knows of a client, connected or not. The broker's
// lock guards it.
//
// Outbound, a message goes  waiting → inflight → acknowledged  (QoS 1 and 2) or
// volatile → sent  (QoS 0). Both are first in first out and share one sequence,
// so a client sees them in the order they came in; only while the window is
// full may QoS 0 overtake. Inbound identifiers live in a map of their own: the
// two directions number independently (MQTT 3.1.1, 2.3.1).
type session struct {
	id      string
	owner   string // the user it belongs to, "" for anonymous ones
	account *account
	expiry  uint32 // seconds that it outlives its connection; never for the greatest
	conn    *conn  // nil while absent
	since   time.Time
	timer   *time.Timer // of its expiry or its will, while absent
	will    *will       // that waits for its delay, while absent

	subs map[string]subscription // by filter, as it was written

	seq      uint64
	volatile ring[item]
	waiting  ring[item]
	inflight ring[item]
	nextID   uint16
	bytes    int // cost of all three
	sweeping int // items with flagSweep in them
	dropping bool

	inbound map[uint16]inbound // QoS 2 messages that came and were not yet released

	found    uint64 // number of the publication that last matched this session
	foundPos int    // where it is in the matches
}

// clean reports whether the session ends with its connection.
func (s *session) clean() bool { return s.expiry == 0 }

// newID returns the next free packet identifier: they count up from 1, skipping
// those in flight ([MQTT-2.3.1-4]).
func (s *session) newID() uint16 {
	for {
		s.nextID++
		if s.nextID == 0 {
			s.nextID = 1
		}
		if _, used := s.flying(s.nextID); !used {
			return s.nextID
		}
	}
}

// flying finds the message in flight with this identifier. Clients acknowledge
// in order, so it is nearly always the first.
func (s *session) flying(id uint16) (int, bool) {
	for i := range s.inflight.len() {
		if s.inflight.at(i).id == id {
			return i, true
		}
	}
	return 0, false
}

// next takes the item that is to be sent next, and false when there is none that may be.
func (s *session) next(window int) (item, bool) {
	canVolatile := s.volatile.len() > 0
	canWaiting := s.waiting.len() > 0 && s.inflight.len() < window
	switch {
	case canVolatile && (!canWaiting || s.volatile.at(0).seq < s.waiting.at(0).seq):
		return s.volatile.pop(), true
	case canWaiting:
		it := s.waiting.pop()
		it.id = s.newID()
		s.inflight.push(it)
		return it, true
	}
	return item{}, false
}

// cost is what a waiting item counts against the limits: what a SUBSCRIBE asked
// for is kept as a retained message anyway.
func (it *item) cost() int {
	if it.flags&flagSweep != 0 {
		return sweepCost
	}
	return it.m.cost()
}
