package broker

import (
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gaugeway/gaugeway/gateway"
)

// handle does what a packet asks for. An error ends the connection.
func (c *conn) handle(p *packet) error {
	switch p.kind {
	case typePublish:
		return c.receive(p)
	case typePuback, typePubrec, typePubcomp:
		return c.b.acknowledged(c, p)
	case typePubrel:
		c.b.released(c, p.id)
		return nil
	case typeSubscribe:
		return c.b.subscribeAll(c, p)
	case typeUnsubscribe:
		return c.b.unsubscribeAll(c, p)
	case typePingreq:
		c.b.answerPing(c)
		return nil
	case typeDisconnect:
		return c.b.disconnected(c, p)
	default: // a second CONNECT ([MQTT-3.1.0-2])
		return violated("a second CONNECT")
	}
}

func (b *Broker) acknowledged(c *conn, p *packet) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return errTakenOver
	}
	return c.acknowledged(p)
}

func (b *Broker) answerPing(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.gone {
		c.control = append(c.control, typePingresp<<4, 0)
		b.wake(c)
	}
}

// disconnected handles a DISCONNECT (MQTT 5.0, 3.14).
func (b *Broker) disconnected(c *conn, p *packet) error {
	c.keepWill = p.code != reasonSuccess // only who says that all is well takes it back: [MQTT-3.1.2-10], [MQTT-3.14.4-3]
	if !p.props.given(propSessionExpiry) {
		return errDisconnect
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	expiry := p.props.or(propSessionExpiry, 0)
	if c.sess.expiry == 0 && expiry != 0 { // 3.14.2.2.2
		return violated("DISCONNECT that makes a session stay which was to end")
	}
	if !c.gone {
		c.sess.expiry = expiry
	}
	return errDisconnect
}

// receive takes a PUBLISH from the client.
func (c *conn) receive(p *packet) error {
	// One allocation holds topic and payload; it is shared by all who receive it.
	all := string(p.body)
	text, err := c.topicOf(p, all[:len(p.topic)])
	if err != nil {
		return err
	}
	if err := gateway.ValidTopic(text); err != nil { // [MQTT-3.3.2-1], [MQTT-3.3.2-2]
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") { // 5.0: [MQTT-1.5.4-1], [MQTT-1.5.4-2]
			return malformed("PUBLISH on a topic that %v", err)
		}
		return violatedAs(reasonTopicInvalid, "PUBLISH on a topic that %v", err)
	}
	if levels(text) > maxLevels {
		return violatedAs(reasonTopicInvalid, "PUBLISH on a topic of more than %d levels", maxLevels)
	}
	if err := checkResponse(p.props); err != nil {
		return err
	}
	m := &message{topic: text, payload: all[len(all)-len(p.payload):], props: string(p.props.onward), qos: p.qos(), retain: p.retain()}
	if p.props.given(propMessageExpiry) {
		m.expires = time.Now().Add(time.Duration(p.props.or(propMessageExpiry, 0)) * time.Second)
	}
	return c.b.incoming(c, m, p.retain(), p)
}

// topicOf returns the topic of a PUBLISH, which an alias may stand for
// (MQTT 5.0, 3.3.2.3.4).
func (c *conn) topicOf(p *packet, text string) (string, error) {
	if !p.props.given(propTopicAlias) {
		if text == "" && c.version == mqtt5 {
			return "", violated("PUBLISH without a topic")
		}
		return text, nil
	}
	alias := p.props.or(propTopicAlias, 0)
	if alias == 0 || int(alias) > c.b.limits.aliases { // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
		return "", violatedAs(reasonTopicAlias, "topic alias %d; use 1 to %d", alias, c.b.limits.aliases)
	}
	if text == "" {
		known, ok := c.aliases[uint16(alias)]
		if !ok {
			return "", violated("topic alias %d stands for nothing yet", alias)
		}
		return known, nil
	}
	if c.aliases == nil {
		c.aliases = make(map[uint16]string)
	}
	c.aliases[uint16(alias)] = text
	return text, nil
}

// incoming takes a message from a client, or its will with p nil: it routes it,
// hands it to the Tap where that wants it, and sees to the acknowledgement.
//
// What the Tap wants is acknowledged when it is on disk, by whoever calls done;
// nobody waits for that here. A QoS 2 message is routed only then: were the
// power cut in between, the client would send it again, and who had it
// already would have it twice.
func (b *Broker) incoming(c *conn, m *message, retain bool, p *packet) error {
	why := b.reservedFor(c, m.topic)
	wanted := why == "" && b.tap != nil && b.tap.Wants(m.topic)
	t, fresh, err := b.admitMessage(c, m, retain, p, why, wanted)
	if err != nil {
		return err
	}
	if why != "" {
		b.quiet.warn(b.log, "publication is refused", logClient, c.id, logUser, c.account.String(), logTopic, m.topic, logWhy, why)
	}
	if why == "" && fresh {
		b.write(c, m, p)
	}
	if !wanted || !fresh {
		return nil
	}
	r := gateway.Reading{Tag: gateway.Foreign, Stamp: b.Now(), Value: gateway.Message(m.topic, []byte(m.payload))}
	b.tap.Append([]gateway.Reading{r}, func(err error) { b.stored(t, err) })
	return nil
}

