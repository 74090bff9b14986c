package broker

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"
)

// The types of control packets (MQTT 3.1.1, 2.2.1).
const (
	typeConnect     = 1
	typeConnack     = 2
	typePublish     = 3
	typePuback      = 4
	typePubrec      = 5
	typePubrel      = 6
	typePubcomp     = 7
	typeSubscribe   = 8
	typeSuback      = 9
	typeUnsubscribe = 10
	typeUnsuback    = 11
	typePingreq     = 12
	typePingresp    = 13
	typeDisconnect  = 14
	typeAuth        = 15
)

// The bits of a PUBLISH's first byte (MQTT 3.1.1, 3.3.1).
const (
	flagRetain = 1 << 0
	flagDup    = 1 << 3
)

// violation is what a client did against the protocol. It ends the connection
// ([MQTT-4.8.0-1]; 5.0: [MQTT-4.13.1-1]), with a DISCONNECT before where the
// protocol has one.
type violation struct {
	code reason
	text string
}

func (v violation) Error() string { return v.text }

func violated(format string, args ...any) error {
	return violatedAs(reasonProtocolError, format, args...)
}

// malformed is a packet that cannot be read.
func malformed(format string, args ...any) error { return violatedAs(reasonMalformed, format, args...) }

func violatedAs(code reason, format string, args ...any) error {
	return violation{code, fmt.Sprintf(format, args...)}
}

// packet is one control packet from a client. Its slices point into the read buffer.
type packet struct {
	kind    byte
	flags   byte       // the low four bits of the first byte
	id      uint16     // 0 where the type has none
	topic   []byte     // of a PUBLISH
	payload []byte     // of a PUBLISH
	body    []byte     // of CONNECT, SUBSCRIBE and UNSUBSCRIBE: what follows the packet id and the properties; of PUBLISH: from the topic on
	code    reason     // of acknowledgements and DISCONNECT
	props   properties // of MQTT 5
}

func (p *packet) dup() bool    { return p.flags&flagDup != 0 }
func (p *packet) qos() byte    { return p.flags >> 1 & 3 }
func (p *packet) retain() bool { return p.flags&flagRetain != 0 }

// fixedFlags are the flags that each type must have ([MQTT-2.2.2-2]), and
// whether a client may send it at all. PUBLISH has its own.
var fixedFlags = [16]struct {
	flags byte
	sent  bool
}{
	typeConnect:     {0, true},
	typePublish:     {0, true},
	typePuback:      {0, true},
	typePubrec:      {0, true},
	typePubrel:      {2, true},
	typePubcomp:     {0, true},
	typeSubscribe:   {2, true},
	typeUnsubscribe: {2, true},
	typePingreq:     {0, true},
	typeDisconnect:  {0, true},
}

// frame reads the fixed header at the start of buf. total is the length of the
// whole packet, 0 while the header itself is not complete; head is the length
// of the header. A packet whose body is longer than limit is refused before
// any of it is kept.
func frame(buf []byte, limit int) (head, total int, err error) {
	if len(buf) == 0 {
		return 0, 0, nil
	}
	kind := buf[0] >> 4
	if !fixedFlags[kind].sent && (kind != typeAuth || buf[0]&15 == 0) { // AUTH: [MQTT-4.12.0-7], as no method is known
		return 0, 0, violated("packet type %d is not for a server", kind)
	}
	if kind != typePublish && buf[0]&15 != fixedFlags[kind].flags { // 5.0: [MQTT-3.6.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1], …
		return 0, 0, malformed("packet type %d with flags %#x", kind, buf[0]&15)
	}
	length := 0
	for i := 1; i <= 4; i++ {
		if i >= len(buf) {
			return 0, 0, nil
		}
		length |= int(buf[i]&0x7f) << (7 * (i - 1))
		if buf[i] < 0x80 {
			if length > limit {
				return 0, 0, violatedAs(reasonTooLarge, "packet of %d bytes; at most %d are taken", length, limit)
			}
			return i + 1, i + 1 + length, nil
		}
	}
	return 0, 0, malformed("remaining length of more than four bytes")
}

