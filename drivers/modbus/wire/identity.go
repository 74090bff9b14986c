package wire

// Object is one thing that an instrument says of itself.
type Object struct {
	ID   byte
	Text string
}

// The kinds of access to an identification (application protocol, 6.21).
const (
	basicIdentity   = 1
	regularIdentity = 2
)

// IdentityRequest asks for the objects from one on; regular asks for those as
// well that instruments may leave out.
func IdentityRequest(regular bool, from byte) Request {
	kind := uint16(basicIdentity)
	if regular {
		kind = regularIdentity
	}
	return Request{Function: Identify, Address: kind<<8 | uint16(from)}
}

// parseIdentity returns what follows the kind of access in a reply.
func parseIdentity(pdu []byte) ([]byte, error) {
	if n, ok := identityLength(pdu); !ok || n != len(pdu) {
		return nil, ErrPDU
	}
	return pdu[3:], nil
}

// identityLength is how long a reply is that begins so. n is 0 while there is
// too little of it to say; ok is false where it can be none.
func identityLength(pdu []byte) (n int, ok bool) {
	const head = 7 // function, kind, access, conformity, more, next, number
	if len(pdu) > 1 && pdu[1] != identifyKind {
		return 0, false
	}
	if len(pdu) < head {
		return 0, true
	}
	n = head
	for range pdu[6] {
		if len(pdu) < n+2 {
			return 0, n+2 <= maxPDU
		}
		n += 2 + int(pdu[n+1])
	}
	return n, n <= maxPDU
}

// Objects reads the data of an answer to an IdentityRequest. more says that
// there are others, from next on.
func Objects(data []byte) (objects []Object, next byte, more bool) {
	const head = 4 // conformity, more, next, number
	if len(data) < head {
		return nil, 0, false
	}
	for rest := data[head:]; len(rest) >= 2 && len(rest) >= 2+int(rest[1]); rest = rest[2+int(rest[1]):] {
		objects = append(objects, Object{rest[0], string(rest[2 : 2+int(rest[1])])})
	}
	return objects, data[2], data[1] == 0xFF
}

// AppendIdentityReply appends the answer of a slave that has these objects, all
// of which must fit into one.
func AppendIdentityReply(b, request []byte, objects []Object) []byte {
	b = append(b, byte(Identify), identifyKind, request[2], 0x81, 0, 0, byte(len(objects)))
	for _, o := range objects {
		b = append(b, o.ID, byte(len(o.Text)))
		b = append(b, o.Text...)
	}
	return b
}

// IsIdentityRequest reports whether a request asks a slave what it is.
func IsIdentityRequest(pdu []byte) bool {
	return len(pdu) == 4 && Function(pdu[0]) == Identify && pdu[1] == identifyKind
}
