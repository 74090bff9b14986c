package modbus

import (
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Protocol is one way to speak Modbus.
type Protocol struct {
	Name    string
	framing framing // nil where every frame has a transaction id
	network bool    // there is no wire to wait for, and a connection that can be opened anew
}

// The protocols a Driver speaks.
const (
	RTU          = "modbus-rtu"
	ASCII        = "modbus-ascii"
	TCP          = "modbus-tcp"
	RTUOverTCP   = "modbus-rtu-over-tcp"
	ASCIIOverTCP = "modbus-ascii-over-tcp"
)

// Protocols has one row for each of them.
var Protocols = []Protocol{
	{RTU, rtuFraming{}, false},
	{ASCII, asciiFraming{}, false},
	{TCP, nil, true},
	{RTUOverTCP, rtuFraming{}, true},
	{ASCIIOverTCP, asciiFraming{}, true},
}

func protocolOf(name string) (Protocol, bool) {
	i := slices.IndexFunc(Protocols, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, false
	}
	return Protocols[i], true
}

func protocolNames() []string {
	var names []string
	for _, p := range Protocols {
		names = append(names, p.Name)
	}
	return names
}

// framing is how a unit and a PDU lie in bytes that have no transaction id.
type framing interface {
	append(b []byte, unit byte, pdu []byte) []byte
	// at looks for the reply of a slave at the start of b; the PDU it finds may lie
	// in room, which has wire.MaxRTU bytes.
	at(b, room []byte) (f wire.RTUFrame, n int, status wire.Status)
	size(pdu int) int // of a frame
	most() int        // bytes of the longest frame
	// silence is what parts two frames on a wire.
	silence(char time.Duration) time.Duration
}

const (
	// Silence between frames (serial line, 2.5.1.1): 3.5 characters, and 1.75 ms
	// above 19200 baud, where a character takes less than half a millisecond.
	fastChar    = 500 * time.Microsecond
	fastSilence = 1750 * time.Microsecond
)

type rtuFraming struct{}

func (rtuFraming) append(b []byte, unit byte, pdu []byte) []byte { return wire.AppendRTU(b, unit, pdu) }
func (rtuFraming) at(b, _ []byte) (wire.RTUFrame, int, wire.Status) {
	return wire.RTUReplyAt(b)
}
func (rtuFraming) size(pdu int) int { return pdu + 3 }
func (rtuFraming) most() int        { return wire.MaxRTU }

func (rtuFraming) silence(char time.Duration) time.Duration {
	switch {
	case char == 0:
		return 0
	case char < fastChar:
		return fastSilence
	default:
		return char * 7 / 2
	}
}

// asciiFraming needs no silence: a colon begins a frame wherever it stands. One
// character lets the adapter turn round.
type asciiFraming struct{}

func (asciiFraming) append(b []byte, unit byte, pdu []byte) []byte {
	return wire.AppendASCII(b, unit, pdu)
}
func (asciiFraming) at(b, room []byte) (wire.RTUFrame, int, wire.Status) {
	return wire.ASCIIFrameAt(b, room)
}
func (asciiFraming) size(pdu int) int                         { return wire.ASCIISize(pdu) }
func (asciiFraming) most() int                                { return wire.MaxASCII }
func (asciiFraming) silence(char time.Duration) time.Duration { return char }
