package modbus

import (
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
)

// tap keeps the bytes of one transaction, as they pass, while it is open, and
// shows them to who looks.
type tap struct {
	gateway.Line
	view      viewer
	open      bool
	sent, got []byte
}

// maxGot bounds what is kept where somebody babbles.
const maxGot = 1024

func (t *tap) Write(p []byte) (int, error) {
	if t.open {
		t.sent, t.got = append(t.sent[:0], p...), t.got[:0]
	}
	t.view.sent(p)
	return t.Line.Write(p)
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Line.Read(p)
	if n > 0 {
		t.view.came(p[:n])
	}
	if t.open && n > 0 && len(t.got)+n <= maxGot {
		t.got = append(t.got, p[:n]...)
	}
	return n, err
}

// start keeps what passes from now on.
func (t *tap) start() { t.open, t.sent, t.got = true, t.sent[:0], t.got[:0] }

// stop returns what was sent, and what came since; nil for nothing.
func (t *tap) stop() (sent, got []byte) {
	t.open = false
	return slices.Clone(nilIfEmpty(t.sent)), slices.Clone(nilIfEmpty(t.got))
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
