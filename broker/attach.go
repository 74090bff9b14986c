package broker

import (
	"log/slog"
	"time"
)

// takenOver is what an older connection leaves behind.
type takenOver struct {
	conn *conn
	will *will
}

// attach makes c the connection of its client's session, resuming it or not as
// CONNECT asks ([MQTT-3.1.2-4] to [MQTT-3.1.2-6]), and queues the CONNACK and
// what was in flight.
func (b *Broker) attach(c *conn, con *connect) (old takenOver, err error) {
	b.mu.Lock()
	defer b.release()
	if c.reason != nil {
		return old, c.reason
	}
	s := b.sessions[con.clientID]
	if s != nil && s.owner != c.account.String() {
		if s.conn != nil {
			return old, refusal{reasonClientID, "a client of another user is connected with this identifier"}
		}
		b.forget(s)
	}
	if s != nil && s.conn != nil {
		old.conn = s.conn
		old.will = b.detach(s.conn)
		old.conn.fail(errTakenOver)
	}
	s = b.sessions[con.clientID]
	if s != nil && con.clean { // the session ends, and with it what a will waited for
		if s.will != nil {
			old.conn, old.will = &conn{b: b, id: s.id, account: s.account, sess: s, gone: true}, s.will
		}
		b.forget(s)
		s = nil
	}
	if s != nil {
		s.back()
	}
	present := s != nil // [MQTT-3.2.2-2], [MQTT-3.2.2-3]
	if !present {
		s = b.newSession(con, c.account.String())
	}
	s.expiry, s.account, s.conn, s.dropping = con.expiry, c.account, c, false
	c.sess, c.will = s, con.will
	c.replay, c.replayEnd = 0, s.inflight.len()
	b.identified(c)
	b.stats.Connected++
	b.stats.MaxConnected = max(b.stats.MaxConnected, b.stats.Connected)
	c.control = con.appendConnack(c.control, present, b.limits)
	b.wake(c)
	return old, nil
}

func (b *Broker) newSession(con *connect, owner string) *session {
	if con.expiry > 0 {
		b.makeRoomForSession()
	}
	s := &session{id: con.clientID, owner: owner}
	b.sessions[s.id] = s
	return s
}

// makeRoomForSession forgets the session that has been absent for longest when
// there are too many.
func (b *Broker) makeRoomForSession() {
	absent := len(b.sessions) - b.stats.Connected
	if absent < b.limits.sessions {
		return
	}
	var oldest *session
	for _, s := range b.sessions {
		if s.conn == nil && (oldest == nil || s.since.Before(oldest.since)) {
			oldest = s
		}
	}
	b.stats.Forgotten++
	b.note(slog.LevelWarn, "too many absent sessions, the longest absent is forgotten", logClient, oldest.id)
	b.forget(oldest)
}

// forget ends a session and all that it held. The lock is held.
func (b *Broker) forget(s *session) {
	for filter := range s.subs {
		b.unsubscribe(s, filter)
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	b.queuedBytes -= s.bytes
	s.bytes = 0
	delete(b.sessions, s.id)
}

// detach takes the session away from its connection and returns the will that
// is to be published. The lock is held.
func (b *Broker) detach(c *conn) *will {
	if c.gone {
		return nil
	}
	c.gone = true
	b.identified(c)
	c.makeRoomNow()
	c.control, c.acks = nil, acks{}
	s := c.sess
	if s == nil {
		return nil
	}
	b.stats.Connected--
	w := c.will
	c.will = nil
	return b.absent(s, w)
}

// dropVolatile forgets the QoS 0 messages of a client that has gone: they are
// promised to nobody, so they are not counted as dropped.
func (b *Broker) dropVolatile(s *session) {
	for s.volatile.len() > 0 {
		it := s.volatile.pop()
		b.left(s, &it)
	}
	s.volatile.reset()
}

// farewell is what is left to do when a connection has ended.
type farewell struct {
	reason  error
	will    *will
	answers []byte        // still to be written, where the client may read them
	writer  chan struct{} // closed when the writer is done; nil if there is none to wait for
}

// leave is called once by the reading goroutine at the end of its connection.
func (b *Broker) leave(c *conn, err error) farewell {
	b.mu.Lock()
	defer b.release()
	f := farewell{reason: err, answers: c.control}
	if c.reason != nil {
		f.reason, f.answers = c.reason, nil
	} else if err == errDisconnect && !c.keepWill {
		c.will = nil // [MQTT-3.14.4-3]
	}
	f.will = b.detach(c)
	delete(b.conns, c)
	if c.writing && c.reason == nil {
		f.writer = make(chan struct{})
		c.written = f.writer
	}
	return f
}

// publishWill publishes a will as if its client did, with what that may do.
func (b *Broker) publishWill(w *will, c *conn) {
	if w == nil {
		return
	}
	if w.mortal {
		w.expires = time.Now().Add(w.life)
	}
	w.message.retain = w.retain
	b.incoming(c, &w.message, w.retain, nil)
	b.flush()
}

// flush starts the writers of those who have something to send.
func (b *Broker) flush() {
	b.mu.Lock()
	b.release()
}

// reservedFor says why the client of c may not publish on topic; "" means that it may.
func (b *Broker) reservedFor(c *conn, topic string) string {
	if topic[0] == '$' { // MQTT 3.1.1, 4.7.2
		return "topics with $ belong to the broker"
	}
	if b.own.has(topic) {
		return "the topic belongs to the gateway"
	}
	if !c.account.mayPublish(topic, c.id) {
		return "not in the user's publish list"
	}
	return ""
}
