package broker

import "encoding/binary"

// version is the level of the protocol that a connection speaks.
type version byte

// The levels there are (MQTT 5.0, 3.1.2.2).
const (
	mqtt31  version = 3
	mqtt311 version = 4
	mqtt5   version = 5
)

// reason is a reason code of MQTT 5 (2.4).
type reason byte

// The reasons that are said here.
const (
	reasonSuccess              reason = 0x00
	reasonDisconnectWithWill   reason = 0x04
	reasonNoMatchingSubscriber reason = 0x10
	reasonNoSubscription       reason = 0x11
	reasonUnspecified          reason = 0x80
	reasonMalformed            reason = 0x81
	reasonProtocolError        reason = 0x82
	reasonImplementation       reason = 0x83
	reasonVersion              reason = 0x84
	reasonClientID             reason = 0x85
	reasonBadLogin             reason = 0x86
	reasonNotAuthorized        reason = 0x87
	reasonUnavailable          reason = 0x88
	reasonShuttingDown         reason = 0x8B
	reasonAuthMethod           reason = 0x8C
	reasonKeepAlive            reason = 0x8D
	reasonTakenOver            reason = 0x8E
	reasonFilterInvalid        reason = 0x8F
	reasonTopicInvalid         reason = 0x90
	reasonIDInUse              reason = 0x91
	reasonUnknownID            reason = 0x92
	reasonReceiveMaximum       reason = 0x93
	reasonTopicAlias           reason = 0x94
	reasonTooLarge             reason = 0x95
	reasonRate                 reason = 0x96
	reasonQuota                reason = 0x97
	reasonAdministrative       reason = 0x98
	reasonPayloadFormat        reason = 0x99
)

// mayGive reports whether a client may give this reason in a packet of this
// type ([MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.14.2-1]).
func mayGive(packet byte, code reason) bool {
	switch packet {
	case typePuback, typePubrec:
		switch code {
		case reasonSuccess, reasonNoMatchingSubscriber, reasonUnspecified, reasonImplementation, reasonNotAuthorized,
			reasonTopicInvalid, reasonIDInUse, reasonQuota, reasonPayloadFormat:
			return true
		}
		return false
	case typePubrel, typePubcomp:
		return code == reasonSuccess || code == reasonUnknownID
	default: // DISCONNECT
		switch code {
		case reasonSuccess, reasonDisconnectWithWill, reasonUnspecified, reasonMalformed, reasonProtocolError, reasonImplementation,
			reasonTopicInvalid, reasonReceiveMaximum, reasonTopicAlias, reasonTooLarge, reasonRate, reasonQuota,
			reasonAdministrative, reasonPayloadFormat:
			return true
		}
		return false
	}
}

// property is the identifier of a property (MQTT 5.0, 2.2.2.2).
type property byte

// The properties.
const (
	propPayloadFormat   property = 1
	propMessageExpiry   property = 2
	propContentType     property = 3
	propResponseTopic   property = 8
	propCorrelationData property = 9
	propSubscriptionID  property = 11
	propSessionExpiry   property = 17
	propAssignedID      property = 18
	propAuthMethod      property = 21
	propAuthData        property = 22
	propRequestProblem  property = 23
	propWillDelay       property = 24
	propRequestResponse property = 25
	propReasonString    property = 31
	propReceiveMaximum  property = 33
	propAliasMaximum    property = 34
	propTopicAlias      property = 35
	propUser            property = 38
	propMaximumPacket   property = 39
)

// The forms of a property's value.
const (
	formFlag   = 1 + iota // a byte that is 0 or 1
	formUint16            // not 0
	formUint32
	formVarint // not 0
	formText
	formBinary
	formPair // of texts; may come several times
)

// willProperties stands for the properties of a will, which is in no packet of its own.
const willProperties = 0

