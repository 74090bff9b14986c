package modbus

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// traces hands frames to who looks at a line. It costs one atomic load where
// nobody does.
type traces struct {
	watched atomic.Bool

	mu      sync.Mutex
	viewers []*func(gateway.Frame)
}

// Trace has f called with every frame until stop is called: what was sent, and
// what came, whole frames where it is frames. f must not block, and must not
// keep the frame's Bytes. It is safe for concurrent use.
func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) {
	t := &d.traces
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers = append(t.viewers, &f)
	t.watched.Store(true)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.viewers = slices.DeleteFunc(t.viewers, func(v *func(gateway.Frame)) bool { return v == &f })
		t.watched.Store(len(t.viewers) > 0)
	}
}

func (t *traces) show(f gateway.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, view := range t.viewers {
		(*view)(f)
	}
}

// viewer puts the bytes of a line together again as frames. It belongs to one
// open line and its goroutine.
type viewer struct {
	traces   *traces
	protocol Protocol
	got      []byte // since the last request, and not shown yet
	last     time.Time
}

// sent shows a request, and before it what came and was no frame.
func (v *viewer) sent(p []byte) {
	if !v.traces.watched.Load() {
		v.got = v.got[:0]
		return
	}
	v.flush()
	v.traces.show(gateway.Frame{At: time.Now(), Sent: true, Bytes: p, Text: v.protocol.describe(p, true)})
}

// came takes what was read, and shows it as soon as it is a frame.
func (v *viewer) came(p []byte) {
	if !v.traces.watched.Load() {
		return
	}
	v.got, v.last = append(v.got, p...), time.Now()
	for {
		n := v.protocol.replyLength(v.got)
		if n == 0 {
			break
		}
		v.traces.show(gateway.Frame{At: v.last, Bytes: v.got[:n], Text: v.protocol.describe(v.got[:n], false)})
		v.got = v.got[:copy(v.got, v.got[n:])]
	}
	if len(v.got) > maxGot {
		v.flush()
	}
}

func (v *viewer) flush() {
	if len(v.got) > 0 {
		v.traces.show(gateway.Frame{At: v.last, Bytes: v.got, Text: fmt.Sprintf("%d bytes that are no frame", len(v.got))})
		v.got = v.got[:0]
	}
}

// replyLength is how long the reply is that b begins with; 0 for none.
func (p Protocol) replyLength(b []byte) int {
	if p.framing == nil {
		if _, n, status := wire.MBAPAt(b); status == wire.Complete {
			return n
		}
		return 0
	}
	var room [wire.MaxRTU]byte
	if _, n, status := p.framing.at(b, room[:]); status == wire.Complete {
		return n
	}
	return 0
}

// describe says for people what a frame means.
func (p Protocol) describe(b []byte, sent bool) string {
	unit, pdu, ok := p.open(b, sent)
	switch {
	case !ok || len(pdu) == 0:
		return "no frame"
	case sent:
		return wire.DescribeRequest(unit, pdu)
	default:
		return wire.DescribeReply(unit, pdu)
	}
}

// open takes the frame off a PDU.
func (p Protocol) open(b []byte, sent bool) (unit byte, pdu []byte, ok bool) {
	if p.framing == nil {
		f, _, status := wire.MBAPAt(b)
		return f.Unit, f.PDU, status == wire.Complete
	}
	if _, ascii := p.framing.(asciiFraming); ascii {
		f, _, status := wire.ASCIIFrameAt(b, make([]byte, wire.MaxRTU))
		return f.Unit, f.PDU, status == wire.Complete
	}
	if sent {
		f, _, ok := wire.FindRTURequest(b)
		return f.Unit, f.PDU, ok
	}
	f, _, status := wire.RTUReplyAt(b)
	return f.Unit, f.PDU, status == wire.Complete
}
