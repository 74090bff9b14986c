package text

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// prompt is a line whose instrument answers every request at once.
type prompt struct {
	reply string
	out   []byte
}

func (p *prompt) Read(b []byte) (int, error) {
	if len(p.out) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, p.out)
	p.out = p.out[:copy(p.out, p.out[n:])]
	return n, nil
}

func (p *prompt) Write(b []byte) (int, error) {
	p.out = append(p.out[:0], p.reply...)
	return len(b), nil
}

func (p *prompt) Close() error                    { return nil }
func (p *prompt) SetReadDeadline(time.Time) error { return nil }
func (p *prompt) Discard() error                  { return nil }
func (p *prompt) CharTime() time.Duration         { return 0 }

type nowhere struct{ n int }

func (s *nowhere) Append(rs []gateway.Reading, _ func(error)) { s.n += len(rs) }

// steady returns a function that polls once.
func steady(t testing.TB, device, reply string) (func(), *nowhere) {
	d, err := New(Options{Line: "l", Devices: map[string]DeviceOptions{"d": parse(t, device)}, Now: gateway.NewBoot("b").Now})
	if err != nil {
		t.Fatal(err)
	}
	sink := &nowhere{}
	d.publish = sink
	d.devices[0].ready = true
	x := newEngine(&prompt{reply: reply}, d)
	x.silence = 0
	ctx := context.Background()
	return func() {
		d.sweeps[0].start()
		if err := d.sweep(ctx, x, d.sweeps[0]); err != nil {
			t.Fatal(err)
		}
		if r := d.sweeps[0].readings[0]; r.Quality != gateway.Good {
			t.Fatalf("%+v", r)
		}
	}, sink
}

var steadyCases = []struct {
	name, device, reply string
	most                float64
}{
	{"one value", mensor, "1 +14.503\r\n", 5},
	{"columns and checksum", dcon, ">+025.40+026.10-000.5034\r", 6},
}

func TestFewAllocationsPerPoll(t *testing.T) {
	for _, c := range steadyCases {
		poll, sink := steady(t, c.device, c.reply)
		if n := testing.AllocsPerRun(100, poll); n > c.most {
			t.Errorf("%s: %v allocations per poll", c.name, n)
		}
		if sink.n < 100 {
			t.Errorf("%d readings", sink.n)
		}
	}
}

func BenchmarkPoll(b *testing.B) {
	for _, c := range steadyCases {
		b.Run(c.name, func(b *testing.B) {
			poll, _ := steady(b, c.device, c.reply)
			b.ReportAllocs()
			for b.Loop() {
				poll()
			}
		})
	}
}
