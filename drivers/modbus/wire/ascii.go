package wire

import "bytes"

// Sizes of ASCII frames (serial line, 2.5.2): a colon, two digits for each byte
// of unit, PDU and LRC, and CR LF.
const (
	MaxASCII      = 513
	asciiOverhead = 3
	minASCII      = asciiOverhead + 2*3
)

// ASCIISize returns the length of the frame around a PDU of this length.
func ASCIISize(pdu int) int { return asciiOverhead + 2*(pdu+2) }

// AppendASCII appends the frame around a PDU.
func AppendASCII(b []byte, unit byte, pdu []byte) []byte {
	b = append(b, ':')
	b = appendHex(b, unit)
	sum := unit
	for _, c := range pdu {
		b = appendHex(b, c)
		sum += c
	}
	return append(appendHex(b, -sum), '\r', '\n')
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, digits[c>>4], digits[c&15])
}

// ASCIIFrameAt reads the frame at the start of b, into room, which has MaxRTU
// bytes; the PDU of the frame lies there. Both cases of letters are taken. A
// colon always begins a frame, so whatever stands before one is Invalid.
func ASCIIFrameAt(b, room []byte) (f RTUFrame, n int, status Status) {
	if len(b) == 0 {
		return f, 0, Incomplete
	}
	if b[0] != ':' {
		return f, 0, Invalid
	}
	end := bytes.IndexByte(b, '\n')
	if next := bytes.IndexByte(b[1:], ':'); next >= 0 && (end < 0 || next+1 < end) {
		return f, 0, Invalid
	}
	switch {
	case end < 0 && len(b) < MaxASCII:
		return f, 0, Incomplete
	case end < 0, end >= MaxASCII, end+1 < minASCII, b[end-1] != '\r', end%2 != 0:
		return f, 0, Invalid
	}
	frame, sum := room[:0], byte(0)
	for i := 1; i < end-1; i += 2 {
		high, low := hexDigit(b[i]), hexDigit(b[i+1])
		if high > 15 || low > 15 {
			return f, 0, Invalid
		}
		c := high<<4 | low
		frame = append(frame, c)
		sum += c
	}
	if sum != 0 {
		return f, 0, Invalid
	}
	return RTUFrame{Unit: frame[0], PDU: frame[1 : len(frame)-1]}, end + 1, Complete
}

// hexDigit returns the value of a digit, and more than 15 for what is none.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 16
	}
}
