package broker

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// reader reads a connection. It holds a buffer only while there is something in
// it: most clients of a site are silent most of the time.
type reader struct {
	nc     net.Conn
	raw    syscall.RawConn // of a plain socket; nil for anything else
	try    func(fd uintptr) bool
	buf    []byte // buf[r:w] is what was read and not yet consumed
	r, w   int
	pooled *[readBytes]byte // what buf is, where it comes from the pool
	want   int              // how long the packet at the front is, 0 if that is not known
	n      int
	err    error
}

var readPool = sync.Pool{New: func() any { return new([readBytes]byte) }}

func (r *reader) init(nc net.Conn) {
	r.nc = nc
	tcp, ok := nc.(*net.TCPConn) // not any syscall.Conn: what wraps one may count or decrypt
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		r.raw = raw
		r.try = r.tryRead
	}
}

// unread is what has come and was not consumed.
func (r *reader) unread() []byte { return r.buf[r.r:r.w] }

// fill waits for more bytes. want is how long the packet at the front is, 0 if
// that is not known: the buffer grows towards it only as its bytes come.
func (r *reader) fill(want int) error {
	r.want = want
	if r.raw != nil {
		return r.fillRaw()
	}
	if r.w > r.r {
		r.room()
		n, err := r.nc.Read(r.buf[r.w:])
		return r.got(n, err)
	}
	r.drop()
	var first [64]byte // all that a silent client of this kind holds
	n, err := r.nc.Read(first[:])
	if n > 0 {
		r.room()
		copy(r.buf, first[:n])
	}
	return r.got(n, err)
}

func (r *reader) fillRaw() error {
	if r.w == r.r {
		r.drop()
	} else {
		r.room()
	}
	r.n, r.err = 0, nil
	if err := r.raw.Read(r.try); err != nil {
		return err
	}
	return r.got(r.n, r.err)
}

func (r *reader) got(n int, err error) error {
	r.w += max(n, 0)
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return err
}

// tryRead reads what is there. Where nothing is, it gives the buffer back and
// has the runtime call again.
func (r *reader) tryRead(fd uintptr) bool {
	if r.w == len(r.buf) || r.buf == nil {
		r.room()
	}
	for {
		n, err := syscall.Read(int(fd), r.buf[r.w:])
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			r.park()
			return false
		}
		r.n, r.err = n, err
		return true
	}
}

// room makes room for at least one more byte.
func (r *reader) room() {
	have, want := r.w-r.r, r.want
	switch {
	case r.buf == nil || r.pooled == nil && have < readBytes/2 && want <= readBytes: // nothing, or a parked remainder
		r.move(readPool.Get().(*[readBytes]byte))
	case want <= len(r.buf) && r.r > 0 && len(r.buf)-r.w < readBytes/4:
		copy(r.buf, r.unread())
		r.r, r.w = 0, have
	case r.w == len(r.buf):
		size := max(2*have, readBytes)
		if want > have {
			size = min(size, want)
		}
		grown := make([]byte, size)
		copy(grown, r.unread())
		r.drop()
		r.buf, r.r, r.w = grown, 0, have
	}
}

// move continues in a buffer from the pool.
func (r *reader) move(to *[readBytes]byte) {
	n := copy(to[:], r.unread())
	r.drop()
	r.pooled, r.buf, r.r, r.w = to, to[:], 0, n
}

// park gives a buffer from the pool back while nothing comes. The beginning of
// a packet is kept in a slice of its own size.
func (r *reader) park() {
	if r.pooled == nil {
		return
	}
	have := r.w - r.r
	if have > readBytes/4 {
		return
	}
	var rest []byte
	if have > 0 {
		rest = append(rest, r.unread()...)
	}
	r.drop()
	r.buf, r.w = rest, have
}

// drop forgets what is in the buffer and gives it back.
func (r *reader) drop() {
	if r.pooled != nil {
		readPool.Put(r.pooled)
	}
	r.pooled, r.buf, r.r, r.w = nil, nil, 0, 0
}
