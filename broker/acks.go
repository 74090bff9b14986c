package broker

import "time"

// ack is an acknowledgement that a client has to get.
type ack struct {
	kind  byte // typePuback or typePubrec
	id    uint16
	ready bool // nothing is left to wait for
	code  reason
}

// acks are the acknowledgements of one connection in the order of their
// messages, in which they must leave ([MQTT-4.6.0-2], [MQTT-4.6.0-3]): one that
// waits for the disk holds up those behind it.
type acks struct {
	waiting ring[ack]
	first   uint64 // the number of the oldest waiting
}

// push appends a and returns its number.
func (q *acks) push(a ack) uint64 {
	q.waiting.push(a)
	return q.first + uint64(q.waiting.len()) - 1
}

// unanswered counts those of one kind that have not left.
func (q *acks) unanswered(kind byte) (n int) {
	for i := range q.waiting.len() {
		if q.waiting.at(i).kind == kind {
			n++
		}
	}
	return n
}

// ready notes that the acknowledgement with this number may leave.
func (q *acks) ready(number uint64) {
	if number >= q.first && number-q.first < uint64(q.waiting.len()) {
		q.waiting.at(int(number - q.first)).ready = true
	}
}

// readyID does the same for all of one kind and identifier.
func (q *acks) readyID(kind byte, id uint16) {
	for i := range q.waiting.len() {
		if a := q.waiting.at(i); a.kind == kind && a.id == id {
			a.ready = true
		}
	}
}

// answerReady moves the acknowledgements that may leave to the client. The lock is held.
func (c *conn) answerReady() {
	for c.acks.waiting.len() > 0 && c.acks.waiting.at(0).ready {
		a := c.acks.waiting.pop()
		c.acks.first++
		c.answer(a.kind, a.id, a.code)
	}
}

// answer queues a packet that consists of an identifier. The lock is held.
func (c *conn) answer(kind byte, id uint16, code reason) {
	c.control = appendAck(c.control, kind, id, c.version, code)
	c.b.wake(c)
}

// crowded reports whether the client has so many answers to come that it must
// not be read from. The lock is held.
func (c *conn) crowded() bool {
	return len(c.control) > maxControl || c.acks.waiting.len() > c.b.limits.unanswered
}

// waitForRoom returns when the client has taken its answers. Only a client that
// sends and does not read, or sends far more than the disk can take, waits here.
func (c *conn) waitForRoom() error {
	for {
		room, err := c.stalled()
		if room == nil {
			return err
		}
		<-room
		c.last = time.Now()
	}
}

// stalled returns the channel that is closed when there may be room, nil if there is.
func (c *conn) stalled() (<-chan struct{}, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.reason != nil {
		return nil, c.reason
	}
	if c.gone || !c.crowded() {
		return nil, nil
	}
	if c.stall == nil {
		c.stall = make(chan struct{})
	}
	return c.stall, nil
}

// makeRoom wakes the reader if there is room for its answers. The lock is held.
func (c *conn) makeRoom() {
	if c.stall != nil && !c.crowded() {
		c.makeRoomNow()
	}
}

// makeRoomNow wakes the reader. The lock is held.
func (c *conn) makeRoomNow() {
	if c.stall != nil {
		close(c.stall)
		c.stall = nil
	}
}
