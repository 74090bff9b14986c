package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A loan that was taken is always granted, also by a driver that ends: nobody
// waits for it for ever.
func TestLend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLender()
		asked := make(chan error)
		lend := func(ctx context.Context, use func(context.Context) error) {
			go func() { asked <- l.Lend(ctx, use) }()
		}
		told := 0
		tell := func() time.Time { told++; return time.Now().Add(time.Minute) }

		done := errors.New("done")
		lend(t.Context(), func(context.Context) error { time.Sleep(150 * time.Second); return done })
		if err := (<-l.Asked()).Grant(t.Context(), tell); err != nil || told != 3 {
			t.Errorf("granted: %v, told %d times", err, told)
		}
		if err := <-asked; !errors.Is(err, done) {
			t.Error(err)
		}

		ended, end := context.WithCancel(t.Context())
		lend(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		loan := <-l.Asked()
		end()
		if err := loan.Grant(ended, tell); !errors.Is(err, context.Canceled) {
			t.Errorf("a driver that ends: %v", err)
		}
		if err := <-asked; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}

		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lend(late, func(context.Context) error { t.Error("a line that nobody gave was used"); return nil })
		if err := <-asked; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestTracesAndUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var traces Traces
		if traces.Watched() {
			t.Error("nobody looks")
		}
		got := [2]int{}
		stop := [2]func(){}
		for i := range stop {
			stop[i] = traces.Watch(func(Frame) { got[i]++ })
		}
		traces.Show(Frame{})
		stop[0]()
		traces.Show(Frame{})
		stop[1]()
		stop[1]() // twice does no harm
		traces.Show(Frame{})
		if got != [2]int{1, 2} || traces.Watched() {
			t.Errorf("%v were shown, watched %t", got, traces.Watched())
		}

		var u Usage
		for range 120 { // a quarter of each second, for two minutes
			from := time.Now()
			time.Sleep(250 * time.Millisecond)
			u.Add(from, time.Now())
			time.Sleep(750 * time.Millisecond)
		}
		if share := u.Share(time.Now()); share < 0.24 || share > 0.26 {
			t.Errorf("in use %v", share)
		}
	})
}
