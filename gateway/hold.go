package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// Holds is the Sink between the drivers and the broker. It marks the readings
// of devices that a person holds as uncertain, reason maintenance; their alarms
// are silent meanwhile. All methods are safe for concurrent use.
type Holds struct {
	next  Sink
	count atomic.Int32 // of held: the way of most readings takes no lock

	mu   sync.Mutex
	held map[string]time.Time // device, and until when

	scratch sync.Pool // of *[]Reading
}

var _ Sink = (*Holds)(nil)

// NewHolds returns Holds that hand on to next.
func NewHolds(next Sink) *Holds {
	h := &Holds{next: next, held: make(map[string]time.Time)}
	h.scratch.New = func() any { return new([]Reading) }
	return h
}

// Hold marks a device's readings until then; a time that has passed ends it.
func (h *Holds) Hold(device string, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(until) {
		h.held[device] = until
	} else {
		delete(h.held, device)
	}
	h.count.Store(int32(len(h.held)))
}

// Held returns the devices that are held, and until when.
func (h *Holds) Held() map[string]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	held := make(map[string]time.Time, len(h.held))
	for device, until := range h.held {
		held[device] = until
	}
	return held
}

// expire lets go of what is held no longer. The lock is held.
func (h *Holds) expire() {
	now := time.Now()
	for device, until := range h.held {
		if !now.Before(until) {
			delete(h.held, device)
		}
	}
	h.count.Store(int32(len(h.held)))
}

// Append hands the readings on, those of held devices marked.
func (h *Holds) Append(rs []Reading, done func(error)) {
	if h.count.Load() == 0 {
		h.next.Append(rs, done)
		return
	}
	out := h.scratch.Get().(*[]Reading)
	*out = append((*out)[:0], rs...)
	h.mark(*out)
	h.next.Append(*out, done)
	clear(*out)
	h.scratch.Put(out)
}

func (h *Holds) mark(rs []Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire()
	for i := range rs {
		if _, held := h.held[rs[i].Tag.Device]; held && rs[i].Quality != Bad {
			rs[i].Quality, rs[i].Reason = Uncertain, Maintenance
		}
	}
}
