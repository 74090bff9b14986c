package wire

// Sizes of RTU frames (serial line, 2.5.1).
const (
	MaxRTU          = 256
	rtuOverhead     = 3 // unit and CRC
	RTURequestSize  = requestSize + rtuOverhead
	exceptionSize   = 2 + rtuOverhead
	minRTUReplySize = exceptionSize
)

// RTUReplySize returns the length of the frame that answers r.
func RTUReplySize(r Request) int { return r.ReplySize() + rtuOverhead }

// AppendRTU appends the frame around a PDU.
func AppendRTU(b []byte, unit byte, pdu []byte) []byte {
	start := len(b)
	b = append(b, unit)
	b = append(b, pdu...)
	crc := CRC(b[start:])
	return append(b, byte(crc), byte(crc>>8))
}

// RTUFrame is a frame with a right checksum. PDU points into the bytes it was found in.
type RTUFrame struct {
	Unit byte
	PDU  []byte
}

// Status says what bytes may still become.
type Status byte

// What a parser says of the bytes it was given.
const (
	Invalid    Status = iota // this can never be a frame
	Incomplete               // it may become one
	Complete
)

// RTUReplyAt looks for the reply of a slave at the start of b, whose length
// follows from its function and byte count. n is the length of the frame when
// it is complete.
func RTUReplyAt(b []byte) (f RTUFrame, n int, status Status) {
	if len(b) < 2 {
		return f, 0, Incomplete
	}
	n, status = replyLength(b[1:])
	if n += rtuOverhead; status != Complete || n > MaxRTU {
		if status == Complete {
			status = Invalid
		}
		return f, 0, status
	}
	if len(b) < n {
		return f, 0, Incomplete
	}
	if !crcOK(b[:n]) {
		return f, 0, Invalid
	}
	return RTUFrame{Unit: b[0], PDU: b[1 : n-2]}, n, Complete
}

// replyLength is how long the PDU of a reply is that begins so; Complete says
// that this is known, not that it is all there.
func replyLength(pdu []byte) (n int, status Status) {
	switch f := Function(pdu[0]); {
	case f&exceptionFlag != 0 && (f &^ exceptionFlag).known():
		return 2, Complete
	case f.Writes():
		return writeReplySize(f), Complete
	case f == Identify:
		n, ok := identityLength(pdu)
		switch {
		case !ok:
			return 0, Invalid
		case n == 0:
			return 0, Incomplete
		}
		return n, Complete
	case !f.reads():
		return 0, Invalid
	case len(pdu) < 2:
		return 0, Incomplete
	case pdu[1] == 0 || !f.Bits() && pdu[1]%2 != 0:
		return 0, Invalid
	default:
		return int(pdu[1]) + 2, Complete
	}
}

// FindRTURequest looks for the first request, as a slave does, at any offset:
// noise before it is skipped. drop is how many bytes are done with, the frame
// included; ok says that there is a frame.
//
// Function codes we do not know are found as well if they come alone and whole,
// so that a slave can refuse them.
func FindRTURequest(b []byte) (f RTUFrame, drop int, ok bool) {
	for i := range b {
		rest := b[i:]
		if len(rest) < 2 {
			break
		}
		n := requestLength(rest[1:]) + rtuOverhead
		if n > rtuOverhead && n <= len(rest) && n <= MaxRTU && crcOK(rest[:n]) {
			return RTUFrame{Unit: rest[0], PDU: rest[1 : n-2]}, i + n, true
		}
	}
	if len(b) >= rtuOverhead+1 && len(b) <= MaxRTU && !Function(b[1]).known() && crcOK(b) {
		return RTUFrame{Unit: b[0], PDU: b[1 : len(b)-2]}, len(b), true
	}
	return f, max(0, len(b)-MaxRTU), false
}
