package broker

import (
	"log/slog"
	"slices"
	"time"
)

// target is a session that a message goes to, and how; or a group, one of whose
// members it goes to.
type target struct {
	s       *session
	group   *group // instead of s
	qos     byte
	noLocal bool
	asIs    bool
	ids     []uint32 // subscription identifiers; never changed
}

// match finds the sessions that subscribed to topic, each once with the highest
// QoS of its matching filters ([MQTT-3.3.5-1]) and all their identifiers
// ([MQTT-3.3.4-3]), and the groups. Subscriptions of by that leave out what it
// publishes do not count ([MQTT-3.8.3-3]). The lock is held.
func (b *Broker) match(topic string, by *session, into []target) []target {
	b.publication++
	b.subs.matching(topic, func(subscribed *[]target) {
		for _, t := range *subscribed {
			switch {
			case t.noLocal && t.s == by:
				continue
			case t.group == nil && t.s.found == b.publication:
				into[t.s.foundPos].join(t)
				continue
			case t.group == nil:
				t.s.found, t.s.foundPos = b.publication, len(into)
			}
			into = append(into, t)
		}
	})
	return into
}

// join makes one target of two subscriptions of a session that match.
func (t *target) join(other target) {
	t.qos = max(t.qos, other.qos)
	t.asIs = t.asIs || other.asIs
	if len(other.ids) > 0 {
		t.ids = slices.Concat(t.ids, other.ids)
	}
}

// route puts m into the queue of every session that subscribed to it, and reports
// whether there was any. by is the session that published it, nil for the gateway.
// The lock is held.
func (b *Broker) route(m *message, by *session) (any bool) {
	b.matches = b.match(m.topic, by, b.matches[:0])
	any = len(b.matches) > 0
	for i := range b.matches {
		if t := b.chosen(&b.matches[i], m.qos); t != nil {
			b.enqueue(t, m, t.flags(m))
		}
	}
	clear(b.matches)
	return any
}

// chosen is t, or the member of its group whose turn it is; nil for nobody.
func (b *Broker) chosen(t *target, qos byte) *target {
	if t.group != nil {
		return t.group.pick(b, qos)
	}
	return t
}

// flags are those of the message to this target ([MQTT-3.3.1-12], [MQTT-3.3.1-13]).
func (t *target) flags(m *message) byte {
	if t.asIs && m.retain {
		return flagRetain
	}
	return 0
}

// enqueue puts m into one session's queue, or drops it where a bound is reached.
// The lock is held.
//
// Who is absent gets no QoS 0. Where a queue is full the newest message is
// dropped, so that what was there keeps its order: a named policy, counted by
// cause in Stats. Retained messages that a SUBSCRIBE asked for are bounded by
// sweep instead, as they come all at once.
func (b *Broker) enqueue(t *target, m *message, flags byte) {
	s, qos := t.s, min(m.qos, t.qos)
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
	it := item{m: m, seq: s.seq, ids: t.ids, qos: qos, flags: flags}
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
func (b *Broker) sweep(s *session, f subscription) error {
	bound := max(b.limits.queued, 2*b.retained.count+2*len(b.tags))
	err, now, t := error(nil), time.Now(), f.target(s)
	b.retained.topics.matched(f.plain, func(r **retained) {
		if *r == nil || err != nil {
			return
		}
		if s.sweeping >= bound {
			err = violatedAs(reasonQuota, "asked for more than %d retained messages and did not read them", bound)
			return
		}
		if m := b.current(*r); m.payload != "" && !m.expired(now) { // [MQTT-3.3.1-11] also where a tag's text is empty
			b.enqueue(&t, m, flagRetain|flagSweep)
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
	out.now, out.version = time.Now(), c.version
	for len(out.items) < batchItems && size < batchBytes {
		it, ok := c.nextItem(out.now)
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

// nextItem takes what is to be sent next. What has expired meanwhile, or is
// larger than the client takes ([MQTT-3.1.2-24]), is left out as if it were sent
// ([MQTT-3.1.2-25]).
func (c *conn) nextItem(now time.Time) (item, bool) {
	s := c.sess
	for {
		it, ok := c.replayed()
		if !ok {
			break
		}
		if it.m == nil || !c.tooLarge(&it) {
			return it, true
		}
		c.b.stats.Undeliverable++
		c.b.left(s, &it)
		c.landed(c.replay - 1)
	}
	for {
		it, ok := s.next(c.window())
		if !ok {
			return it, false
		}
		unsendable := it.m.expired(now) || c.tooLarge(&it)
		if it.qos == 0 || unsendable {
			c.b.left(s, &it)
		}
		if !unsendable {
			return it, true
		}
		c.b.stats.Undeliverable++
		if it.qos > 0 {
			s.inflight.remove(s.inflight.len() - 1)
			s.nextID--
		}
	}
}

// window is how many messages may be on their way to the client ([MQTT-3.3.4-9]).
func (c *conn) window() int { return min(c.b.limits.window, c.receiveMaximum) }

// tooLarge reports whether the client does not take a packet of this size.
func (c *conn) tooLarge(it *item) bool {
	return c.maximumPacket > 0 && it.size(c.version) > c.maximumPacket
}

// size is the length of the whole packet.
func (it *item) size(v version) int {
	n := it.m.size(delivery{qos: it.qos, v: v, ids: it.ids})
	return 1 + varintSize(n) + n
}

// replayed returns the next of the messages that were in flight when the client
// came back, to be sent again in their order ([MQTT-4.4.0-1]).
func (c *conn) replayed() (item, bool) {
	if c.replay >= c.sess.inflight.len() || c.replay >= c.replayEnd || c.replay >= c.window() {
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
			out.bytes = appendAck(out.bytes, typePubrel, it.id, out.version, reasonSuccess)
		} else {
			out.bytes = appendPublish(out.bytes, it.m, delivery{
				flags: it.flags & (flagRetain | flagDup), qos: it.qos, id: it.id, v: out.version, ids: it.ids, now: out.now,
			})
		}
	}
	clear(out.items)
	out.items = out.items[:0]
}

// acknowledged is called for PUBACK, PUBREC and PUBCOMP from the client. The
// lock is held. An identifier that is not in flight is no fault: the client may
// answer what an earlier connection sent.
func (c *conn) acknowledged(p *packet) error {
	s := c.sess
	i, ok := s.flying(p.id)
	if !ok {
		if p.kind == typePubrec && p.code < reasonUnspecified { // let the client finish ([MQTT-4.3.3-4])
			c.answer(typePubrel, p.id, reasonUnknownID)
		}
		return nil
	}
	it := s.inflight.at(i)
	released := it.flags&flagReleased != 0
	switch {
	case p.kind == typePuback && it.qos == 1, p.kind == typePubcomp && released,
		p.kind == typePubrec && it.qos == 2 && p.code >= reasonUnspecified: // it does not want it ([MQTT-4.3.3-4] stands for the others)
		if !released {
			c.b.left(s, it)
		}
		c.landed(i)
	case p.kind == typePubrec && it.qos == 2:
		if !released {
			c.b.left(s, it)
		}
		it.flags = flagReleased
		it.m = nil // [MQTT-4.3.3-1] keeps the identifier, not the message
		c.answer(typePubrel, p.id, reasonSuccess)
	default:
		return violated("packet type %d for message %d of QoS %d", p.kind, p.id, it.qos)
	}
	return nil
}

// landed takes the i-th message out of those that are on their way.
func (c *conn) landed(i int) {
	c.sess.inflight.remove(i)
	if i < c.replay {
		c.replay--
	}
	if i < c.replayEnd {
		c.replayEnd--
	}
	c.b.wake(c)
}
