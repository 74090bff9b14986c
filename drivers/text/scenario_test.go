package text_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

func values(rs []gateway.Reading) string {
	var all []string
	for i := range rs {
		all = append(all, last(rs[i:i+1]))
	}
	return strings.Join(all, ", ")
}

// TestRefusalIsNotRetried: what an instrument refuses it is asked once an interval.
func TestRefusalIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := start(t, options(t, map[string]string{"a": "error = '!'\n" + ppt}), char, serve('\r', func(_ string, say func(string)) {
			n++
			say("!01 syntax\r")
		}))
		time.Sleep(9900 * time.Millisecond) // the first is asked after half a second
		synctest.Wait()
		if rs := l.Sheet.Of("a/p"); n != 10 || len(rs) != 10 || last(rs) != "bad device" {
			t.Errorf("%d requests, %d readings, %s", n, len(rs), last(rs))
		}
		if s := l.Driver.Status(); s.Exceptions != 10 || !s.Devices[0].Online || s.Devices[0].Refused == "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestRetry: one lost reply is asked for again within the interval.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := start(t, options(t, map[string]string{"a": strings.Replace(ppt, `"1s"`, `"3s"`, 1)}), char, serve('\r', func(_ string, say func(string)) {
			if n++; n%2 == 0 {
				say("?01CP=1\r")
			}
		}))
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := values(l.Sheet.Of("a/p")); got != "1, 1, 1, 1" {
			t.Error(got)
		}
	})
}

// TestDeadDevices: twenty instruments that are not there cost the one that is
// less than a twentieth of its line, and every interval yields a reading of each.
func TestDeadDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devices := map[string]string{"a": strings.Replace(ppt, `"1s"`, `"100ms"`, 1)}
		for i := range 20 {
			devices[fmt.Sprintf("dead%d", i)] = strings.Replace(ppt, `"01"`, fmt.Sprintf("%q", fmt.Sprint(50+i)), 1)
		}
		var silent time.Duration
		var asked time.Time
		l := start(t, options(t, devices), char, serve('\r', func(request string, say func(string)) {
			if !asked.IsZero() {
				silent += time.Since(asked)
				asked = time.Time{}
			}
			if strings.HasPrefix(request, "*01") {
				say("?01CP=1\r")
			} else {
				asked = time.Now()
			}
		}))
		const settle, run = 30 * time.Second, 10 * time.Minute
		time.Sleep(settle)
		synctest.Wait()
		before, had := silent, len(l.Sheet.Of("a/p"))
		dead := len(l.Sheet.Of("dead7/p"))
		time.Sleep(run)
		synctest.Wait()
		if share := float64(silent-before) / float64(run); share > 0.05 || share < 0.02 {
			t.Errorf("dead instruments cost %.1f %% of the line", 100*share)
		}
		t.Logf("dead instruments cost %.2f %% of the line, the other had %d of 6000 readings", 100*float64(silent-before)/float64(run), len(l.Sheet.Of("a/p"))-had)
		if n := len(l.Sheet.Of("a/p")) - had; n < int(run/(100*time.Millisecond))*94/100 {
			t.Errorf("%d readings of the one that answers", n)
		}
		if n := len(l.Sheet.Of("dead7/p")) - dead; n < 595 || n > 605 {
			t.Errorf("%d readings of one that does not, in 600 s", n)
		}
		if got := last(l.Sheet.Of("dead7/p")); got != "bad timeout" {
			t.Error(got)
		}
	})
}

// TestDeadDeviceComesBack within a minute, among others.
func TestDeadDeviceComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		l := start(t, options(t, map[string]string{"a": ppt, "b": strings.Replace(ppt, `"01"`, `"02"`, 1)}), char, serve('\r', func(request string, say func(string)) {
			if strings.HasPrefix(request, "*01") || time.Since(begin) > time.Minute {
				say("?" + request[1:3] + "CP=1\r")
			}
		}))
		time.Sleep(80 * time.Second)
		if s := l.Driver.Status().Devices[1]; !s.Online || s.Since.At > 75_000 {
			t.Errorf("%+v", s)
		}
	})
}

