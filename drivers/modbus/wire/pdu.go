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
	ReadWrite      Function = 23 // reads registers after it wrote some
)

// Identify is the function that asks an instrument what it is (application
// protocol, 6.21); identifyKind says that of several things 43 can ask.
const (
	Identify     Function = 43
	identifyKind          = 14
)

// The most that one request may ask for (application protocol, 6.1 to 6.4).
const (
	MaxBits      = 2000
	MaxRegisters = 125
)

// MaxPDU is the longest there is (application protocol, 4.1).
const MaxPDU = 253

// exceptionFlag marks the function of an exception reply.
const exceptionFlag = 0x80

// Bits reports whether the function reads bits, not registers.
func (f Function) Bits() bool { return f == ReadCoils || f == ReadDiscreteInputs }

// Writes reports whether the function is one of those that write.
func (f Function) Writes() bool {
	return f == WriteCoil || f == WriteRegister || f == WriteCoils || f == WriteRegisters || f == MaskRegister
}

// Table returns the function that reads what this one reads: itself, except for
// ReadWrite, which reads holding registers.
func (f Function) Table() Function {
	if f == ReadWrite {
		return ReadHoldingRegisters
	}
	return f
}

// reads reports whether the answer to the function is a byte count and so much data.
func (f Function) reads() bool { return f >= ReadCoils && f <= ReadInputRegisters || f == ReadWrite }

// known reports whether the function is one of those that are spoken here.
func (f Function) known() bool { return f.reads() || f.Writes() || f == Identify }

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
	case WriteCoil, WriteCoils:
		return "write coil"
	case WriteRegister, WriteRegisters, MaskRegister:
		return "write holding"
	case ReadWrite:
		return "write and read holding"
	case Identify:
		return "identify"
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

// Request asks for Count bits or registers from Address on, or writes so many. It
// holds all that can be written, so that it is whole without memory of its own
// and two of them compare.
type Request struct {
	Function Function
	Address  uint16
	Count    uint16 // of functions 5 and 6 the value, of 22 the mask of what stays

	WriteAddress uint16 // of function 23, where Address and Count are what is read
	WriteCount   uint16

	Wide bool // every address that is read is a register of 32 bits, as of Enron and Daniel

	Data [MaxWriteData]byte // of functions 15, 16 and 23 what is written, of 22 what is set
}

// MaxWriteData is the most that one request may write: 1968 bits or 123 registers.
const MaxWriteData = 2 * maxWriteRegisters

// requestSize is the length of every request PDU of the reading functions.
const requestSize = 5

// AppendPDU appends the request. A request that writes more than one may is cut.
func (r Request) AppendPDU(b []byte) []byte {
	b = append(b, byte(r.Function))
	b = binary.BigEndian.AppendUint16(b, r.Address)
	b = binary.BigEndian.AppendUint16(b, r.Count)
	switch data := r.written(); r.Function {
	case WriteCoils, WriteRegisters:
		b = append(b, byte(len(data)))
		b = append(b, data...)
	case MaskRegister:
		b = append(b, data...)
	case ReadWrite:
		b = binary.BigEndian.AppendUint16(b, r.WriteAddress)
		b = binary.BigEndian.AppendUint16(b, r.WriteCount)
		b = append(b, byte(len(data)))
		b = append(b, data...)
	case Identify: // Address is the kind of access and the first object
		b = append(b[:len(b)-4], identifyKind, byte(r.Address>>8), byte(r.Address))
	}
	return b
}

// written returns the part of Data that goes on the wire.
func (r *Request) written() []byte {
	size := 0
	switch r.Function {
	case WriteCoils:
		size = (int(r.Count) + 7) / 8
	case WriteRegisters:
		size = 2 * int(r.Count)
	case ReadWrite:
		size = 2 * int(r.WriteCount)
	case MaskRegister:
		size = 2
	}
	return r.Data[:min(size, MaxWriteData)]
}

// DataSize returns how many data bytes the answer has. Of functions that only
// write, and of 43, it means nothing.
func (r Request) DataSize() int {
	switch {
	case r.Function.Bits():
		return (int(r.Count) + 7) / 8
	case r.Wide:
		return 4 * int(r.Count)
	default:
		return 2 * int(r.Count)
	}
}

// ReplySize returns the length of the PDU that answers.
func (r Request) ReplySize() int {
	switch {
	case r.Function.Writes():
		return writeReplySize(r.Function)
	case r.Function == Identify:
		return MaxPDU // nobody knows before
	}
	return 2 + r.DataSize()
}

