package broker

import (
	"fmt"
	"log/slog"
)

// target is a session that a message goes to, and the QoS it asked for.
type target struct {
	s   *session
	qos byte
}

// match finds the sessions that subscribed to topic, each once with the highest
// QoS of its matching filters ([MQTT-3.3.5-1]). The lock is held. The result is
// good until the next call.
func (b *Broker) match(topic string, into []target) []target {
	b.publication++
	b.subs.matching(topic, func(subscribed *[]target) {
		for _, t := range *subscribed {
			if t.s.found == b.publication {
				into[t.s.foundPos].qos = max(into[t.s.foundPos].qos, t.qos)
				continue
			}
			t.s.found, t.s.foundPos = b.publication, len(into)
			into = append(into, t)
		}
	})
	return into
}

// route puts m into the queue of every session that subscribed to it. The lock is held.
func (b *Broker) route(m *message) {
	b.matches = b.match(m.topic, b.matches[:0])
	for _, t := range b.matches {
		b.enqueue(t.s, m, min(m.qos, t.qos), 0)
	}
	clear(b.matches)
}

// enqueue puts m into one session's queue, or drops it where a bound is reached.
// The lock is held.
//
// Who is absent gets no QoS 0. Where a queue is full the newest message is
// dropped, so that what was there keeps its order: a named policy, counted by
// cause in Stats. Retained messages that a SUBSCRIBE asked for are bounded by
// sweep instead, as they come all at once.
func (b *Broker) enqueue(s *session, m *message, qos, flags byte) {
	if qos == 0 && s.conn == nil {
		return
	}
	queue := &s.waiting
	if qos == 0 {
		queue = &s.volatile
	}
	if flags&flagSweep == 0 && !b.fits(s, queue, m, qos) {
		return
	}
	s.seq++
	it := item{m: m, seq: s.seq, qos: qos, flags: flags}
	queue.push(it)
	s.bytes += it.cost()
	b.queuedBytes += it.cost()
	if flags&flagSweep != 0 {
		s.sweeping++
	}
	if s.conn != nil {
		b.wake(s.conn)
	}
}

func (b *Broker) fits(s *session, queue *ring[item], m *message, qos byte) bool {
	if queue.len()-min(s.sweeping, queue.len()) < b.limits.queued && s.bytes+m.cost() <= b.limits.queuedBytes &&
		b.queuedBytes+m.cost() <= b.limits.totalBytes {
		return true
	}
	if qos == 0 {
		b.stats.DroppedSlow++
	} else {
		b.stats.DroppedFull++
	}
	if !s.dropping {
		s.dropping = true
		b.note(slog.LevelWarn, "queue full, newest messages are dropped", logClient, s.id, "queued", queue.len(), "connected", s.conn != nil)
	}
	return false
}

// left takes the message of an item out of the account: it is written (QoS 0)
// or acknowledged. The lock is held.
func (b *Broker) left(s *session, it *item) {
	s.bytes -= it.cost()
	b.queuedBytes -= it.cost()
	if it.flags&flagSweep != 0 {
		s.sweeping--
	}
}

// sweep queues the retained messages that filter matches. A client that asks
// for more of them than it reads is told off: the bound is twice all there are.
// The lock is held.
func (b *Broker) sweep(s *session, filter string, granted byte) error {
	bound := max(b.limits.queued, 2*b.retained.count+2*len(b.tags))
	err := error(nil)
	b.retained.topics.matched(filter, func(r **retained) {
		if *r == nil || err != nil {
			return
		}
		if s.sweeping >= bound {
			err = violated("asked for more than %d retained messages and did not read them", bound)
			return
		}
		if m := b.current(*r); m.payload != "" { // [MQTT-3.3.1-11] also where a tag's text is empty
			b.enqueue(s, m, min(m.qos, granted), flagRetain|flagSweep)
		}
	})
	return err
}

// take moves what is to be sent next from the connection's answers and its
// session's queue into out, at most about batchBytes. The lock is held.
func (c *conn) take(out *output) {
	out.bytes = append(out.bytes, c.control...)
	if c.control = c.control[:0]; cap(c.control) > 512 {
		c.control = nil
	}
	c.makeRoom()
	s, size := c.sess, len(out.bytes)
	for len(out.items) < batchItems && size < batchBytes {
		it, ok := c.replayed()
		if !ok {
			if it, ok = s.next(c.b.limits.window); ok && it.qos == 0 {
				c.b.left(s, &it)
			}
		}
		if !ok {
			break
		}
		if it.m != nil {
			size += it.m.cost() - overhead
			c.b.stats.MessagesOut++
		}
		out.items = append(out.items, it)
	}
	if s.dropping && s.volatile.len()+s.waiting.len() < c.b.limits.queued/2 {
		s.dropping = false
	}
}

// replayed returns the next of the messages that were in flight when the client
// came back, to be sent again in their order ([MQTT-4.4.0-1]).
func (c *conn) replayed() (item, bool) {
	if c.replay >= c.sess.inflight.len() || c.replay >= c.replayEnd {
		return item{}, false
	}
	it := c.sess.inflight.at(c.replay)
	c.replay++
	if it.flags&flagReleased == 0 {
		it.flags |= flagDup // [MQTT-3.3.1-1]
	}
	return *it, true
}

// encode appends the packets of out.items to out.bytes. No lock is needed.
func (out *output) encode() {
	for i := range out.items {
		it := &out.items[i]
		if it.flags&flagReleased != 0 {
			out.bytes = appendAck(out.bytes, typePubrel, it.id)
		} else {
			out.bytes = appendPublish(out.bytes, it.m, it.flags&(flagRetain|flagDup), it.qos, it.id)
		}
	}
	clear(out.items)
	out.items = out.items[:0]
}

// acknowledged is called for PUBACK, PUBREC and PUBCOMP from the client. The
// lock is held. An identifier that is not in flight is no fault: the client may
// answer what an earlier connection sent.
func (c *conn) acknowledged(kind byte, id uint16) error {
	s := c.sess
	i, ok := s.flying(id)
	if !ok {
		if kind == typePubrec { // let the client finish
			c.answer(typePubrel, id)
		}
		return nil
	}
	it := s.inflight.at(i)
	released := it.flags&flagReleased != 0
	switch {
	case kind == typePuback && it.qos == 1, kind == typePubcomp && released:
		if !released {
			c.b.left(s, it)
		}
		s.inflight.remove(i)
		if i < c.replay {
			c.replay--
		}
		if i < c.replayEnd {
			c.replayEnd--
		}
		c.b.wake(c)
	case kind == typePubrec && it.qos == 2:
		if !released {
			c.b.left(s, it)
		}
		it.flags = flagReleased
		it.m = nil // [MQTT-4.3.3-1] keeps the identifier, not the message
		c.answer(typePubrel, id)
	default:
		return violated("packet type %d for message %d of QoS %d", kind, id, it.qos)
	}
	return nil
}