// propertyTable has one row per property that a client may send: its form, and
// in which packets. zero says that 0 is a value.
var propertyTable = [64]struct {
	form    byte
	zero    bool
	packets uint16
}{
	propPayloadFormat:   {formFlag, true, in(typePublish, willProperties)},
	propMessageExpiry:   {formUint32, true, in(typePublish, willProperties)},
	propContentType:     {formText, true, in(typePublish, willProperties)},
	propResponseTopic:   {formText, true, in(typePublish, willProperties)},
	propCorrelationData: {formBinary, true, in(typePublish, willProperties)},
	propSubscriptionID:  {formVarint, false, in(typeSubscribe)},
	propSessionExpiry:   {formUint32, true, in(typeConnect, typeDisconnect)},
	propAuthMethod:      {formText, true, in(typeConnect)},
	propAuthData:        {formBinary, true, in(typeConnect)},
	propRequestProblem:  {formFlag, true, in(typeConnect)},
	propWillDelay:       {formUint32, true, in(willProperties)},
	propRequestResponse: {formFlag, true, in(typeConnect)},
	propReasonString:    {formText, true, in(typePuback, typePubrec, typePubrel, typePubcomp, typeDisconnect)},
	propReceiveMaximum:  {formUint16, false, in(typeConnect)},
	propAliasMaximum:    {formUint16, true, in(typeConnect)},
	propTopicAlias:      {formUint16, true, in(typePublish)}, // 0 has a reason code of its own
	propUser: {formPair, true, in(typeConnect, typePublish, willProperties, typePuback, typePubrec, typePubrel, typePubcomp,
		typeSubscribe, typeUnsubscribe, typeDisconnect)},
	propMaximumPacket: {formUint32, false, in(typeConnect)},
}

func in(packets ...byte) (set uint16) {
	for _, p := range packets {
		set |= 1 << p
	}
	return set
}

// handedOn are the properties of a message that belong to its receivers, and go
// to them as they came and in their order ([MQTT-3.3.2-4], [MQTT-3.3.2-18], …).
const handedOn uint64 = 1<<propPayloadFormat | 1<<propContentType | 1<<propResponseTopic | 1<<propCorrelationData | 1<<propUser

// properties are those of one packet.
type properties struct {
	has    uint64     // set of those that came
	number [64]uint32 // of those that are numbers
	text   map[property]string
	onward []byte // those of a message that are handed on
}

func (p *properties) given(id property) bool { return p.has&(1<<id) != 0 }

// or returns a number, or what it is when it was not given.
func (p *properties) or(id property, otherwise uint32) uint32 {
	if p.given(id) {
		return p.number[id]
	}
	return otherwise
}

// properties reads the properties of a packet of this type.
func (r *cursor) properties(packet byte) (properties, error) {
	var p properties
	length := r.varint()
	if r.bad || len(r.buf) < length {
		return p, malformed("properties are cut short")
	}
	in := cursor{buf: r.buf[:length]}
	r.buf = r.buf[length:]
	for len(in.buf) > 0 {
		if err := p.read(&in, packet); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *properties) read(r *cursor, packet byte) error {
	whole := r.buf
	id := property(r.byte())
	if int(id) >= len(propertyTable) || propertyTable[id].packets&(1<<packet) == 0 {
		return malformed("property %d in a packet of type %d", id, packet)
	}
	row := propertyTable[id]
	if p.given(id) && row.form != formPair {
		return violated("property %d twice", id)
	}
	p.has |= 1 << id
	switch row.form {
	case formFlag:
		p.number[id] = uint32(r.byte())
	case formUint16:
		p.number[id] = uint32(r.uint16())
	case formUint32:
		p.number[id] = r.uint32()
	case formVarint:
		p.number[id] = uint32(r.varint())
	case formText:
		p.keep(id, r.text())
	case formBinary:
		r.bytes()
	case formPair:
		r.text()
		r.text()
	}
	switch {
	case r.bad:
		return malformed("property %d is cut short or is no UTF-8", id)
	case row.form == formFlag && p.number[id] > 1, !row.zero && p.number[id] == 0:
		return violated("property %d is %d", id, p.number[id])
	case handedOn&(1<<id) != 0:
		p.onward = append(p.onward, whole[:len(whole)-len(r.buf)]...)
	}
	return nil
}

// keep keeps the texts that the broker looks at.
func (p *properties) keep(id property, text string) {
	if id != propResponseTopic && id != propAuthMethod {
		return
	}
	if p.text == nil {
		p.text = make(map[property]string)
	}
	p.text[id] = text
}

// appendVarint appends a variable byte integer (MQTT 5.0, 1.5.5).
func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// varintSize is how long appendVarint makes it.
func varintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendUint16Property(b []byte, id property, n int) []byte {
	return binary.BigEndian.AppendUint16(append(b, byte(id)), uint16(n))
}

func appendUint32Property(b []byte, id property, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(id)), n)
}

func appendTextProperty(b []byte, id property, s string) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, byte(id)), uint16(len(s))), s...)
}
