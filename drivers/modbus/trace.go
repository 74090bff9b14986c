package modbus

import (
	"bytes"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Trace has f called with every frame until stop is called: what was sent, and
// what came, whole frames where it is frames. f must not block, and must not
// keep the frame's Bytes. It is safe for concurrent use.
func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) { return d.keep.Traces.Watch(f) }

// viewer puts the bytes of a line together again as frames. It belongs to one
// open line and its goroutine.
type viewer struct {
	traces   *gateway.Traces
	protocol Protocol
	request  []byte // that was sent last
	got      []byte // since then, and not shown yet
	last     time.Time
	room     [wire.MaxRTU]byte
}

// sent shows a request, and before it what came and was no frame.
func (v *viewer) sent(p []byte) {
	if !v.traces.Watched() {
		v.request, v.got = v.request[:0], v.got[:0]
		return
	}
	v.flush()
	v.request = append(v.request[:0], p...)
	v.traces.Show(gateway.Frame{At: time.Now(), Sent: true, Bytes: p, Text: v.protocol.describe(p, true)})
}

// came takes what was read, and shows each frame as soon as it is one, after
// what stood before it.
func (v *viewer) came(p []byte) {
	if !v.traces.Watched() {
		return
	}
	v.got, v.last = append(v.got, p...), time.Now()
	for i := 0; i < len(v.got); i++ {
		n, text := v.frameAt(i)
		if n == 0 {
			continue
		}
		v.take(i, v.rubbish(v.got[:i]))
		v.take(n, text)
		i = -1
	}
	if len(v.got) > maxGot {
		v.flush()
	}
}

// frameAt is the length and the meaning of what begins at got[i]; 0 for nothing.
func (v *viewer) frameAt(i int) (n int, text string) {
	rest := v.got[i:]
	n = v.protocol.replyLength(rest, v.room[:])
	// A write is confirmed by the same bytes, so nobody can tell that from an echo.
	if n == 0 && len(v.request) > 0 && bytes.HasPrefix(rest, v.request) {
		return len(v.request), "echo of the request"
	}
	if n == 0 {
		return 0, ""
	}
	return n, v.protocol.describe(rest[:n], false)
}

// take shows the first n bytes, if there are any.
func (v *viewer) take(n int, text string) {
	if n > 0 {
		v.traces.Show(gateway.Frame{At: v.last, Bytes: v.got[:n], Text: text})
		v.got = v.got[:copy(v.got, v.got[n:])]
	}
}

func (v *viewer) flush() { v.take(len(v.got), v.rubbish(v.got)) }

// rubbish says what bytes may have been that are no frame.
func (v *viewer) rubbish(b []byte) string {
	if f := v.protocol.framing; f != nil && len(b) >= f.size(shortestReply) {
		return fmt.Sprintf("%d bytes, wrong checksum or no frame", len(b))
	}
	return fmt.Sprintf("%d bytes that are no frame", len(b))
}

// shortestReply is the length of a refusal, which no PDU is below.
const shortestReply = 2

// replyLength is how long the reply is that b begins with; 0 for none.
func (p Protocol) replyLength(b, room []byte) int {
	var n int
	var status wire.Status
	if p.framing == nil {
		_, n, status = wire.MBAPAt(b)
	} else {
		_, n, status = p.framing.at(b, room)
	}
	if status != wire.Complete {
		return 0
	}
	return n
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
