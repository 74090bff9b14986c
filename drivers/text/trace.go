package text

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// traces are those who want to see what passes.
type traces struct {
	any  atomic.Bool // so that nobody costs nothing
	mu   sync.Mutex
	next int
	all  map[int]func(gateway.Frame)
}

// Trace has f called with everything that is sent, and with everything that
// comes as it comes, until stop is called. f must not block. It is safe for
// concurrent use.
func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) {
	t := &d.traces
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[int]func(gateway.Frame))
	}
	id := t.next
	t.next++
	t.all[id] = f
	t.any.Store(true)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.all, id)
		t.any.Store(len(t.all) > 0)
	}
}

func (d *Driver) traced(at time.Time, sent bool, b []byte) {
	if !d.traces.any.Load() {
		return
	}
	d.traces.mu.Lock()
	defer d.traces.mu.Unlock()
	for _, f := range d.traces.all {
		f(gateway.Frame{At: at, Sent: sent, Bytes: b, Text: quote(b)})
	}
}
