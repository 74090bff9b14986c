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

const (
	identityHead = 7 // function, kind, access, conformity, more, next, number
	moreFollows  = 0xFF
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
	if n, ok := identityLength(pdu); !ok || n == 0 || n != len(pdu) || Function(pdu[0]) != Identify {
		return nil, ErrPDU
	}
	return pdu[3:], nil
}

// identityLength is how long a reply is that begins so. n is 0 while there is
// too little of it to say; ok is false where it can be none.
func identityLength(pdu []byte) (n int, ok bool) {
	if len(pdu) > 1 && pdu[1] != identifyKind {
		return 0, false
	}
	if len(pdu) < identityHead {
		return 0, true
	}
	n = identityHead
	for range pdu[6] {
		if len(pdu) < n+2 {
			return 0, n+2 <= MaxPDU
		}
		n += 2 + int(pdu[n+1])
	}
	return n, n <= MaxPDU
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
	return objects, data[2], data[1] == moreFollows
}

// AppendIdentityReply appends the answer of a slave that has these objects, in
// the order of their ids: those from the one that the request names, as many as
// fit. What does not fit into any answer is left out.
func AppendIdentityReply(b, request []byte, objects []Object) []byte {
	const conformity = 0x82 // regular, one by one as well
	from, start := request[3], len(b)
	b = append(b, byte(Identify), identifyKind, request[2], conformity, 0, 0, 0)
	for _, o := range objects {
		switch end := len(b) - start + 2 + len(o.Text); {
		case o.ID < from, len(o.Text) > MaxPDU-identityHead-2:
			continue
		case end > MaxPDU:
			b[start+4], b[start+5] = moreFollows, o.ID
			return b
		}
		b = append(b, o.ID, byte(len(o.Text)))
		b = append(b, o.Text...)
		b[start+6]++
	}
	return b
}

// IsIdentityRequest reports whether a request asks a slave what it is.
func IsIdentityRequest(pdu []byte) bool {
	return len(pdu) == 4 && Function(pdu[0]) == Identify && pdu[1] == identifyKind
}
