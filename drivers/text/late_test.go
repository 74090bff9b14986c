package text_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/gateway"
)

// anon is an instrument whose replies do not say whose they are.
const anon = `
interval = "1s"
frame = { end = '\r' }
[poll.p]
send = '#{address}\r'
match = '>(?P<p>.*)'
[tag.p]
field = "p"
`

// TestSilentAnonymous: where the whole line waits for a late reply, that waiting
// is part of what silent instruments cost.
func TestSilentAnonymous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := strings.Replace(anon, `"1s"`, `"100ms"`, 1)
		devices := map[string]string{"a": "address = \"01\"" + fast}
		for i := range 20 {
			devices[fmt.Sprintf("dead%d", i)] = fmt.Sprintf("address = \"%d\"", 50+i) + anon
		}
		var lost atomic.Int64 // time, in ns, from a request to a silent one until the next
		var asked time.Time
		l := start(t, options(t, devices), char, serve('\r', func(r string, say func(string)) {
			if !asked.IsZero() {
				lost.Add(int64(time.Since(asked)))
				asked = time.Time{}
			}
			if r == "#01\r" {
				say(">1\r")
			} else {
				asked = time.Now()
			}
		}))
		time.Sleep(time.Minute)
		synctest.Wait()
		before, had := lost.Load(), len(l.Sheet.Of("a/p"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := map[string]int{}
		rs := l.Sheet.Of("a/p")[had:]
		for i := range rs {
			got[last(rs[i:i+1])]++
		}
		if share := float64(lost.Load()-before) / float64(10*time.Minute); share > 0.05 || got["bad starting"] > 0 || got["1"] < 5700 {
			t.Errorf("silent instruments cost %.2f %% of the line; of 6000 readings: %v", 100*share, got)
		}
	})
}

// TestReplyAfterReconnect: a serial server hangs up in the middle, and delivers
// the old reply on the next connection.
func TestReplyAfterReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		var pending string // a reply that the instrument owes the pair, whichever connection is there
		var mu sync.Mutex  // guards pending and n: connections follow one another
		n := 0
		o := options(t, map[string]string{"a": "address = \"1\"" + anon, "b": "address = \"2\"" + anon})
		l := startWith(t, o, func(context.Context) (gateway.Line, error) {
			line, far := keepertest.NewWire(0)
			wg.Go(func() {
				mu.Lock()
				p := pending
				pending = ""
				mu.Unlock()
				if p != "" {
					wg.Go(func() { time.Sleep(100 * time.Millisecond); _, _ = far.Write([]byte(p)) })
				}
				_ = serve('\r', func(r string, say func(string)) {
					reply := ">" + r[1:2] + "\r"
					mu.Lock()
					n++
					hangUp := n%7 == 0
					if hangUp {
						pending = reply
					}
					mu.Unlock()
					if hangUp {
						_ = far.Close()
						return
					}
					time.Sleep(150 * time.Millisecond)
					say(reply)
				})(nil, far)
			})
			return line, nil
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for _, dev := range []string{"a", "b"} {
			good, wrong := 0, 0
			for _, r := range l.Sheet.Of(dev + "/p") {
				if r.Quality == gateway.Good {
					good++
					if r.Value.String() != map[string]string{"a": "1", "b": "2"}[dev] {
						wrong++
					}
				}
			}
			if wrong > 0 || good < 250 {
				t.Errorf("%s: %d good, %d of them of another instrument", dev, good, wrong)
			}
		}
	})
}

// TestReplyToPredecessor: what was asked before this program was started anew, or
// by who had the line on loan, is answered when it listens already.
func TestReplyToPredecessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opens atomic.Int64
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait)
		o := options(t, map[string]string{"a": "address = \"1\"" + anon})
		l := startWith(t, o, func(context.Context) (gateway.Line, error) {
			opens.Add(1)
			line, far := keepertest.NewWire(0)
			wg.Go(func() { time.Sleep(200 * time.Millisecond); _, _ = far.Write([]byte(">999\r")) })
			wg.Go(func() {
				_ = serve('\r', func(_ string, say func(string)) {
					time.Sleep(400 * time.Millisecond)
					say(">1\r")
				})(nil, far)
			})
			return line, nil
		})
		time.Sleep(10 * time.Second)
		if err := l.Driver.Lend(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rs, good := l.Sheet.Of("a/p"), 0
		for i, r := range rs {
			if r.Quality == gateway.Good {
				if good++; r.Value.String() != "1" {
					t.Errorf("reading %d is %s", i, r.Value)
				}
			}
		}
		if opens.Load() != 2 || good < 18 {
			t.Errorf("%d good readings, opened %d times", good, opens.Load())
		}
	})
}