const anonymous = `
interval = "1s"
frame = { end = '\r' }
[poll.p]
send = 'R{address}\r'
match = '(?P<p>[0-9.]+)'
[tag.p]
field = "p"
`

// TestAnonymousReplies: where replies do not say whose they are, no late one may
// pass for that of a neighbour.
func TestAnonymousReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := start(t, options(t, map[string]string{"a": "address = \"1\"" + anonymous, "b": "address = \"2\"" + anonymous}), char, serve('\r', func(request string, say func(string)) {
			if n++; n%5 == 0 {
				time.Sleep(700 * time.Millisecond)
			}
			say(request[1:2] + "\r")
		}))
		time.Sleep(5 * time.Minute)
		for _, dev := range []string{"a", "b"} {
			good := 0
			for _, r := range l.Sheet.Of(dev + "/p") {
				if r.Quality == gateway.Good {
					good++
					if want := map[string]string{"a": "1", "b": "2"}[dev]; r.Value.String() != want {
						t.Fatalf("%s reads %s", dev, r.Value)
					}
				}
			}
			if good < 50 {
				t.Errorf("%s has %d good readings", dev, good)
			}
		}
	})
}

const stream = `
mode = "listen"
interval = "1s"
frame = { end = '\r' }
[poll.p]
match = 'P=(?P<p>[0-9.]+)(?P<u>\w+)'
[tag.p]
field = "p"
unit = "bar"
unit_field = "u"
`

// TestListen: the first frame is cut off and not taken; then come values, another
// unit, silence, and values again.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": stream}), char, func(ctx context.Context, far io.ReadWriter) error {
			say := func(s string) { _, _ = io.WriteString(far, s) }
			time.Sleep(100 * time.Millisecond)
			say("P=9.99bar\rP=1.25") // the first is the end of P=19.99
			time.Sleep(400 * time.Millisecond)
			say("bar\r")
			time.Sleep(time.Second)
			say("P=18.1psi\r")
			time.Sleep(5 * time.Second)
			say("P=1.50bar\rP=1.75bar\r")
			return nil
		})
		time.Sleep(8500 * time.Millisecond)
		if got := values(l.Sheet.Of("a/p")); got != "1.25, bad unit, bad timeout, bad timeout, bad timeout, 1.75" {
			t.Error(got)
		}
	})
}

// TestStream: init starts it, again after the line was lost and after it fell
// silent; stop ends it.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []string
		opened := 0
		o := options(t, map[string]string{"a": strings.Replace(stream, `"listen"`, `"stream"`, 1) + "[init.1]\nsend = 'GO\\r'\nno_reply = true\n[stop]\nsend = 'X\\r'\nno_reply = true"})
		l := start(t, o, char, func(ctx context.Context, far io.ReadWriter) error {
			opened++
			say := func(s string) { _, _ = io.WriteString(far, s) }
			return serve('\r', func(request string, _ func(string)) {
				heard = append(heard, request)
				if request == "GO\r" {
					time.Sleep(200 * time.Millisecond)
					say("\rP=1bar\r")
					if opened == 1 {
						time.Sleep(time.Second)
						_ = far.(io.Closer).Close()
					}
				}
			})(ctx, far)
		})
		time.Sleep(30 * time.Second)
		l.Stop()
		synctest.Wait()
		all := strings.ReplaceAll(strings.Join(heard, ""), "\r", " ")
		if !strings.HasPrefix(all, "X GO X GO X GO ") || !strings.HasSuffix(all, " X ") {
			t.Error(all)
		}
		if got := values(l.Sheet.Of("a/p")); !strings.HasPrefix(got, "1, ") || strings.Count(got, "1") < 3 {
			t.Error(got)
		}
	})
}

