package wire

import (
	"fmt"
	"strings"
)

// DescribeRequest says for people what a request asks.
func DescribeRequest(unit byte, pdu []byte) string {
	if IsIdentityRequest(pdu) {
		return fmt.Sprintf("unit %d: identify", unit)
	}
	r, err := ParseRequest(pdu)
	if err != nil {
		return fmt.Sprintf("unit %d: function %d, % X", unit, pdu[0], pdu[1:])
	}
	return fmt.Sprintf("unit %d: %s", unit, r)
}

// String says for people what the request asks: "read holding 100 to 101".
func (r Request) String() string {
	switch r.Function {
	case WriteCoil:
		return fmt.Sprintf("write coil %d: %t", r.Address, r.Count != 0)
	case WriteRegister:
		return fmt.Sprintf("write holding %d: %d", r.Address, r.Count)
	case MaskRegister:
		return fmt.Sprintf("write some bits of holding %d", r.Address)
	case Identify:
		return "identify"
	}
	span := fmt.Sprintf("%s %d", r.Function, r.Address)
	if r.Count > 1 {
		span += fmt.Sprintf(" to %d", int(r.Address)+int(r.Count)-1)
	}
	if r.Function.Writes() || r.Function == ReadWrite {
		return span
	}
	return "read " + span
}

// DescribeReply says for people what a reply holds.
func DescribeReply(unit byte, pdu []byte) string {
	f := Function(pdu[0])
	switch {
	case f&exceptionFlag != 0 && len(pdu) == 2:
		return fmt.Sprintf("unit %d: %v", unit, Exception(pdu[1]))
	case f.Writes():
		return fmt.Sprintf("unit %d: written", unit)
	case f == Identify:
		data, err := parseIdentity(pdu)
		if err != nil {
			break
		}
		var texts []string
		objects, _, _ := Objects(data)
		for _, o := range objects {
			texts = append(texts, o.Text)
		}
		return fmt.Sprintf("unit %d: %q", unit, strings.Join(texts, ", "))
	case f.reads() && len(pdu) >= 2:
		return fmt.Sprintf("unit %d: %d bytes % X", unit, len(pdu)-2, pdu[2:])
	}
	return fmt.Sprintf("unit %d: function %d, % X", unit, pdu[0], pdu[1:])
}