// ticket is one message on its way through the Tap.
type ticket struct {
	c      *conn
	s      *session
	m      *message
	retain bool
	id     uint16 // 0 for QoS 0 and for a will
	ack    uint64 // which acknowledgement of c waits for it
}

// admitMessage routes m unless it is to be on disk first, and notes what is to
// be acknowledged. fresh is false for a QoS 2 message that came before.
func (b *Broker) admitMessage(c *conn, m *message, retain bool, p *packet, why string, wanted bool) (t ticket, fresh bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A write is an event: it must not come again to who subscribes later.
	t = ticket{c: c, s: c.sess, m: m, retain: retain && !b.own.isWrite(m.topic)}
	if p != nil {
		if c.gone {
			return t, false, errTakenOver
		}
		b.stats.MessagesIn++
		t.id = p.id
		if err := c.tooMany(m.qos, p.id); err != nil {
			return t, false, err
		}
	}
	if t.id != 0 && m.qos == 2 {
		if state, known := c.sess.inbound[t.id]; known { // [MQTT-4.3.3-2]
			c.acks.push(ack{kind: typePubrec, id: t.id, ready: state == inboundSafe})
			c.answerReady()
			if state == inboundPending {
				c.sess.inbound[t.id] = inboundAgain
			}
			return t, false, nil
		}
		c.sess.noteInbound(t.id, !wanted)
	}
	code := reasonSuccess
	if why != "" {
		b.stats.Refused++ // and acknowledged all the same: 3.1.1 has no other answer ([MQTT-3.3.5-2])
		code = reasonNotAuthorized
		delete(c.sess.inbound, t.id) // 5.0: a PUBREC that refuses ends the exchange
		if c.version != mqtt5 && t.id != 0 && m.qos == 2 {
			c.sess.noteInbound(t.id, true)
		}
	} else if (!wanted || m.qos < 2) && !b.publish(m, t.retain, t.s) && !wanted {
		code = reasonNoMatchingSubscriber
	}
	switch {
	case t.id == 0:
	case m.qos == 1:
		t.ack = c.acks.push(ack{kind: typePuback, id: t.id, ready: !wanted, code: code})
	default:
		t.ack = c.acks.push(ack{kind: typePubrec, id: t.id, ready: !wanted, code: code})
	}
	c.answerReady()
	return t, true, nil
}

// stored is called by the Tap when a message is on disk, or was refused. Then
// it is not acknowledged, and the connection ends: the client will send it again.
func (b *Broker) stored(t ticket, err error) {
	b.mu.Lock()
	defer b.release()
	if err != nil {
		b.stats.TapErrors++
		b.note(slog.LevelWarn, "message cannot be kept and is not acknowledged", logClient, t.c.id, logTopic, t.m.topic, logWhy, err)
		if t.m.qos == 2 && t.id != 0 {
			delete(t.s.inbound, t.id)
		}
		if t.id != 0 && !t.c.gone {
			t.c.fail(err)
		}
		return
	}
	if t.m.qos == 2 {
		b.publish(t.m, t.retain, t.s)
	}
	if t.id == 0 {
		return
	}
	if t.m.qos == 2 {
		t.s.safe(t.id)
	}
	if !t.c.gone {
		t.c.acks.ready(t.ack)
		t.c.answerReady()
	}
}

// inbound is how far a QoS 2 message from the client is.
type inbound byte

const (
	inboundPending inbound = iota // not yet on disk
	inboundAgain                  // not yet on disk, and the client sent it again meanwhile
	inboundSafe                   // PUBREC may be said
)

// noteInbound remembers the identifier of a QoS 2 message until PUBREL.
func (s *session) noteInbound(id uint16, safe bool) {
	if s.inbound == nil {
		s.inbound = make(map[uint16]inbound)
	}
	s.inbound[id] = inboundPending
	if safe {
		s.inbound[id] = inboundSafe
	}
}

// safe notes that the message is on disk. If the client sent it again
// meanwhile, perhaps on a new connection, that is answered too.
func (s *session) safe(id uint16) {
	state, waits := s.inbound[id]
	if !waits {
		return
	}
	s.inbound[id] = inboundSafe
	if state == inboundAgain && s.conn != nil {
		s.conn.acks.readyID(typePubrec, id)
		s.conn.answerReady()
	}
}

// released is called for PUBREL. It is answered always: the client may not know
// that its PUBREL came before.
func (b *Broker) released(c *conn, id uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return
	}
	code := reasonSuccess
	if _, known := c.sess.inbound[id]; !known {
		code = reasonUnknownID
	}
	delete(c.sess.inbound, id)
	c.answer(typePubcomp, id, code)
}

// tooMany holds a client of MQTT 5 to the number of messages that it was told
// ([MQTT-3.3.4-7]). The lock is held.
func (c *conn) tooMany(qos byte, id uint16) error {
	if c.version != mqtt5 || qos == 0 {
		return nil
	}
	if _, again := c.sess.inbound[id]; qos == 2 && again {
		return nil
	}
	if c.acks.unanswered(typePuback)+len(c.sess.inbound) >= c.b.limits.receiveMaximum {
		return violatedAs(reasonReceiveMaximum, "more than %d messages before they were acknowledged", c.b.limits.receiveMaximum)
	}
	return nil
}
