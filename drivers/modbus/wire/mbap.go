package wire

import "encoding/binary"

// Sizes of frames over TCP (messaging on TCP/IP, 3.1.3).
const (
	MBAPHeader = 7
	MaxMBAP    = MBAPHeader + 253

	// The length field counts the unit and a PDU of 1 to 253 bytes.
	minMBAPLength = 2
	maxMBAPLength = 254
)

// MBAPFrame is a frame over TCP. PDU points into the bytes it was found in.
type MBAPFrame struct {
	Transaction uint16
	Unit        byte
	PDU         []byte
}

// AppendMBAP appends the frame around a PDU.
func AppendMBAP(b []byte, transaction uint16, unit byte, pdu []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, transaction)
	b = append(b, 0, 0) // protocol 0 is Modbus
	b = binary.BigEndian.AppendUint16(b, uint16(len(pdu)+1))
	b = append(b, unit)
	return append(b, pdu...)
}

// MBAPAt reads the frame at the start of b. n is its length when it is
// complete. After Invalid nothing more can be read from the connection: a byte
// stream has no place to start anew.
func MBAPAt(b []byte) (f MBAPFrame, n int, status Status) {
	if len(b) >= 4 && (b[2] != 0 || b[3] != 0) {
		return f, 0, Invalid
	}
	if len(b) < 6 {
		return f, 0, Incomplete
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < minMBAPLength || length > maxMBAPLength {
		return f, 0, Invalid
	}
	n = 6 + length
	if len(b) < n {
		return f, 0, Incomplete
	}
	return MBAPFrame{Transaction: binary.BigEndian.Uint16(b), Unit: b[6], PDU: b[MBAPHeader:n]}, n, Complete
}
