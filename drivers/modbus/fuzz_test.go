package modbus

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// hostile is a line on which anything may come, in pieces, whatever is asked.
type hostile struct {
	bytes []byte
	piece int
	reads int
}

func (h *hostile) Read(p []byte) (int, error) {
	if h.reads++; len(h.bytes) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	if h.piece == 0 && h.reads%2 == 1 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p[:min(len(p), h.piece+1)], h.bytes)
	h.bytes = h.bytes[n:]
	return n, nil
}

func (h *hostile) Write(p []byte) (int, error)     { return len(p), nil }
func (h *hostile) Close() error                    { return nil }
func (h *hostile) SetReadDeadline(time.Time) error { return nil }
func (h *hostile) Discard() error                  { return nil }
func (h *hostile) CharTime() time.Duration         { return 0 }

type nobody struct{ bytes int }

func (n *nobody) strayFrame(byte, time.Time) {}
func (n *nobody) strayBytes(k int)           { n.bytes += k }
func (n *nobody) echoed()                    {}

func FuzzEngines(f *testing.F) {
	answer := []byte{3, 4, 0, 1, 0, 2}
	f.Add(wire.AppendRTU(nil, 1, answer), uint8(0), uint8(1))
	f.Add(append([]byte{1, 3, 4, 0}, wire.AppendRTU(nil, 1, answer)...), uint8(200), uint8(1))
	f.Add(append(wire.AppendRTU(nil, 2, answer), wire.AppendRTU(nil, 1, []byte{0x83, 2})...), uint8(3), uint8(1))
	f.Add(wire.AppendMBAP(nil, 1, 1, answer), uint8(9), uint8(0))
	f.Add(append(wire.AppendMBAP(nil, 0xFFFF, 1, answer), wire.AppendMBAP(nil, 1, 1, answer)...), uint8(255), uint8(0))
	f.Add(make([]byte, 3000), uint8(255), uint8(1))
	f.Add(wire.AppendASCII([]byte("\x00:01"), 1, answer), uint8(9), uint8(2))
	f.Add(append(wire.AppendASCII(nil, 1, answer), wire.AppendASCII(nil, 2, answer)...), uint8(255), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, piece, kind uint8) {
		l := &hostile{bytes: b, piece: int(piece)}
		w := &nobody{}
		var x engine = newMBAP(l, engineOptions{}, w)
		if kind%3 > 0 {
			r := newRTU(l, []framing{rtuFraming{}, asciiFraming{}}[kind%3-1], time.Nanosecond, engineOptions{echo: echoAuto}, w)
			r.silence = 0
			x = r
		}
		ctx := context.Background()
		request := wire.Request{Function: wire.ReadHoldingRegisters, Count: 2}
		for len(l.bytes) > 0 {
			before := len(l.bytes)
			data, _, err := x.exchange(ctx, 1, request, time.Nanosecond)
			if err == nil && len(data) != request.DataSize() {
				t.Fatalf("%d bytes of data", len(data))
			}
			if isLineError(err) {
				return
			}
			if before == len(l.bytes) && l.reads > 10*len(b)+100 {
				t.Fatal("nothing is read any more")
			}
		}
		if w.bytes > len(b)+wire.MaxASCII {
			t.Fatalf("%d stray bytes of %d", w.bytes, len(b))
		}
	})
}

// TestNoFrameIsFoundTwice feeds one answer and its copies to requests that follow
// one another without any silence: none but the first may be taken.
func TestNoFrameIsFoundTwice(t *testing.T) {
	answer := wire.AppendRTU(nil, 1, []byte{3, 4, 0, 1, 0, 2})
	l := &hostile{bytes: append(answer, answer...), piece: 255}
	w := &nobody{}
	x := newRTU(l, rtuFraming{}, time.Millisecond, engineOptions{echo: echoAuto}, w)
	request := wire.Request{Function: wire.ReadHoldingRegisters, Count: 2}
	x.silence = 0
	x.n = 0
	if err := x.settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w.bytes != 2*len(answer) {
		t.Errorf("%d bytes were drained, want %d", w.bytes, 2*len(answer))
	}
	if _, _, err := x.exchange(context.Background(), 1, request, time.Millisecond); err != errTimeout { //nolint:errorlint // bare
		t.Errorf("%v, want %v", err, errTimeout)
	}
}
