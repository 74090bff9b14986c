package broker

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// The return codes of a CONNACK (MQTT 3.1.1, 3.2.2.3).
const (
	connectAccepted      = 0
	refusedLevel         = 1
	refusedIdentifier    = 2
	refusedUnavailable   = 3
	refusedNotAuthorized = 5
)

// maxClientID bounds client identifiers. The protocol asks for 23 bytes
// ([MQTT-3.1.3-5]); UUIDs with a prefix are the longest in use.
const maxClientID = 256

// connect is what a CONNECT asks for.
type connect struct {
	clean     bool
	keepalive time.Duration
	clientID  string
	named     bool // a user name was given
	username  string
	password  []byte
	will      *will
}

// will is what is published when a connection ends without DISCONNECT.
type will struct {
	message
	retain bool
}

// refusal is a CONNECT that is answered with a return code.
type refusal struct {
	code byte
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
// connection is closed, any other error is not.
func parseConnect(body []byte) (connect, error) {
	r := cursor{buf: body}
	name, level := r.text(), r.byte()
	if r.bad {
		return connect{}, violated("CONNECT is cut short")
	}
	if err := checkProtocol(name, level); err != nil {
		return connect{}, err
	}
	flags := r.byte()
	if err := checkConnectFlags(flags); err != nil {
		return connect{}, err
	}
	c := connect{clean: flags&connectClean != 0, named: flags&connectUser != 0}
	// [MQTT-3.1.2-24]: one and a half times what the client says.
	c.keepalive = time.Duration(r.uint16()) * time.Second * 3 / 2
	c.clientID = r.text()
	if flags&connectWill != 0 {
		c.will = &will{retain: flags&connectWillRetain != 0}
		c.will.topic = r.text()
		c.will.payload = string(r.bytes())
		c.will.qos = flags >> 3 & 3
	}
	if c.named {
		c.username = r.text()
	}
	if flags&connectPassword != 0 {
		c.password = r.bytes()
	}
	if r.bad || len(r.buf) != 0 {
		return connect{}, violated("CONNECT whose fields do not fit its flags")
	}
	return c, c.check()
}

// checkProtocol knows 3.1.1 ("MQTT", 4) and 3.1 ("MQIsdp", 3), which old
// devices speak and which differs in nothing that a server must do.
func checkProtocol(name string, level byte) error {
	switch {
	case name == "MQTT" && level == 4, name == "MQIsdp" && level == 3:
		return nil
	case name == "MQTT", name == "MQIsdp": // [MQTT-3.1.2-2]
		return refusal{refusedLevel, "a protocol level that is not in this version; use MQTT 3.1.1"}
	default: // [MQTT-3.1.2-1]
		return violated("the first packet is not a CONNECT of MQTT")
	}
}

func checkConnectFlags(flags byte) error {
	willQoS := flags >> 3 & 3
	switch {
	case flags&connectReserved != 0: // [MQTT-3.1.2-3]
		return violated("CONNECT with its reserved flag set")
	case flags&connectWill == 0 && (willQoS != 0 || flags&connectWillRetain != 0): // [MQTT-3.1.2-13], [MQTT-3.1.2-15]
		return violated("CONNECT with will flags and no will")
	case willQoS == 3: // [MQTT-3.1.2-14]
		return violated("CONNECT with a will of QoS 3")
	case flags&connectUser == 0 && flags&connectPassword != 0: // [MQTT-3.1.2-22]
		return violated("CONNECT with a password and no user name")
	}
	return nil
}

func (c *connect) check() error {
	if c.will != nil {
		if err := gateway.ValidTopic(c.will.topic); err != nil {
			return violated("CONNECT whose will topic %v", err)
		}
		if levels(c.will.topic) > maxLevels {
			return violated("CONNECT whose will topic has more than %d levels", maxLevels)
		}
	}
	switch {
	case c.clientID == "" && !c.clean: // [MQTT-3.1.3-8]
		return refusal{refusedIdentifier, "a client identifier is needed with clean session 0"}
	case len(c.clientID) > maxClientID:
		return refusal{refusedIdentifier, "the client identifier is too long"}
	case c.clientID == "": // [MQTT-3.1.3-6]
		c.clientID = "auto-" + rand.Text()
	}
	return nil
}

// appendConnack appends a CONNACK. A refusal never says "session present" ([MQTT-3.2.2-4]).
func appendConnack(b []byte, present bool, code byte) []byte {
	flag := byte(0)
	if present && code == connectAccepted {
		flag = 1
	}
	return append(b, typeConnack<<4, 2, flag, code)
}

// asRefusal returns the code that answers err, and false where nothing is answered.
func asRefusal(err error) (byte, bool) {
	var r refusal
	if errors.As(err, &r) {
		return r.code, true
	}
	return 0, false
}
