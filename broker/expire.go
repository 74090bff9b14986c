package broker

import "time"

// Absent is what becomes of a session whose client has gone:
//
//	attached ─connection ends─► absent ─will delay─► will is published
//	                              │ └─expiry─► forgotten, and the will published at the latest
//	                              └─client comes back─► attached, and the will is not published
//
// One timer a session does both, whichever is first.

// absent notes that the session's client has gone, with a will that may wait.
// It returns the will that is to be published now. The lock is held.
func (b *Broker) absent(s *session, w *will) (now *will) {
	s.conn, s.since, s.will = nil, time.Now(), w
	if s.clean() {
		b.forget(s)
		s.will = nil
		return w
	}
	b.dropVolatile(s)
	if w != nil && w.delay == 0 {
		s.will, now = nil, w
	}
	b.setTimer(s)
	return now
}

// setTimer wakes the broker when the absent session has something to do.
func (b *Broker) setTimer(s *session) {
	wait := time.Duration(s.expiry) * time.Second
	if s.expiry == never {
		wait = 0
	}
	if s.will != nil && (wait == 0 || s.will.delay < wait) {
		wait = s.will.delay
	}
	if wait > 0 {
		s.timer = time.AfterFunc(wait-time.Since(s.since), func() { b.expire(s) })
	}
}

// expire does what is due of an absent session.
func (b *Broker) expire(s *session) {
	b.mu.Lock()
	if b.closed || b.sessions[s.id] != s || s.conn != nil {
		b.mu.Unlock()
		return
	}
	gone := time.Since(s.since)
	over := s.expiry != never && gone >= time.Duration(s.expiry)*time.Second
	var w *will
	if s.will != nil && (over || gone >= s.will.delay) {
		w, s.will = s.will, nil
	}
	if over {
		b.forget(s)
	} else {
		b.setTimer(s)
	}
	b.release()
	b.publishWill(w, &conn{b: b, id: s.id, account: s.account, sess: s, gone: true})
}

// back stops what was to become of the session while its client was absent. The
// will that waited is not published ([MQTT-3.1.3-9]). The lock is held.
func (s *session) back() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.will = nil
}
