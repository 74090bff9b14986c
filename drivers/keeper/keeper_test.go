package keeper

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// port is a line on which nothing is said.
type port struct {
	gateway.Line
	closed *atomic.Int64
}

func (p port) Close() error { p.closed.Add(1); return nil }

// kept is a keeper whose line may be there or not.
type kept struct {
	*Keeper
	missing                atomic.Pointer[error] // why the port is not there
	opens, closed, absents atomic.Int64
	stop                   context.CancelFunc
	ended                  chan error
}

func keep(t *testing.T, missing error, poll func(*kept, context.Context) error) *kept {
	boot, start := gateway.NewBoot("test"), time.Now()
	k := &kept{Keeper: New("l", func() gateway.Stamp {
		return gateway.Stamp{Boot: boot, At: time.Since(start).Milliseconds()}
	}, nil), ended: make(chan error, 1)}
	k.miss(missing)
	k.Add("a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	k.stop = cancel
	open := func(context.Context) (gateway.Line, error) {
		k.opens.Add(1)
		if err := *k.missing.Load(); err != nil {
			return nil, err
		}
		return port{closed: &k.closed}, nil
	}
	work := Work{
		Poll:   func(ctx context.Context, _ gateway.Line) error { return poll(k, ctx) },
		Absent: func(now time.Time) time.Time { k.absents.Add(1); return now.Add(time.Second) },
	}
	go func() { k.ended <- k.Run(ctx, open, work) }()
	t.Cleanup(func() {
		cancel()
		if err := <-k.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		if missing == nil && k.closed.Load() != k.opens.Load() {
			t.Errorf("opened %d times, closed %d times", k.opens.Load(), k.closed.Load())
		}
	})
	return k
}

func (k *kept) miss(why error) { k.missing.Store(&why) }

// obliging does people's errands and nothing else.
func obliging(k *kept, ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := errors.Join(ctx.Err(), k.Wanted()); err != nil {
			return err
		}
		now := time.Now()
		if done, err := k.Serve(ctx, now, true); err != nil {
			return err
		} else if done {
			continue
		}
		until := now.Add(time.Minute)
		k.Each(func(freeAt time.Time) {
			if freeAt.Before(until) {
				until = freeAt
			}
		})
		if err := k.Idle(ctx, timer, until); err != nil {
			return err
		}
	}
}

func free() time.Time { return time.Time{} }

// TestErrand: one that its caller gave up before its turn is never begun; of one
// that was begun the caller learns that it may be done.
func TestErrand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, nil, obliging)
		var did atomic.Int64
		do := func(_ context.Context, begin func() bool) error {
			if begin() {
				did.Add(1)
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		if begun, err := k.Ask(t.Context(), free, do); !begun || err != nil || did.Load() != 1 {
			t.Errorf("begun %t, %v, done %d times", begun, err, did.Load())
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		later := time.Now().Add(time.Minute)
		if begun, err := k.Ask(short, func() time.Time { return later }, do); begun || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up before its turn: begun %t, %v", begun, err)
		}
		time.Sleep(2 * time.Minute)
		if did.Load() != 1 {
			t.Error("it was done although nobody waited")
		}
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if begun, err := k.Ask(short, free, do); !begun || !errors.Is(err, context.DeadlineExceeded) || did.Load() != 2 {
			t.Errorf("given up in the middle: begun %t, %v, done %d times", begun, err, did.Load())
		}
	})
}

// TestLineIsMissing: what waits fails, in the words of the port, and the line is
// tried again until it is there.
func TestLineIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, errors.New("no such port"), obliging)
		time.Sleep(time.Minute)
		synctest.Wait()
		if told, tries := k.absents.Load(), k.opens.Load(); told < 55 || tries < 10 || tries > 60 || k.Down() != gateway.LineDown {
			t.Errorf("in a minute: %d times what is due, tried %d times, down for %v", told, tries, k.Down())
		}
		if _, err := k.Ask(t.Context(), free, nil); !errors.Is(err, ErrLineDown) {
			t.Error(err)
		}
		if s := k.Status(); s.Open || s.Reason != "no such port" || s.Devices[0].Online {
			t.Errorf("%+v", s)
		}
		k.miss(nil)
		time.Sleep(2 * lastBackoff)
		if s := k.Status(); !s.Open || s.Reason != "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestLostLine: one that has answered, or is only worn, is opened again at once;
// one that never answered is not hammered.
func TestLostLine(t *testing.T) {
	for _, c := range []struct {
		name     string
		proves   bool
		why      error
		min, max int64
	}{
		{"answered", true, io.EOF, 55, 62},
		{"worn", false, ErrWorn, 55, 62},
		{"mute", false, io.EOF, 10, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := keep(t, nil, func(k *kept, ctx context.Context) error {
					if c.proves {
						k.Prove()
					}
					if !gateway.Sleep(ctx, time.Second) {
						return ctx.Err()
					}
					return c.why
				})
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := k.opens.Load(); n < c.min || n > c.max {
					t.Errorf("opened %d times in a minute", n)
				}
			})
		})
	}
}

// TestLoan: while somebody has the line errands fail and what is due is told; the
// line is strange afterwards.
func TestLoan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, nil, obliging)
		synctest.Wait()
		if !k.Strange() || k.Strange() {
			t.Error("a line is strange once after the first opening")
		}
		err := k.Lend(t.Context(), func(context.Context) error {
			synctest.Wait()
			if k.Down() != gateway.Maintenance || k.closed.Load() != 1 {
				t.Errorf("lent: %v, closed %d times", k.Down(), k.closed.Load())
			}
			_, err := k.Ask(t.Context(), free, nil)
			if !errors.Is(err, ErrLineDown) {
				t.Error(err)
			}
			time.Sleep(30 * time.Second)
			return io.ErrUnexpectedEOF
		})
		synctest.Wait()
		if !errors.Is(err, io.ErrUnexpectedEOF) || k.absents.Load() < 30 {
			t.Errorf("%v; what is due was told %d times", err, k.absents.Load())
		}
		if k.Down() != gateway.NoReason || !k.Strange() {
			t.Errorf("back: %v", k.Down())
		}
	})
}

// TestLoanAtTheEnd: one that a driver took when it was told to end is granted
// nevertheless, or its borrower would wait for ever.
func TestLoanAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, nil, func(k *kept, ctx context.Context) error {
			<-ctx.Done()
			return <-k.loans.wanted()
		})
		lent := make(chan error, 1)
		go func() {
			lent <- k.Lend(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}()
		synctest.Wait() // it is open, and told nothing of the loan
		k.stop()
		if err := <-lent; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
