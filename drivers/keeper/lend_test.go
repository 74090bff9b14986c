package keeper

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
		l := newLender()
		asked := make(chan error)
		lend := func(ctx context.Context, use func(context.Context) error) {
			go func() { asked <- l.lend(ctx, use) }()
		}
		told := 0
		tell := func() time.Time { told++; return time.Now().Add(time.Minute) }

		done := errors.New("done")
		lend(t.Context(), func(context.Context) error { time.Sleep(150 * time.Second); return done })
		if err := (<-l.wanted()).grant(t.Context(), tell); err != nil || told != 3 {
			t.Errorf("granted: %v, told %d times", err, told)
		}
		if err := <-asked; !errors.Is(err, done) {
			t.Error(err)
		}

		ended, end := context.WithCancel(t.Context())
		lend(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		loan := <-l.wanted()
		end()
		if err := loan.grant(ended, tell); !errors.Is(err, context.Canceled) {
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