// TestInit: an instrument that must be greeted after it was without power.
func TestInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		greeted, n := false, 0
		l := start(t, options(t, map[string]string{"a": ppt + "[init.1]\nsend = 'HELLO\\r'\nmatch = 'OK'"}), char, serve('\r', func(request string, say func(string)) {
			n++
			switch {
			case n == 8: // without power
				greeted = false
			case request == "HELLO\r":
				greeted = true
				say("OK\r")
			case greeted:
				say("?01CP=1\r")
			}
		}))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		rs := l.Sheet.Of("a/p")
		bad := 0
		for _, r := range rs {
			if r.Quality != gateway.Good {
				bad++
			}
		}
		if bad != 1 || len(rs) < 19 {
			t.Errorf("%d of %d readings are bad", bad, len(rs))
		}
	})
}

const sdi12 = `
address = "0"
interval = "30s"
frame = { end = '\r\n' }
[poll.m.step.1]
send = '{address}M3!'
match = '{address}(?P<wait>\d{3})(?P<n>\d)'
wait = "wait"
until = '{address}'
[poll.m.step.2]
send = '{address}D0!'
match = '{address}(?P<p>[-+][\d.]+)(?P<t>[-+][\d.]+)'
[tag.p]
field = "p"
[tag.t]
field = "t"
[tag.values]
field = "n"
`

// TestSteps is SDI-12: measure, wait as long as it says or until it asks for
// service, fetch.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name    string
		service bool
		took    time.Duration
	}{{"waits", false, 5 * time.Second}, {"service request", true, 2 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var measured, fetched time.Time
				l := start(t, options(t, map[string]string{"a": sdi12}), 8*time.Millisecond, serve('!', func(request string, say func(string)) {
					switch request {
					case "0M3!":
						measured = time.Now()
						say("00052\r\n")
						if c.service {
							time.Sleep(2 * time.Second)
							say("0\r\n")
						}
					case "0D0!":
						fetched = time.Now()
						say("0+101.325-2.5\r\n")
					}
				}))
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if got := last(l.Sheet.Of("a/p")) + " " + last(l.Sheet.Of("a/t")) + " " + last(l.Sheet.Of("a/values")); got != "101.325 -2.5 2" {
					t.Error(got)
				}
				if took := fetched.Sub(measured); took < c.took || took > c.took+300*time.Millisecond {
					t.Errorf("it was waited %s", took)
				}
			})
		})
	}
}

const silenceEnds = `
address = "1"
interval = "5s"
frame = { idle = "300ms" }
[poll.p]
send = 'R\r'
match = '[0-9]+'
[tag.p]
at = 0
type = "uint8"
`

// TestIdle: silence ends a reply, the end of patience does not.
func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name, want string
		pieces     int
	}{{"two pieces", "49", 2}, {"for ever", "bad timeout", 1000}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, options(t, map[string]string{"a": silenceEnds}), char, serve('\r', func(_ string, say func(string)) {
					for range c.pieces {
						time.Sleep(250 * time.Millisecond)
						say("1")
					}
				}))
				time.Sleep(5600 * time.Millisecond)
				if got := last(l.Sheet.Of("a/p")); got != c.want {
					t.Error(got)
				}
				if c.pieces > 2 {
					l.Cancel()
				}
			})
		})
	}
}

// TestReadHeard: a listener that has only begun waits for the first frame, and
// publishes nothing if it is only there to be asked.
func TestReadHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, map[string]string{"a": stream})
		o.Asked = true
		l := start(t, o, char, func(ctx context.Context, far io.ReadWriter) error {
			time.Sleep(700 * time.Millisecond)
			_, err := io.WriteString(far, "\rP=1.25bar\r")
			return err
		})
		answers, err := l.Driver.Read(t.Context(), "a", "p")
		if err != nil || len(answers) != 1 || last([]gateway.Reading{answers[0].Reading}) != "1.25" {
			t.Errorf("%+v, %v", answers, err)
		}
		time.Sleep(10 * time.Second)
		if n := len(l.Sheet.Of("a/p")); n != 0 {
			t.Errorf("%d readings", n)
		}
		if answers, err := l.Driver.Read(t.Context(), "a", "p"); err != nil || last([]gateway.Reading{answers[0].Reading}) != "bad timeout" {
			t.Errorf("%+v, %v", answers, err)
		}
	})
}

