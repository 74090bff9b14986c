package text_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

func device(t testing.TB, s string) text.DeviceOptions {
	t.Helper()
	var o text.DeviceOptions
	if md, err := toml.Decode(s, &o); err != nil || len(md.Undecoded()) > 0 {
		t.Fatal(err, md.Undecoded())
	}
	return o
}

func options(t testing.TB, devices map[string]string) text.Options {
	o := text.Options{Line: "l", Devices: make(map[string]text.DeviceOptions)}
	for name, s := range devices {
		o.Devices[name] = device(t, s)
	}
	return o
}

// char is of 9600 baud.
const char = 10 * time.Second / 9600

// instrument answers requests that end with end.
type instrument func(request string, say func(string))

// serve plays an instrument on the far end.
func serve(end byte, i instrument) func(context.Context, io.ReadWriter) error {
	return func(_ context.Context, far io.ReadWriter) error {
		var b []byte
		var one [64]byte
		for {
			n, err := far.Read(one[:])
			if err != nil {
				return err
			}
			b = append(b, one[:n]...)
			for {
				at := bytes.IndexByte(b, end)
				if at < 0 {
					break
				}
				request := string(b[:at+1])
				b = b[at+1:]
				i(request, func(s string) { _, _ = far.Write([]byte(s)) })
			}
		}
	}
}

const ppt = `
address = "01"
interval = "1s"
frame = { end = '\r' }
[poll.p]
send = '*{address}P1\r'
match = '\?{address}CP=(?P<p>.*)'
[tag.p]
field = "p"
`

func last(rs []gateway.Reading) string {
	if len(rs) == 0 {
		return "none"
	}
	r := rs[len(rs)-1]
	if r.Quality == gateway.Good {
		return r.Value.String()
	}
	return r.Quality.String() + " " + r.Reason.String()
}

func TestPoll(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply string
		want  string
	}{
		{"value", "?01CP=14.45\r", "14.45"},
		{"echo", "*01P1\r?01CP=14.45\r", "14.45"},
		{"end of the last line", "\n?01CP=14.45\r", "14.45"},
		{"empty line", "\r\r?01CP=14.45\r", "14.45"},
		{"another instrument before", "?02CP=1.00\r?01CP=14.45\r", "14.45"},
		{"only another instrument", "?02CP=1.00\r", "bad timeout"},
		{"only the echo", "*01P1\r", "bad timeout"},
		{"no value", "?01CP=..\r", "bad device"},
		{"noise before", "\x80\xff?01CP=14.45\r", "bad device"},
		{"NUL inside", "?01CP=1\x004.45\r", "bad device"},
		{"cut off", "?01CP=14.4", "bad timeout"},
		{"nothing", "", "bad timeout"},
		{"too long", string(bytes.Repeat([]byte("9"), 300)) + "?01CP=14.45\r", "bad timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, options(t, map[string]string{"a": ppt}), char, serve('\r', func(_ string, say func(string)) {
					if c.reply != "" {
						say(c.reply)
					}
				}))
				time.Sleep(10*time.Second + 100*time.Millisecond)
				rs := l.Sheet.Of("a/p")
				if len(rs) < 9 || len(rs) > 11 {
					t.Errorf("%d readings in 10 s", len(rs))
				}
				for _, r := range rs {
					if got := last([]gateway.Reading{r}); got != c.want {
						t.Errorf("%s, want %s", got, c.want)
					}
				}
			})
		})
	}
}

// TestSplit has a reply come in pieces, byte by byte.
func TestSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": ppt}), char, serve('\r', func(_ string, say func(string)) {
			for _, c := range "?01CP=14.45\r" {
				time.Sleep(20 * time.Millisecond)
				say(string(c))
			}
		}))
		time.Sleep(3500 * time.Millisecond)
		if got := last(l.Sheet.Of("a/p")); got != "14.45" {
			t.Error(got)
		}
	})
}

// TestLateReply has an instrument that takes longer than it may now and then. No
// reply may pass for the answer to a later request.
func TestLateReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := start(t, options(t, map[string]string{"a": ppt}), char, serve('\r', func(_ string, say func(string)) {
			n++
			value := time.Now().Format("05")
			if n%3 == 0 {
				time.Sleep(time.Duration(500+100*(n%7)) * time.Millisecond)
			}
			say("?01CP=" + value + "\r")
		}))
		begin := time.Now()
		time.Sleep(5 * time.Minute)
		good := 0
		for _, r := range l.Sheet.Of("a/p") {
			if r.Quality != gateway.Good {
				continue
			}
			good++
			asked := int(r.Value.Float64())
			if read := begin.Add(time.Duration(r.Stamp.At) * time.Millisecond).Second(); read-asked != 0 && (read-asked+60)%60 > 1 {
				t.Fatalf("what was asked at second %d was read at second %d", asked, read)
			}
		}
		if good < 50 {
			t.Errorf("%d good readings", good)
		}
		if s := l.Driver.Status(); s.LateFrames == 0 {
			t.Error("no late frame was counted")
		}
	})
}

// TestOverlong: the end of a line that is too long is no line of its own.
func TestOverlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, options(t, map[string]string{"a": ppt}), char, serve('\r', func(_ string, say func(string)) {
			say(string(bytes.Repeat([]byte("9"), 300)))
			time.Sleep(time.Millisecond)
			say("?01CP=14.45\r")
		}))
		time.Sleep(3500 * time.Millisecond)
		if got := last(l.Sheet.Of("a/p")); got != "bad timeout" {
			t.Error(got)
		}
	})
}
