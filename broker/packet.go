package broker

import (
	"encoding/binary"
	"fmt"
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
)

// The bits of a PUBLISH's first byte (MQTT 3.1.1, 3.3.1).
const (
	flagRetain = 1 << 0
	flagDup    = 1 << 3
)

// violation is what a client did against the protocol. It ends the connection
// ([MQTT-4.8.0-1]).
type violation string

func (v violation) Error() string { return string(v) }

func violated(format string, args ...any) error { return violation(fmt.Sprintf(format, args...)) }

// packet is one control packet from a client. Its slices point into the read buffer.
type packet struct {
	kind    byte
	flags   byte   // the low four bits of the first byte
	id      uint16 // 0 where the type has none
	topic   []byte // of a PUBLISH
	payload []byte // of a PUBLISH
	body    []byte // of CONNECT, SUBSCRIBE and UNSUBSCRIBE: what follows the packet id; of PUBLISH: from the topic on
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
	if !fixedFlags[kind].sent {
		return 0, 0, violated("packet type %d is not for a server", kind)
	}
	if kind != typePublish && buf[0]&15 != fixedFlags[kind].flags {
		return 0, 0, violated("packet type %d with flags %#x", kind, buf[0]&15)
	}
	length := 0
	for i := 1; i <= 4; i++ {
		if i >= len(buf) {
			return 0, 0, nil
		}
		length |= int(buf[i]&0x7f) << (7 * (i - 1))
		if buf[i] < 0x80 {
			if length > limit {
				return 0, 0, violated("packet of %d bytes; at most %d are taken", length, limit)
			}
			return i + 1, i + 1 + length, nil
		}
	}
	return 0, 0, violation("remaining length of more than four bytes")
}

// parse reads a complete packet that frame has measured.
func parse(buf []byte, head int) (packet, error) {
	p := packet{kind: buf[0] >> 4, flags: buf[0] & 15}
	r := cursor{buf: buf[head:]}
	switch p.kind {
	case typeConnect:
		p.body = r.buf
	case typePublish:
		return parsePublish(p, r)
	case typePuback, typePubrec, typePubrel, typePubcomp:
		p.id = r.uint16()
		if r.bad || len(r.buf) != 0 {
			return p, violated("packet type %d of a wrong length", p.kind)
		}
		if p.id == 0 {
			return p, violation("packet identifier 0")
		}
	case typeSubscribe, typeUnsubscribe:
		p.id = r.uint16()
		p.body = r.buf
		if r.bad || len(p.body) == 0 { // [MQTT-3.8.3-3], [MQTT-3.10.3-2]
			return p, violation("SUBSCRIBE or UNSUBSCRIBE without a filter")
		}
		if p.id == 0 { // [MQTT-2.3.1-1]
			return p, violation("packet identifier 0")
		}
	default: // PINGREQ and DISCONNECT have nothing
		if len(r.buf) != 0 {
			return p, violated("packet type %d of a wrong length", p.kind)
		}
	}
	return p, nil
}

func parsePublish(p packet, r cursor) (packet, error) {
	if p.qos() == 3 { // [MQTT-3.3.1-4]
		return p, violation("PUBLISH with QoS 3")
	}
	p.topic = r.bytes()
	p.body = p.topic[:len(p.topic)+len(r.buf)]
	if p.qos() > 0 {
		p.id = r.uint16()
	}
	p.payload = r.buf
	switch {
	case r.bad:
		return p, violation("PUBLISH is cut short")
	case p.qos() > 0 && p.id == 0: // [MQTT-2.3.1-1]
		return p, violation("PUBLISH with packet identifier 0")
	case p.qos() == 0 && p.flags&flagDup != 0: // [MQTT-3.3.1-2]
		return p, violation("PUBLISH with QoS 0 and DUP")
	}
	return p, nil
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
	b = append(b, first)
	for length >= 0x80 {
		b = append(b, byte(length)|0x80)
		length >>= 7
	}
	return append(b, byte(length))
}

// appendAck appends one of the packets that consist of a packet id.
func appendAck(b []byte, kind byte, id uint16) []byte {
	return append(b, kind<<4|fixedFlags[kind].flags, 2, byte(id>>8), byte(id))
}

// appendPublish appends m as a PUBLISH. id counts only for QoS 1 and 2.
func appendPublish(b []byte, m *message, flags, qos byte, id uint16) []byte {
	length := 2 + len(m.topic) + len(m.payload)
	if qos > 0 {
		length += 2
	}
	b = appendHeader(b, typePublish<<4|flags|qos<<1, length)
	b = append(b, byte(len(m.topic)>>8), byte(len(m.topic)))
	b = append(b, m.topic...)
	if qos > 0 {
		b = append(b, byte(id>>8), byte(id))
	}
	return append(b, m.payload...)
}
