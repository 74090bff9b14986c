package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// returnCodes are what 3.1.1 has instead of reasons (3.2.2.3). Other reasons
// than these do not refuse a CONNECT there: the connection is closed.
var returnCodes = map[reason]byte{
	reasonVersion: 1, reasonClientID: 2, reasonUnavailable: 3, reasonBadLogin: 5, reasonNotAuthorized: 5,
}

// maxClientID bounds client identifiers. The protocol asks for 23 bytes
// ([MQTT-3.1.3-5]); UUIDs with a prefix are the longest in use.
const maxClientID = 256

// connect is what a CONNECT asks for.
type connect struct {
	version   version
	clean     bool   // begin without what there was
	expiry    uint32 // seconds that the session outlives its connection; never for the greatest
	keepalive time.Duration
	clientID  string
	assigned  bool // the client gave none
	named     bool // a user name was given
	username  string
	password  []byte
	will      *will

	receiveMaximum int  // messages that may be on their way to it
	maximumPacket  int  // bytes of one packet to it; 0 for any
	problems       bool // it wants to hear why
}

// never is the expiry of a session that stays.
const never = 1<<32 - 1

// will is what is published when a connection ends without DISCONNECT.
type will struct {
	message
	retain bool
	delay  time.Duration // and how long after
	life   time.Duration // of the message, from then on
	mortal bool          // it has one
}

// refusal is a CONNECT that is answered before the connection is closed.
type refusal struct {
	code reason
	why  string
}

func (r refusal) Error() string { return r.why }

// The flags of a CONNECT (MQTT 3.1.1, 3.1.2.3).
const (
	connectReserved   = 1 << 0
	connectClean      = 1 << 1
	connectWill       = 1 << 2
	connectWillRetain = 1 << 5
	connectPassword   = 1 << 6
	connectUser       = 1 << 7
)

// parseConnect reads the body of a CONNECT. A refusal is answered before the
// connection is closed; so is a violation of what speaks MQTT 5. The version is
// known as soon as it was read, also where the rest is wrong.
func parseConnect(body []byte) (connect, error) {
	r := cursor{buf: body}
	c := connect{receiveMaximum: 1<<16 - 1, problems: true}
	name, level := r.text(), r.byte()
	if r.bad {
		return c, malformed("CONNECT is cut short")
	}
	if err := checkProtocol(name, level); err != nil {
		return c, err
	}
	c.version = version(level)
	flags := r.byte()
	if err := checkConnectFlags(flags, c.version); err != nil {
		return c, err
	}
	c.clean, c.named = flags&connectClean != 0, flags&connectUser != 0
	// [MQTT-3.1.2-24]; 5.0: [MQTT-3.1.2-22]: one and a half times what the client says.
	c.keepalive = time.Duration(r.uint16()) * time.Second * 3 / 2
	if err := c.readProperties(&r); err != nil {
		return c, err
	}
	c.clientID = r.text()
	if flags&connectWill != 0 {
		if err := c.readWill(&r, flags); err != nil {
			return c, err
		}
	}
	if c.named {
		c.username = r.text()
	}
	if flags&connectPassword != 0 {
		c.password = r.bytes()
	}
	if r.bad || len(r.buf) != 0 {
		return c, malformed("CONNECT whose fields do not fit its flags")
	}
	return c, c.check()
}

// readProperties reads what MQTT 5 has here, and what stands for it before.
func (c *connect) readProperties(r *cursor) error {
	if c.version != mqtt5 {
		if !c.clean {
			c.expiry = never
		}
		return nil
	}
	p, err := r.properties(typeConnect)
	if err != nil {
		return err
	}
	c.expiry = p.or(propSessionExpiry, 0)
	c.receiveMaximum = int(p.or(propReceiveMaximum, 1<<16-1))
	c.maximumPacket = int(min(p.or(propMaximumPacket, 0), 1<<31-1))
	c.problems = p.or(propRequestProblem, 1) == 1
	if p.given(propAuthMethod) { // [MQTT-4.12.0-1]
		return refusal{reasonAuthMethod, fmt.Sprintf("the authentication method %q is not known; use a user name and a password", p.text[propAuthMethod])}
	}
	if p.given(propAuthData) {
		return violated("authentication data without a method")
	}
	return nil
}

func (c *connect) readWill(r *cursor, flags byte) error {
	c.will = &will{retain: flags&connectWillRetain != 0}
	if c.version == mqtt5 {
		p, err := r.properties(willProperties)
		if err != nil {
			return err
		}
		c.will.delay = time.Duration(p.or(propWillDelay, 0)) * time.Second
		c.will.life, c.will.mortal = time.Duration(p.or(propMessageExpiry, 0))*time.Second, p.given(propMessageExpiry)
		c.will.props = string(p.onward)
		if err := checkResponse(p); err != nil {
			return err
		}
	}
	c.will.topic = r.text()
	c.will.payload = string(r.bytes())
	c.will.qos = flags >> 3 & 3
	return nil
}

