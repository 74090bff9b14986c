package text

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Trace has f called with everything that is sent, and with everything that
// comes as it comes, until stop is called. f must not block, and must not keep
// the frame's Bytes. It is safe for concurrent use.
func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) { return d.traces.Watch(f) }

func (d *Driver) traced(at time.Time, sent bool, b []byte) {
	if d.traces.Watched() {
		d.traces.Show(gateway.Frame{At: at, Sent: sent, Bytes: b, Text: quote(b)})
	}
}