// parse reads a complete packet that frame has measured.
func parse(buf []byte, head int, v version) (packet, error) {
	p := packet{kind: buf[0] >> 4, flags: buf[0] & 15}
	r := cursor{buf: buf[head:]}
	if v == mqtt5 && head > 2 && buf[head-1] == 0 { // [MQTT-1.5.5-1]
		return p, malformed("remaining length in more bytes than it needs")
	}
	switch p.kind {
	case typeConnect:
		p.body = r.buf
		return p, nil
	case typePublish:
		return p, parsePublish(&p, r, v)
	case typePuback, typePubrec, typePubrel, typePubcomp:
		return p, parseAck(&p, r, v)
	case typeSubscribe, typeUnsubscribe:
		return p, parseSubscribe(&p, r, v)
	case typeDisconnect:
		if v == mqtt5 {
			return p, parseCode(&p, r)
		}
	}
	if len(r.buf) != 0 { // PINGREQ, and DISCONNECT before 5, have nothing
		return p, malformed("packet type %d of a wrong length", p.kind)
	}
	return p, nil
}

func parseAck(p *packet, r cursor, v version) error {
	p.id = r.uint16()
	switch {
	case r.bad || v != mqtt5 && len(r.buf) != 0:
		return malformed("packet type %d of a wrong length", p.kind)
	case p.id == 0:
		return violated("packet identifier 0")
	case v == mqtt5:
		return parseCode(p, r)
	}
	return nil
}

// parseCode reads a reason code and properties at the end of a packet, both of
// which may be left out (MQTT 5.0, 3.4.2.1, 3.14.2.1).
func parseCode(p *packet, r cursor) (err error) {
	if len(r.buf) > 0 {
		p.code = reason(r.byte())
	}
	if !mayGive(p.kind, p.code) {
		return violated("packet type %d with reason %#x", p.kind, byte(p.code))
	}
	if len(r.buf) > 0 {
		p.props, err = r.properties(p.kind)
	}
	if err == nil && len(r.buf) != 0 {
		err = malformed("packet type %d of a wrong length", p.kind)
	}
	return err
}

func parseSubscribe(p *packet, r cursor, v version) (err error) {
	p.id = r.uint16()
	if v == mqtt5 {
		if p.props, err = r.properties(p.kind); err != nil {
			return err
		}
	}
	p.body = r.buf
	switch {
	case r.bad || len(p.body) == 0: // [MQTT-3.8.3-3], [MQTT-3.10.3-2]; 5.0: [MQTT-3.8.3-2], [MQTT-3.10.3-2]
		return violated("SUBSCRIBE or UNSUBSCRIBE without a filter")
	case p.id == 0: // [MQTT-2.3.1-1]; 5.0: [MQTT-2.2.1-3]
		return violated("packet identifier 0")
	}
	return nil
}

func parsePublish(p *packet, r cursor, v version) (err error) {
	if p.qos() == 3 { // [MQTT-3.3.1-4]
		return malformed("PUBLISH with QoS 3")
	}
	p.topic = r.bytes()
	p.body = p.topic[:len(p.topic)+len(r.buf)]
	if p.qos() > 0 {
		p.id = r.uint16()
	}
	if v == mqtt5 {
		if p.props, err = r.properties(typePublish); err != nil {
			return err
		}
	}
	p.payload = r.buf
	switch {
	case r.bad:
		return malformed("PUBLISH is cut short")
	case p.qos() > 0 && p.id == 0: // [MQTT-2.3.1-1]; 5.0: [MQTT-2.2.1-3]
		return violated("PUBLISH with packet identifier 0")
	case p.qos() == 0 && p.flags&flagDup != 0: // [MQTT-3.3.1-2]
		return malformed("PUBLISH with QoS 0 and DUP")
	}
	return nil
}

// cursor reads fields off the front of buf. Reading beyond the end sets bad and
// returns nothing.
type cursor struct {
	buf []byte
	bad bool
}