// breakable is a wire that can be held down.
type breakable struct {
	gateway.Line
	held *[]time.Duration
}

func (b breakable) Break(d time.Duration) error { *b.held = append(*b.held, d); return nil }

func TestBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var held []time.Duration
		o := options(t, map[string]string{"a": strings.Replace(sdi12, "send = '{address}M3!'", "break = \"12ms\"\nsend = '{address}M3!'", 1)})
		l := startWith(t, o, func(context.Context) (gateway.Line, error) {
			line, far := keepertest.NewWire(char)
			go func() {
				_ = serve('!', func(request string, say func(string)) {
					say(map[string]string{"0M3!": "00002\r\n", "0D0!": "0+1-2\r\n"}[request])
				})(t.Context(), far)
			}()
			return breakable{line, &held}, nil
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := last(l.Sheet.Of("a/p")); got != "1" || len(held) != 1 || held[0] != 12*time.Millisecond {
			t.Errorf("%s, held %v", got, held)
		}
	})
}

// TestTooSlow: an instrument that wants more time than the interval has.
func TestTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": sdi12}), char, serve('!', func(request string, say func(string)) { say("09992\r\n") }))
		time.Sleep(100 * time.Second)
		if got := values(l.Sheet.Of("a/p")); got != "bad device, bad device, bad device, bad device" {
			t.Error(got)
		}
	})
}

const settable = `
address = "1"
interval = "1s"
frame = { end = '\r' }
error = 'ERR'
[poll.p]
send = 'P?\r'
match = 'P=(?P<p>.*)'
[tag.p]
field = "p"
writable = true
min = 0
max = 100
scale = "0.1"
write = 'P={value:05d}\r'
write_match = 'OK'
`

func TestWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value, writes, deaf, stubborn := "250", 0, false, false
		o := options(t, map[string]string{"a": settable})
		o.Writes = true
		l := start(t, o, char, serve('\r', func(request string, say func(string)) {
			set, is := strings.CutPrefix(request, "P=")
			switch {
			case is && deaf:
				writes++
			case is && set == "00990\r":
				writes++
				say("ERR range\r")
			case is:
				if writes++; !stubborn {
					value = strings.TrimRight(set, "\r")
				}
				say("OK\r")
			default:
				say("P=" + value + "\r")
			}
		}))
		time.Sleep(1500 * time.Millisecond)
		number := func(s string) gateway.Value {
			d, err := gateway.ParseDecimal(s)
			if err != nil {
				t.Fatal(err)
			}
			return gateway.Number(d)
		}
		for _, c := range []struct {
			value, want string
			deaf, stubborn,
			sent bool
		}{
			{"42.5", "", false, false, true},
			{"100.1", "outside 0 to 100", false, false, false},
			{"42.55", "whole number", false, false, false},
			{"99", "answers that it cannot", false, false, true},
			{"50", "reads 42.5", false, true, true},
			{"60", "whether it was done is not known", true, false, true},
		} {
			synctest.Wait()
			before := writes
			deaf, stubborn = c.deaf, c.stubborn
			a, err := l.Driver.Write(t.Context(), "a", "p", number(c.value))
			if c.want == "" && (err != nil || a.Reading.Value.String() != c.value) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, %v; want %q", c.value, a.Reading.Value, err, c.want)
			}
			synctest.Wait()
			if sent := writes > before; sent != c.sent || writes > before+1 {
				t.Errorf("%s: it was sent %d times", c.value, writes-before)
			}
		}
	})
}

func TestWritesNeverUnlessAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": settable}), char, serve('\r', func(_ string, say func(string)) { say("P=1\r") }))
		if _, err := l.Driver.Write(t.Context(), "a", "p", gateway.Int(1)); !errors.Is(err, text.ErrRefused) {
			t.Error(err)
		}
	})
}

func TestReadAndTraceAndLend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, map[string]string{"a": ppt})
		o.Asked = true
		n := 0
		l := start(t, o, char, serve('\r', func(_ string, say func(string)) { n++; say("?01CP=14.45\r") }))
		var seen []string
		stop := l.Driver.Trace(func(f gateway.Frame) { seen = append(seen, f.Text) })
		answers, err := l.Driver.Read(t.Context(), "a", "")
		stop()
		if err != nil || len(answers) != 1 || last([]gateway.Reading{answers[0].Reading}) != "14.45" || string(answers[0].Request) != "*01P1\r" || string(answers[0].Reply) != "?01CP=14.45\r" {
			t.Errorf("%+v %v", answers, err)
		}
		if got := strings.Join(seen, ""); got != `"*01P1\r""?01CP=14.45\r"` {
			t.Error(got)
		}
		if _, err := l.Driver.Read(t.Context(), "a", "q"); !errors.Is(err, text.ErrUnknown) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n != 1 || len(l.Sheet.Of("a/p")) != 0 {
			t.Errorf("%d requests although nothing was asked", n)
		}
		if err := l.Driver.Lend(t.Context(), func(context.Context) error {
			if s := l.Driver.Status(); s.Open {
				t.Error("open while lent")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := l.Driver.Read(t.Context(), "a", "p"); err != nil {
			t.Error(err)
		}
	})
}

// TestLineDown: a line that cannot be opened yields readings, and so does one
// that is lost; it is opened again.
func TestLineDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		l := startWith(t, options(t, map[string]string{"a": ppt}), func(context.Context) (gateway.Line, error) {
			if tries++; tries < 8 {
				return nil, errors.New("no such device")
			}
			line, far := keepertest.NewWire(char)
			go func() {
				_ = serve('\r', func(_ string, say func(string)) { say("?01CP=1\r") })(t.Context(), far)
			}()
			return line, nil
		})
		time.Sleep(5500 * time.Millisecond)
		if got := last(l.Sheet.Of("a/p")); got != "bad line" {
			t.Error(got)
		}
		if n := len(l.Sheet.Of("a/p")); n < 5 || n > 7 {
			t.Errorf("%d readings", n)
		}
		time.Sleep(30 * time.Second)
		if got := last(l.Sheet.Of("a/p")); got != "1" {
			t.Error(got)
		}
		if s := l.Driver.Status(); s.Devices[0].Missed < 5 || !s.Open {
			t.Errorf("%+v", s)
		}
	})
}

// TestBabble: an instrument that never stops talking is not waited for for ever.
func TestBabble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": ppt}), char, func(ctx context.Context, far io.ReadWriter) error {
			for ctx.Err() == nil {
				if _, err := io.WriteString(far, "99999"); err != nil {
					return err
				}
				time.Sleep(char)
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		if rs := l.Sheet.Of("a/p"); len(rs) < 9 || last(rs) != "bad device" {
			t.Errorf("%d readings, %s", len(rs), last(rs))
		}
	})
}

func TestCharacterDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took time.Duration
		l := start(t, options(t, map[string]string{"a": "character_delay = \"20ms\"" + ppt}), char, func(ctx context.Context, far io.ReadWriter) error {
			var one [1]byte
			var begin time.Time
			for {
				if _, err := far.Read(one[:]); err != nil {
					return err
				}
				switch one[0] {
				case '*':
					begin = time.Now()
				case '\r':
					took = time.Since(begin)
					_, _ = io.WriteString(far, "?01CP=1\r")
				}
			}
		})
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if got := last(l.Sheet.Of("a/p")); got != "1" || took < 100*time.Millisecond {
			t.Errorf("%s after %s", got, took)
		}
	})
}
