package text

import (
	"bytes"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// framing says where a reply begins and ends.
type framing struct {
	start    []byte
	ends     [][]byte // the longest first
	length   int
	idle     time.Duration
	trailer  int
	max      int
	begins   []byte // after the start, or it is not ours
	checksum *checksum
	refusal  *ErrorFrameOptions
}

// frame is one whole reply: what it says, without start, end and checksum.
type frame struct {
	says    []byte
	damaged bool // its checksum is wrong
	foreign bool // it does not begin as ours do
	refuses bool // it is the shorter one that refuses
}

// newFraming reads the options of frames; checksum may be nil.
func newFraming(o FrameOptions, c *checksum, f *gateway.Faults) *framing {
	x := &framing{length: o.Length, idle: o.Idle, trailer: o.Trailer, max: o.Max}
	x.protect(c)
	if x.max == 0 {
		x.max = defaultMaxFrame
	}
	var err error
	if x.start, err = Unescape(o.Start); err != nil {
		f.Add("frame.start", "%v", err)
	}
	x.ends = terminators(o.End, f)
	switch {
	case len(x.ends) == 0 && o.Length == 0 && o.Idle == 0:
		f.Add("frame", "does not say where a reply ends; write end = '\\r', length = 9 or idle = \"20ms\"")
	case o.Length > 0 && (len(x.ends) > 0 || o.Idle > 0 || o.Trailer > 0):
		f.Add("frame.length", "says where a reply ends already; remove end, idle and trailer")
	case o.Length < 0 || o.Length > maxFrame || x.max < 1 || x.max > maxFrame || o.Length > x.max:
		f.Add("frame.max", "a reply has 1 to %d bytes, and length no more than max", maxFrame)
	case o.Trailer < 0 || o.Trailer > 16 || o.Trailer > 0 && len(x.ends) == 0:
		f.Add("frame.trailer", "is up to 16 bytes after an end")
	case o.Trailer > 0 && c != nil && o.Trailer != c.kind.size:
		f.Add("frame.trailer", "is %d bytes, and a checksum of this kind has %d", o.Trailer, c.kind.size)
	case o.Idle < 0 || o.Idle > maxPause:
		f.Add("frame.idle", "%s is not sensible; use 5ms to %s", o.Idle, maxPause)
	}
	return x
}

// protect gives replies a checksum, if they have one.
func (x *framing) protect(c *checksum) {
	if x.checksum = c; c != nil && !c.rx {
		x.checksum = nil
	}
}

// terminators reads end: one text, or a list of them.
func terminators(end any, f *gateway.Faults) (ends [][]byte) {
	var list []any
	switch e := end.(type) {
	case nil:
		return nil
	case []any:
		list = e
	case []string:
		for _, s := range e {
			list = append(list, s)
		}
	default:
		list = []any{e}
	}
	for _, one := range list {
		s, ok := one.(string)
		b, err := Unescape(s)
		if !ok || err != nil || len(b) == 0 {
			f.Add("frame.end", "%v is no terminator; write a text like '\\r\\n', or a list of them", one)
			continue
		}
		ends = append(ends, b)
	}
	slices.SortFunc(ends, func(a, b []byte) int { return len(b) - len(a) })
	return ends
}

// cut reports whether a frame whose beginning was missed could pass for a whole one.
func (x *framing) cut() bool { return len(x.start) == 0 && x.length == 0 }

// next takes the first frame out of what has come. quiet says that nothing more
// came for as long as a frame that ends with silence needs. used is how many
// bytes are done with, noise bytes of them that are in no frame; ok says whether
// there was a frame. It never uses the beginning of a frame that may yet end.
func (x *framing) next(b []byte, quiet bool) (f frame, used, noise int, ok bool) {
	switch {
	case x.length > 0:
		return x.nextOfLength(b)
	case len(x.ends) > 0:
		if f, used, noise, ok = x.nextEnded(b); ok || x.idle == 0 || !quiet {
			return f, used, noise, ok
		}
	}
	if x.idle == 0 || !quiet || len(b) == 0 {
		return frame{}, 0, 0, false
	}
	i := bytes.Index(b, x.start)
	if i < 0 {
		return frame{}, len(b), len(b), false
	}
	return x.open(b[i:], 0), len(b), i, true
}

// nextOfLength looks for a frame at every place where one can begin: the start,
// how ours begin and the checksum tell.
func (x *framing) nextOfLength(b []byte) (f frame, used, noise int, ok bool) {
	for i := range b {
		rest := b[i:]
		if n := min(len(rest), len(x.start)); !bytes.Equal(rest[:n], x.start[:n]) {
			continue
		}
		if f, n, whole := x.refused(rest); whole {
			return f, i + n, i, true
		}
		if x.begun(rest[min(len(rest), len(x.start)):]) {
			if len(rest) < x.length {
				return frame{}, i, i, false
			}
			f := x.open(rest[:x.length], 0)
			if !f.damaged || len(b)-i < x.length+1 {
				return f, i + x.length, i, true
			}
		} else if x.refusal != nil && len(rest) < x.refusal.Length {
			return frame{}, i, i, false
		}
	}
	return frame{}, len(b), len(b), false
}

// begun reports whether bytes may be the beginning of ours.
func (x *framing) begun(b []byte) bool {
	n := min(len(b), len(x.begins))
	return bytes.Equal(b[:n], x.begins[:n])
}

// refused looks for the shorter frame that refuses.
func (x *framing) refused(b []byte) (f frame, n int, ok bool) {
	r := x.refusal
	if r == nil || len(b) < r.Length || b[r.At]&byte(r.Mask) == 0 || len(x.begins) > 0 && b[0] != x.begins[0] {
		return frame{}, 0, false
	}
	f = frame{says: b[:r.Length], refuses: true}
	if x.checksum != nil {
		_, right := x.checksum.split(b[:r.Length], len(x.start), 0, 0)
		if !right {
			return frame{}, 0, false
		}
	}
	return f, r.Length, true
}

// nextEnded looks for the first end, and for the last start before it.
func (x *framing) nextEnded(b []byte) (f frame, used, noise int, ok bool) {
	from := 0
	if len(x.start) == 0 {
		from = x.remains(b)
	} else if from = bytes.Index(b, x.start); from < 0 {
		keep := x.partial(b)
		return frame{}, len(b) - keep, len(b) - keep, false
	}
	at, end := x.end(b, from+len(x.start))
	if at < 0 || len(b) < at+len(end)+x.trailer {
		return frame{}, from, from, false
	}
	if len(x.start) > 0 { // one that was cut off, and another
		from += bytes.LastIndex(b[from:at], x.start)
	}
	used = at + len(end) + x.trailer
	return x.open(b[from:used], len(end)), used, from, true
}

// end returns where the first end is, and which.
func (x *framing) end(b []byte, from int) (at int, end []byte) {
	at = -1
	for _, e := range x.ends {
		if i := bytes.Index(b[from:], e); i >= 0 && (at < 0 || from+i < at) {
			at, end = from+i, e
		}
	}
	return at, end
}

// remains counts the bytes of an end that stand before a frame: what was left of
// the last one, or an empty line. Where lines end, CR and LF go together.
func (x *framing) remains(b []byte) (n int) {
	for n < len(b) && slices.ContainsFunc(x.ends, func(e []byte) bool {
		return bytes.IndexByte(e, b[n]) >= 0 || lineEnd(b[n]) && lineEnd(e[len(e)-1])
	}) {
		n++
	}
	return n
}

func lineEnd(c byte) bool { return c == '\r' || c == '\n' }

// partial returns how many of the last bytes may begin a start.
func (x *framing) partial(b []byte) int {
	for n := min(len(b), len(x.start)-1); n > 0; n-- {
		if bytes.Equal(b[len(b)-n:], x.start[:n]) {
			return n
		}
	}
	return 0
}

// open takes the envelope off a whole frame.
func (x *framing) open(raw []byte, end int) frame {
	f := frame{says: raw[len(x.start) : len(raw)-end-x.trailer]}
	if x.checksum != nil {
		says, right := x.checksum.split(raw, len(x.start), end, x.trailer)
		f.says, f.damaged = says, !right
	}
	f.foreign = !bytes.HasPrefix(f.says, x.begins)
	return f
}