func (r *cursor) byte() byte {
	if len(r.buf) < 1 {
		r.bad = true
		return 0
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b
}

func (r *cursor) uint16() uint16 {
	if len(r.buf) < 2 {
		r.bad, r.buf = true, nil
		return 0
	}
	n := binary.BigEndian.Uint16(r.buf)
	r.buf = r.buf[2:]
	return n
}

func (r *cursor) uint32() uint32 {
	if len(r.buf) < 4 {
		r.bad, r.buf = true, nil
		return 0
	}
	n := binary.BigEndian.Uint32(r.buf)
	r.buf = r.buf[4:]
	return n
}

// varint reads a variable byte integer, which must be as short as it can be
// ([MQTT-1.5.5-1]).
func (r *cursor) varint() int {
	n := 0
	for i := range 4 {
		b := r.byte()
		if r.bad {
			return 0
		}
		n |= int(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.bad = i > 0 && b == 0
			return n
		}
	}
	r.bad = true
	return 0
}

// bytes reads a field with its length in front.
func (r *cursor) bytes() []byte {
	n := int(r.uint16())
	if len(r.buf) < n {
		r.bad, r.buf = true, nil
		return nil
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// text reads a UTF-8 string. A string that is not one sets bad ([MQTT-1.5.3-1],
// [MQTT-1.5.3-2]).
func (r *cursor) text() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.bad = true
		return ""
	}
	for _, c := range b {
		if c == 0 {
			r.bad = true
			return ""
		}
	}
	return string(b)
}

// appendHeader appends a fixed header.
func appendHeader(b []byte, first byte, length int) []byte {
	return appendVarint(append(b, first), length)
}

// appendAck appends one of the packets that consist of a packet id. A code other
// than success is said only where the protocol has codes.
func appendAck(b []byte, kind byte, id uint16, v version, code reason) []byte {
	if v != mqtt5 || code == reasonSuccess {
		return append(b, kind<<4|fixedFlags[kind].flags, 2, byte(id>>8), byte(id))
	}
	return append(b, kind<<4|fixedFlags[kind].flags, 3, byte(id>>8), byte(id), byte(code))
}

// appendDisconnect appends a DISCONNECT of MQTT 5, with the reason for people as well.
func appendDisconnect(b []byte, code reason, why string, limit int) []byte {
	size := 3 + len(why)
	if total := 4 + size + varintSize(size); why == "" || limit > 0 && total > limit || len(why) > 200 { // [MQTT-3.14.2-3]
		return append(b, typeDisconnect<<4, 1, byte(code))
	}
	b = appendHeader(b, typeDisconnect<<4, 1+varintSize(size)+size)
	b = appendVarint(append(b, byte(code)), size)
	return appendTextProperty(b, propReasonString, why)
}

// delivery is how m goes to one receiver.
type delivery struct {
	flags byte // retain and dup
	qos   byte
	id    uint16 // counts only for QoS 1 and 2
	v     version
	ids   []uint32 // subscription identifiers
	now   time.Time
}

// appendPublish appends m as a PUBLISH.
func appendPublish(b []byte, m *message, d delivery) []byte {
	length := m.size(d)
	b = appendHeader(b, typePublish<<4|d.flags|d.qos<<1, length)
	b = append(b, byte(len(m.topic)>>8), byte(len(m.topic)))
	b = append(b, m.topic...)
	if d.qos > 0 {
		b = append(b, byte(d.id>>8), byte(d.id))
	}
	if d.v == mqtt5 {
		b = m.appendProperties(b, d)
	}
	return append(b, m.payload...)
}

// size is the remaining length of m as a PUBLISH.
func (m *message) size(d delivery) int {
	n := 2 + len(m.topic) + len(m.payload)
	if d.qos > 0 {
		n += 2
	}
	if d.v == mqtt5 {
		p := m.propertiesSize(d)
		n += varintSize(p) + p
	}
	return n
}

func (m *message) propertiesSize(d delivery) int {
	n := len(m.props)
	if !m.expires.IsZero() {
		n += 5
	}
	for _, id := range d.ids {
		n += 1 + varintSize(int(id))
	}
	return n
}

func (m *message) appendProperties(b []byte, d delivery) []byte {
	b = appendVarint(b, m.propertiesSize(d))
	if !m.expires.IsZero() { // [MQTT-3.3.2-6]: what is left of it
		left := max(m.expires.Sub(d.now)+time.Second-1, 0) / time.Second
		b = appendUint32Property(b, propMessageExpiry, uint32(left))
	}
	for _, id := range d.ids {
		b = appendVarint(append(b, byte(propSubscriptionID)), int(id))
	}
	return append(b, m.props...)
}
