package buffer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

var quiet = slog.New(slog.DiscardHandler)

// testBoot is a boot with a trusted clock.
func testBoot(id string) *gateway.Boot {
	b := gateway.NewBoot(id)
	b.SetOffset(gateway.Offset{Milli: 1_700_000_000_000, Trusted: true})
	return b
}

// running is a Store that runs until stop.
type running struct {
	*Store
	t    testing.TB
	stop func() error
}

func testOptions(dir string) Options {
	return Options{Directory: dir, Fast: time.Millisecond, MaxSize: 64 << 20, KeepDelivered: time.Hour}
}

func start(t testing.TB, o Options, boot *gateway.Boot, uplinks ...string) *running {
	t.Helper()
	s, err := Open(o, boot, uplinks, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &running{Store: s, t: t}
	r.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// put appends readings and waits until they are on disk.
func (r *running) put(rs ...gateway.Reading) {
	r.t.Helper()
	r.Append(rs, nil)
	r.flush()
}

func (r *running) flush() {
	r.t.Helper()
	if err := r.Flush(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) next(uplink string, want gateway.Want) gateway.Batch {
	r.t.Helper()
	if want.Classes == 0 {
		want.Classes = gateway.AllClasses
	}
	b, err := r.Next(context.Background(), uplink, want)
	if err != nil {
		r.t.Fatalf("next: %v", err)
	}
	return b
}

func (r *running) nothing(uplink string) {
	r.t.Helper()
	b, err := r.Next(context.Background(), uplink, gateway.Want{Classes: gateway.AllClasses})
	if !errors.Is(err, gateway.ErrNothing) {
		from, to := b.Range()
		r.t.Fatalf("next gives %v %d to %d, %v; want nothing", b.Class, from, to, err)
	}
}

func (r *running) ack(uplink string, b gateway.Batch) {
	r.t.Helper()
	from, to := b.Range()
	if err := r.Ack(context.Background(), uplink, b.Epoch, b.Class, from, to); err != nil {
		r.t.Fatal(err)
	}
}

// drain takes and acknowledges everything there is now.
func (r *running) drain(uplink string) (all []gateway.Batch) {
	r.t.Helper()
	for {
		b, err := r.Next(context.Background(), uplink, gateway.Want{Classes: gateway.AllClasses})
		if errors.Is(err, gateway.ErrNothing) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.ack(uplink, b)
		all = append(all, b)
	}
}

var testTags = func() (tags []*gateway.Tag) {
	for i := range 100 {
		tags = append(tags, &gateway.Tag{Device: fmt.Sprintf("device-%d", i/10), Name: fmt.Sprintf("tag-%d", i), Type: "float32", Unit: "bar", Scale: gateway.One})
	}
	return tags
}()

// reading makes the nth reading of a class: its value tells which it is.
func reading(boot *gateway.Boot, class gateway.Class, n int) gateway.Reading {
	return gateway.Reading{Tag: testTags[n%len(testTags)], Stamp: gateway.Stamp{Boot: boot, At: 1000 + int64(n)},
		Value: gateway.Int(int64(n)), Class: class}
}

func readings(boot *gateway.Boot, class gateway.Class, from, to int) (rs []gateway.Reading) {
	for n := from; n <= to; n++ {
		rs = append(rs, reading(boot, class, n))
	}
	return rs
}

func dbPath(dir string) string { return filepath.Join(dir, fileName) }

var errDisk = errors.New("the disk is broken on purpose")

// breakAt breaks a step once, after so many times that it went well.
type breakAt struct {
	step  flash.Step
	after int
	times int
}

func (b *breakAt) fault(s flash.Step) error {
	if s != b.step {
		return nil
	}
	if b.after--; b.after < 0 && b.after >= -b.times {
		return errDisk
	}
	return nil
}
