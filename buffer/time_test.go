package buffer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// fiveSeconds is a buffer as it is configured, in a bubble where time is free.
func fiveSeconds(t *testing.T, boot *gateway.Boot) *running {
	o := testOptions(t.TempDir())
	o.Fast, o.CommitInterval = 0, 5*time.Second
	return start(t, o, boot, "a")
}

func (r *running) commits() uint64 {
	synctest.Wait()
	return r.Stats().File.Commits
}

func TestCommitsComeWhenTheyMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fiveSeconds(t, testBoot("b"))
		defer s.stop()
		before := s.commits()
		time.Sleep(time.Hour)
		if n := s.commits() - before; n != 0 {
			t.Fatalf("%d commits while nothing was new", n)
		}
		s.Append(readings(s.boot, gateway.Normal, 1, 10), nil)
		time.Sleep(4900 * time.Millisecond)
		if s.commits() != before {
			t.Fatal("readings were committed before their time")
		}
		time.Sleep(200 * time.Millisecond)
		if s.commits() != before+1 {
			t.Fatal("readings were not committed after 5 s")
		}
		s.Append(readings(s.boot, gateway.Normal, 11, 20), nil)
		s.Append(readings(s.boot, gateway.Alarm, 1, 1), nil)
		time.Sleep(200 * time.Millisecond)
		if s.commits() != before+2 {
			t.Fatal("an alarm waited longer than 200 ms")
		}
		answered := 0
		for range 10 {
			s.Append(readings(s.boot, gateway.Normal, 21, 21), func(err error) {
				if answered++; err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if s.commits() != before+3 || answered != 10 {
			t.Fatalf("%d answers after 100 ms, in %d commits", answered, s.commits()-before-2)
		}
		for range hurryReadings/1000 + 1 {
			s.Append(readings(s.boot, gateway.Normal, 1, 1000), nil)
		}
		if s.commits() != before+4 {
			t.Fatal("a rush of readings waits for its time")
		}
	})
}

func TestAnAckRidesOnTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fiveSeconds(t, testBoot("b"))
		defer s.stop()
		s.put(readings(s.boot, gateway.Normal, 1, 10)...)
		before := s.commits()
		s.ack("a", s.next("a", gateway.Want{}))
		time.Sleep(50 * time.Second)
		if n := s.commits() - before; n != 0 {
			t.Fatalf("%d commits for an ack", n)
		}
		time.Sleep(time.Hour)
		if n := s.commits() - before; n != 1 {
			t.Fatalf("%d commits for an ack that nothing came along for", n)
		}
	})
}

func TestAnAckIsKeptByACleanStop(t *testing.T) {
	dir := t.TempDir()
	s := start(t, testOptions(dir), testBoot("b"), "a")
	s.put(readings(s.boot, gateway.Normal, 1, 10)...)
	s.ack("a", s.next("a", gateway.Want{}))
	s.stop()
	s = start(t, testOptions(dir), testBoot("b"), "a")
	s.nothing("a")
	if st := s.Stats(); st.Classes[gateway.Normal].Stored != 10 {
		t.Fatalf("history: %+v", st)
	}
}

func TestNextWaitsForACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fiveSeconds(t, testBoot("b"))
		defer s.stop()
		got := make(chan gateway.Batch)
		go func() {
			b, err := s.Next(t.Context(), "a", gateway.Want{Classes: gateway.AllClasses, Wait: true})
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		s.Append(readings(s.boot, gateway.Normal, 1, 10), nil)
		time.Sleep(4 * time.Second)
		select {
		case <-got:
			t.Fatal("a reading was handed out before it was on disk")
		default:
		}
		if b := <-got; len(b.Readings) != 10 {
			t.Fatalf("%d readings", len(b.Readings))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Next(ctx, "a", gateway.Want{Classes: gateway.OnlyAlarms, Wait: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestNextEndsWithTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fiveSeconds(t, testBoot("b"))
		ended := make(chan error)
		go func() {
			_, err := s.Next(t.Context(), "a", gateway.Want{Classes: gateway.AllClasses, Wait: true})
			ended <- err
		}()
		synctest.Wait()
		s.stop()
		if err := <-ended; !errors.Is(err, flash.ErrClosed) {
			t.Fatal(err)
		}
		refused := error(nil)
		s.Append(readings(s.boot, gateway.Normal, 1, 1), func(err error) { refused = err })
		if !errors.Is(refused, flash.ErrClosed) {
			t.Fatal(refused)
		}
	})
}

func TestNothingLeavesWithoutAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot := gateway.NewBoot("b")
		s := fiveSeconds(t, boot)
		defer s.stop()
		s.put(readings(boot, gateway.Normal, 1, 10)...)
		s.nothing("a")
		got := make(chan gateway.Batch)
		go func() { got <- s.next("a", gateway.Want{Wait: true}) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		boot.SetOffset(gateway.Offset{Milli: 1_700_000_000_000, Trusted: true, SyncedAt: 5000})
		synced := time.Now()
		b := <-got
		if time.Since(synced) > 2*time.Second {
			t.Fatalf("the clock was noticed after %v", time.Since(synced))
		}
		wall, quality := b.Readings[0].Stamp.Wall()
		if wall != 1_700_000_001_001 || quality != gateway.Corrected {
			t.Fatalf("%d, %v", wall, quality)
		}
	})
}

