package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Function is a Modbus function code.
type Function byte

// The functions that read.
const (
	ReadCoils            Function = 1
	ReadDiscreteInputs   Function = 2
	ReadHoldingRegisters Function = 3
	ReadInputRegisters   Function = 4
)

// The functions that write.
const (
	WriteCoil      Function = 5
	WriteRegister  Function = 6
	WriteCoils     Function = 15
	WriteRegisters Function = 16
	MaskRegister   Function = 22
)

// The most that one request may ask for (application protocol, 6.1 to 6.4).
const (
	MaxBits      = 2000
	MaxRegisters = 125
)

// exceptionFlag marks the function of an exception reply.
const exceptionFlag = 0x80

// Bits reports whether the function reads bits, not registers.
func (f Function) Bits() bool { return f == ReadCoils || f == ReadDiscreteInputs }

// Writes reports whether the function is one of those that write.
func (f Function) Writes() bool {
	return f == WriteCoil || f == WriteRegister || f == WriteCoils || f == WriteRegisters || f == MaskRegister
}

// reads reports whether the function is one we know.
func (f Function) reads() bool { return f >= ReadCoils && f <= ReadInputRegisters }

// String returns the name of the table that the function reads.
func (f Function) String() string {
	switch f {
	case ReadCoils:
		return "coil"
	case ReadDiscreteInputs:
		return "discrete"
	case ReadHoldingRegisters:
		return "holding"
	case ReadInputRegisters:
		return "input"
	default:
		return fmt.Sprintf("function %d", byte(f))
	}
}

// Exception is the code with which a slave refuses (application protocol, 7).
type Exception byte

// The exceptions.
const (
	IllegalFunction     Exception = 1
	IllegalAddress      Exception = 2
	IllegalValue        Exception = 3
	DeviceFailure       Exception = 4
	Acknowledge         Exception = 5
	DeviceBusy          Exception = 6
	MemoryParity        Exception = 8
	GatewayPath         Exception = 10
	GatewayNoResponse   Exception = 11
	highestKnownPlusOne           = 12
)

var exceptionNames = [highestKnownPlusOne]string{
	IllegalFunction: "illegal function", IllegalAddress: "illegal address", IllegalValue: "illegal value",
	DeviceFailure: "device failure", Acknowledge: "acknowledge", DeviceBusy: "device busy", MemoryParity: "memory parity error",
	GatewayPath: "gateway path unavailable", GatewayNoResponse: "gateway target does not respond",
}

// Error returns the number and the name of the exception.
func (e Exception) Error() string {
	if int(e) < len(exceptionNames) && exceptionNames[e] != "" {
		return fmt.Sprintf("exception %d, %s", byte(e), exceptionNames[e])
	}
	return fmt.Sprintf("exception %d", byte(e))
}

// ErrPDU is a reply that does not answer the request.
var ErrPDU = errors.New("the reply does not fit the request")

// Request asks for Count bits or registers from Address on, or writes so many.
type Request struct {
	Function Function
	Address  uint16
	Count    uint16  // of functions 5 and 6 the value, of 22 the mask of what stays
	Data     [8]byte // of functions 15 and 16 what is written, of 22 what is set
}

// requestSize is the length of every request PDU of the reading functions.
const requestSize = 5

// AppendPDU appends the request.
func (r Request) AppendPDU(b []byte) []byte {
	b = append(b, byte(r.Function))
	b = binary.BigEndian.AppendUint16(b, r.Address)
	b = binary.BigEndian.AppendUint16(b, r.Count)
	switch size := r.DataSize(); r.Function {
	case WriteCoils, WriteRegisters:
		b = append(b, byte(size))
		b = append(b, r.Data[:size]...)
	case MaskRegister:
		b = append(b, r.Data[:2]...)
	}
	return b
}

// DataSize returns how many data bytes the answer has.
func (r Request) DataSize() int {
	if r.Function.Bits() || r.Function == WriteCoils {
		return (int(r.Count) + 7) / 8
	}
	return 2 * int(r.Count)
}

// ReplySize returns the length of the PDU that answers.
func (r Request) ReplySize() int {
	if r.Function.Writes() {
		return writeReplySize(r.Function)
	}
	return 2 + r.DataSize()
}

// writeReplySize is the length of the PDU that confirms: it repeats the request,
// without the data of functions 15 and 16.
func writeReplySize(f Function) int {
	if f == MaskRegister {
		return requestSize + 2
	}
	return requestSize
}

// ParseRequest reads a request as a slave does. The error is the Exception to
// answer with: the function first, then the count, then the range (application
// protocol, figures 11 to 14).
func ParseRequest(pdu []byte) (Request, error) {
	if len(pdu) == 0 {
		return Request{}, IllegalFunction
	}
	r := Request{Function: Function(pdu[0])}
	if !r.Function.reads() {
		return r, IllegalFunction
	}
	if len(pdu) != requestSize {
		return r, IllegalValue
	}
	r.Address = binary.BigEndian.Uint16(pdu[1:])
	r.Count = binary.BigEndian.Uint16(pdu[3:])
	most := uint16(MaxRegisters)
	if r.Function.Bits() {
		most = MaxBits
	}
	if r.Count == 0 || r.Count > most {
		return r, IllegalValue
	}
	if int(r.Address)+int(r.Count) > 1<<16 {
		return r, IllegalAddress
	}
	return r, nil
}

// ParseReply returns the data of a reply to r. The error is an Exception, or
// ErrPDU when this cannot be the answer.
func (r Request) ParseReply(pdu []byte) ([]byte, error) {
	if len(pdu) == 2 && pdu[0] == byte(r.Function)|exceptionFlag {
		return nil, Exception(pdu[1])
	}
	if r.Function.Writes() {
		var request [16]byte
		if want := r.AppendPDU(request[:0]); len(pdu) != r.ReplySize() || string(pdu) != string(want[:len(pdu)]) {
			return nil, ErrPDU
		}
		return nil, nil
	}
	if len(pdu) != r.ReplySize() || pdu[0] != byte(r.Function) || int(pdu[1]) != r.DataSize() {
		return nil, ErrPDU
	}
	return pdu[2:], nil
}

// AppendReply appends the answer of a slave. data has DataSize bytes.
func (r Request) AppendReply(b, data []byte) []byte {
	b = append(b, byte(r.Function), byte(len(data)))
	return append(b, data...)
}

// AppendException appends the refusal of a slave.
func AppendException(b []byte, f Function, e Exception) []byte {
	return append(b, byte(f)|exceptionFlag, byte(e))
}