// writeReplySize is the length of the PDU that confirms.
func writeReplySize(f Function) int {
	if f == MaskRegister {
		return writeReplyMost
	}
	return requestSize
}

const writeReplyMost = requestSize + 2

// requestLength is how long the PDU of a request is that begins so; 0 while
// there is too little of it to say, or where the function is not known.
func requestLength(pdu []byte) int {
	count := func(at int) int {
		if len(pdu) <= at {
			return 0
		}
		return at + 1 + int(pdu[at])
	}
	switch f := Function(pdu[0]); {
	case f == ReadWrite:
		return count(9)
	case f == WriteCoils || f == WriteRegisters:
		return count(5)
	case f == MaskRegister:
		return requestSize + 2
	case f == Identify:
		return 4
	case f.known():
		return requestSize
	default:
		return 0
	}
}

// ParseRequest reads a request as a slave does. The error is the Exception to answer with: the function first, then
// the count, then the range (application protocol, figures 11 to 30).
func ParseRequest(pdu []byte) (Request, error) {
	if len(pdu) == 0 {
		return Request{}, IllegalFunction
	}
	r := Request{Function: Function(pdu[0])}
	if !r.Function.known() || r.Function == Identify {
		return r, IllegalFunction
	}
	if len(pdu) != requestLength(pdu) {
		return r, IllegalValue
	}
	r.Address = binary.BigEndian.Uint16(pdu[1:])
	r.Count = binary.BigEndian.Uint16(pdu[3:])
	switch r.Function {
	case ReadWrite:
		r.WriteAddress, r.WriteCount = binary.BigEndian.Uint16(pdu[5:]), binary.BigEndian.Uint16(pdu[7:])
		copy(r.Data[:], pdu[10:])
	case WriteCoils, WriteRegisters:
		copy(r.Data[:], pdu[6:])
	case MaskRegister:
		copy(r.Data[:], pdu[5:])
	}
	return r, r.check(pdu)
}

// check says why a slave refuses the request, which lies in pdu.
func (r *Request) check(pdu []byte) error {
	most, counted := MaxRegisters, true
	switch r.Function {
	case ReadCoils, ReadDiscreteInputs:
		most = MaxBits
	case WriteCoils:
		most = maxWriteBits
	case WriteRegisters:
		most = maxWriteRegisters
	case WriteCoil:
		if r.Count != 0 && r.Count != CoilOn {
			return IllegalValue
		}
		counted = false
	case WriteRegister, MaskRegister:
		counted = false
	case ReadWrite:
		if r.WriteCount == 0 || r.WriteCount > maxReadWriteRegisters || int(pdu[9]) != 2*int(r.WriteCount) {
			return IllegalValue
		}
	}
	switch {
	case !counted:
		return nil
	case r.Count == 0 || int(r.Count) > most, (r.Function == WriteCoils || r.Function == WriteRegisters) && int(pdu[5]) != len(r.written()):
		return IllegalValue
	case int(r.Address)+int(r.Count) > 1<<16, int(r.WriteAddress)+int(r.WriteCount) > 1<<16:
		return IllegalAddress
	}
	return nil
}

// The most that one request may write (application protocol, 6.11, 6.12, 6.17).
const (
	maxWriteBits          = 1968
	maxWriteRegisters     = 123
	maxReadWriteRegisters = 121
)

// CoilOn is the value with which function 5 sets a coil; 0 clears it.
const CoilOn = 0xFF00

// AppendConfirmation appends the answer of a slave to a request that writes, and
// does not read: the request, without the data of functions 15 and 16.
func (r Request) AppendConfirmation(b []byte) []byte {
	b = append(b, byte(r.Function))
	b = binary.BigEndian.AppendUint16(b, r.Address)
	b = binary.BigEndian.AppendUint16(b, r.Count)
	if r.Function == MaskRegister {
		b = append(b, r.Data[:2]...)
	}
	return b
}

// ParseReply returns the data of a reply to r. The error is an Exception, or
// ErrPDU when this cannot be the answer.
func (r Request) ParseReply(pdu []byte) ([]byte, error) {
	if len(pdu) == 2 && pdu[0] == byte(r.Function)|exceptionFlag {
		return nil, Exception(pdu[1])
	}
	if r.Function.Writes() {
		var confirmation [writeReplyMost]byte
		if string(pdu) != string(r.AppendConfirmation(confirmation[:0])) {
			return nil, ErrPDU
		}
		return nil, nil
	}
	if r.Function == Identify {
		return parseIdentity(pdu)
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