// checkResponse wants a topic where an answer is to go ([MQTT-3.3.2-14]).
func checkResponse(p properties) error {
	if !p.given(propResponseTopic) {
		return nil
	}
	if err := gateway.ValidTopic(p.text[propResponseTopic]); err != nil {
		return violatedAs(reasonProtocolError, "a response topic that %v", err)
	}
	return nil
}

// checkProtocol knows 5.0 ("MQTT", 5), 3.1.1 ("MQTT", 4) and 3.1 ("MQIsdp", 3),
// which old devices speak and which differs in nothing that a server must do.
func checkProtocol(name string, level byte) error {
	switch {
	case name == "MQTT" && (level == byte(mqtt311) || level == byte(mqtt5)), name == "MQIsdp" && level == byte(mqtt31):
		return nil
	case name == "MQTT", name == "MQIsdp": // [MQTT-3.1.2-2]
		return refusal{reasonVersion, "a protocol level that does not exist; use MQTT 5 or 3.1.1"}
	default: // [MQTT-3.1.2-1]
		return malformed("the first packet is not a CONNECT of MQTT")
	}
}

func checkConnectFlags(flags byte, v version) error {
	willQoS := flags >> 3 & 3
	switch {
	case flags&connectReserved != 0: // [MQTT-3.1.2-3]
		return malformed("CONNECT with its reserved flag set")
	case flags&connectWill == 0 && (willQoS != 0 || flags&connectWillRetain != 0): // [MQTT-3.1.2-13], [MQTT-3.1.2-15]
		return malformed("CONNECT with will flags and no will")
	case willQoS == 3: // [MQTT-3.1.2-14]
		return malformed("CONNECT with a will of QoS 3")
	case v != mqtt5 && flags&connectUser == 0 && flags&connectPassword != 0: // [MQTT-3.1.2-22]
		return violated("CONNECT with a password and no user name")
	}
	return nil
}

func (c *connect) check() error {
	if c.will != nil {
		if err := gateway.ValidTopic(c.will.topic); err != nil {
			return violatedAs(reasonTopicInvalid, "CONNECT whose will topic %v", err)
		}
		if levels(c.will.topic) > maxLevels {
			return violatedAs(reasonTopicInvalid, "CONNECT whose will topic has more than %d levels", maxLevels)
		}
	}
	switch {
	case c.clientID == "" && !c.clean && c.version != mqtt5: // [MQTT-3.1.3-8]
		return refusal{reasonClientID, "a client identifier is needed with clean session 0"}
	case len(c.clientID) > maxClientID:
		return refusal{reasonClientID, "the client identifier is too long"}
	case c.clientID == "": // [MQTT-3.1.3-6]; 5.0: [MQTT-3.1.3-7]
		c.clientID, c.assigned = "auto-"+rand.Text(), true
	}
	return nil
}

// appendConnack appends a CONNACK that accepts.
func (c *connect) appendConnack(b []byte, present bool, l limits) []byte {
	flag := byte(0)
	if present {
		flag = 1
	}
	if c.version != mqtt5 {
		return append(b, typeConnack<<4, 2, flag, 0)
	}
	var p []byte
	if c.assigned { // [MQTT-3.2.2-16]
		p = appendTextProperty(p, propAssignedID, c.clientID)
	}
	p = appendUint16Property(p, propReceiveMaximum, l.receiveMaximum)
	p = appendUint32Property(p, propMaximumPacket, uint32(l.packetBytes+maxHeader))
	p = appendUint16Property(p, propAliasMaximum, l.aliases)
	return appendConnack5(b, flag, reasonSuccess, p)
}

// takes reports whether the packet is not larger than the client takes.
func (c *connect) takes(packet []byte) bool {
	return c.maximumPacket == 0 || len(packet) <= c.maximumPacket
}

// maxHeader is the longest fixed header; the limit of a packet is of its body.
const maxHeader = 5

func appendConnack5(b []byte, flag byte, code reason, properties []byte) []byte {
	b = appendHeader(b, typeConnack<<4, 2+varintSize(len(properties))+len(properties))
	b = appendVarint(append(b, flag, byte(code)), len(properties))
	return append(b, properties...)
}

// appendRefusal appends the CONNACK that answers err, and nothing where the
// protocol has none. It never says "session present" ([MQTT-3.2.2-4]).
func (c *connect) appendRefusal(b []byte, err error) []byte {
	code := reasonUnspecified
	var r refusal
	var v violation
	switch {
	case errors.As(err, &r):
		code = r.code
	case errors.As(err, &v):
		code = v.code
	}
	if c.version == mqtt5 {
		said := appendConnack5(b, 0, code, appendTextProperty(nil, propReasonString, err.Error()))
		if c.takes(said[len(b):]) {
			return said
		}
		if said = appendConnack5(b, 0, code, nil); c.takes(said[len(b):]) { // [MQTT-3.2.2-19]
			return said
		}
		return b // [MQTT-3.1.2-24]
	}
	if old, ok := returnCodes[code]; ok && errors.As(err, &r) {
		return append(b, typeConnack<<4, 2, 0, old)
	}
	return b
}