// A boot that never learned the time ends where the next one began.
func TestABootWithoutAClockIsEstimated(t *testing.T) {
	dir := t.TempDir()
	for i, id := range []string{"b1", "b2"} {
		boot := gateway.NewBoot(id)
		s := start(t, testOptions(dir), boot, "a")
		s.put(readings(boot, gateway.Normal, 1000*i+1, 1000*i+10)...)
		s.nothing("a")
		s.stop()
	}
	s := start(t, testOptions(dir), testBoot("b3"), "a")
	s.flush()
	b := s.next("a", gateway.Want{MaxReadings: 100, Wait: true})
	began := int64(1_700_000_000_000) // of b3
	var walls []int64
	for len(walls) < 20 {
		for _, r := range b.Readings {
			wall, quality := r.Stamp.Wall()
			if quality != gateway.Estimated {
				t.Fatalf("%v", quality)
			}
			walls = append(walls, wall)
		}
		s.ack("a", b)
		if len(walls) < 20 {
			b = s.next("a", gateway.Want{Wait: true})
		}
	}
	if walls[19] != began {
		t.Fatalf("b2 ends %d ms after b3 began", walls[19]-began)
	}
	if want := began - 2010; walls[9] != want { // b2's last reading was 2010+1000 ms after its start, 1000 is in each stamp
		want -= 1000
		if walls[9] != want {
			t.Fatalf("b1 ends at %d, want %d", walls[9], want)
		}
	}
	s.stop()
	s = start(t, testOptions(dir), testBoot("b4"), "a")
	for _, rec := range s.boots.byRow {
		if offset, known := rec.boot.Offset(); known && rec.boot != s.boot && offset != rec.saved {
			t.Fatal("an estimate was not kept")
		}
	}
}

func TestADiskThatStaysAwayLeavesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		broken := false
		o := testOptions(t.TempDir())
		o.Fast, o.CommitInterval = 0, 5*time.Second
		o.Fault = func(flash.Step) error {
			if broken {
				return errDisk
			}
			return nil
		}
		s, err := Open(o, testBoot("b"), []string{"a"}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		epoch := s.Epoch()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		s.Append(readings(s.boot, gateway.Normal, 1, 5), nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		broken = true
		refused := 0
		s.Append(readings(s.boot, gateway.Normal, 100, 105), func(err error) {
			if err == nil {
				t.Error("a broken disk took it")
			}
			refused++
		})
		s.Append(readings(s.boot, gateway.Normal, 6, 9), nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := s.Stats(); !st.File.InMemory || refused != 1 || st.Epoch == epoch {
			t.Fatalf("%+v, %d answers", st, refused)
		}
		if !strings.Contains(log.String(), "kept in memory") {
			t.Fatalf("the log says %s", log.String())
		}
		b, err := s.Next(t.Context(), "a", gateway.Want{Classes: gateway.AllClasses})
		if err != nil || b.Epoch == epoch || b.First != 1 || len(b.Readings) != 4 || b.Readings[0].Value != gateway.Int(6) {
			t.Fatalf("%+v, %v", b, err)
		}
		broken = false
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		again, err := Open(o, testBoot("b"), []string{"a"}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if again.Epoch() != epoch || again.Stats().Classes[gateway.Normal].Committed != 5 {
			t.Fatalf("the file after that: %+v", again.Stats())
		}
		again.Close()
	})
}

func TestWhatTheDiskDoesNotTakeBecomesAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fiveSeconds(t, testBoot("b"))
		defer s.stop()
		// The committer gets no turn between these.
		held := make(chan struct{})
		go s.file.Read(t.Context(), func(*flash.Tx) error { <-held; return nil })
		synctest.Wait()
		const more = 5000
		for n := 1; n <= maxWaiting; n += 1000 {
			s.Append(readings(s.boot, gateway.Normal, n, n+999), nil)
		}
		s.Append(readings(s.boot, gateway.Bulk, 1, more), nil)
		s.Append(readings(s.boot, gateway.Alarm, 1, more), nil)
		if n := s.Stats().Waiting; n > maxWaiting {
			t.Fatalf("%d readings wait", n)
		}
		close(held)
		s.flush()
		var got, lost [gateway.Classes]int
		for _, b := range s.drain("a") {
			got[b.Class] += len(b.Readings)
			for _, g := range b.Gaps {
				lost[b.Class] += g.Count
				if g.From != 1 || g.Reason == "" {
					t.Fatalf("%+v is not the oldest", g)
				}
			}
		}
		rounded := (maxWaiting + 999) / 1000 * 1000
		for c, want := range [gateway.Classes]int{more, rounded, more} {
			if got[c]+lost[c] != want {
				t.Errorf("%v: %d of %d, %d lost", gateway.Class(c), got[c], want, lost[c])
			}
		}
		if lost[gateway.Alarm] != 0 || got[gateway.Bulk] != 0 {
			t.Errorf("got %v, lost %v", got, lost)
		}
	})
}
