package gateway

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Traces hands the frames of a line to who looks at it. It costs one atomic load
// where nobody does. The zero value is ready; its methods are safe for concurrent use.
type Traces struct {
	watched atomic.Bool

	mu      sync.Mutex
	viewers []*func(Frame)
}

// Watch has f called with every frame until stop is called. f must not block,
// and must not keep the frame's Bytes.
func (t *Traces) Watch(f func(Frame)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.viewers = append(t.viewers, &f)
	t.watched.Store(true)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.viewers = slices.DeleteFunc(t.viewers, func(v *func(Frame)) bool { return v == &f })
		t.watched.Store(len(t.viewers) > 0)
	}
}

// Watched reports whether anybody looks, so that a frame need not be made for nobody.
func (t *Traces) Watched() bool { return t.watched.Load() }

// Show hands a frame to everybody who looks.
func (t *Traces) Show(f Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, view := range t.viewers {
		(*view)(f)
	}
}

// Usage measures which share of the time a line is used, over the last minute
// or so. The zero value is ready; it is not safe for concurrent use.
type Usage struct {
	began time.Time
	spent time.Duration
	last  float64
	known bool
}

const usageWindow = time.Minute

// Add notes that the line was used.
func (u *Usage) Add(from, to time.Time) {
	if u.began.IsZero() {
		u.began = from
	}
	u.spent += to.Sub(from)
	if age := to.Sub(u.began); age >= usageWindow {
		u.last, u.known = float64(u.spent)/float64(age), true
		u.began, u.spent = to, 0
	}
}

// Share returns the share, from 0 to 1.
func (u *Usage) Share(now time.Time) float64 {
	age := now.Sub(u.began)
	switch {
	case u.began.IsZero() || age <= 0:
		return u.last
	case u.known && age < usageWindow/4:
		return u.last
	default:
		return min(1, float64(u.spent)/float64(age))
	}
}
