package buffer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// instruments makes readings as a site does: sweeps over its tags, floats that
// drift with noise, some integers, some that hardly ever change.
type instruments struct {
	boot   *gateway.Boot
	tags   []*gateway.Tag
	values []float64
	rng    *rand.Rand
	at     int64
	next   int
	gap    int64 // ms between sweeps
}

func newInstruments(boot *gateway.Boot, tags int) *instruments {
	i := &instruments{boot: boot, rng: rand.New(rand.NewPCG(1, 2)), at: 10_000, gap: 1000}
	for n := range tags {
		i.tags = append(i.tags, &gateway.Tag{Device: fmt.Sprintf("device-%d", n/20), Name: fmt.Sprintf("tag-%d", n), Type: "float32", Unit: "bar", Scale: gateway.One})
		i.values = append(i.values, 10+90*i.rng.Float64())
	}
	return i
}

func (i *instruments) fill(rs []gateway.Reading) {
	for n := range rs {
		k := i.next % len(i.tags)
		if k == 0 {
			i.at += i.gap + int64(i.rng.IntN(5)) - 2
		}
		i.next++
		i.values[k] += i.rng.NormFloat64() * 0.01
		v := gateway.Float32(float32(i.values[k]))
		switch k % 4 {
		case 1:
			v = gateway.Int(int64(i.values[k] * 100))
		case 2:
			v = gateway.Number(gateway.NewDecimal(int64(math.Round(i.values[k]*10)), -1))
		case 3:
			v = gateway.Int(int64(k))
		}
		rs[n] = gateway.Reading{Tag: i.tags[k], Stamp: gateway.Stamp{Boot: i.boot, At: i.at + int64(k/20)*37}, Value: v, Class: gateway.Normal}
	}
}

// benchStore runs a Store that commits only when it is flushed.
func benchStore(b *testing.B, dir string, size gateway.Size) *running {
	o := Options{Directory: dir, Fast: time.Hour, MaxSize: size, KeepDelivered: 168 * time.Hour}
	return start(b, o, testBoot("bench"), "scada")
}

// BenchmarkWear measures what a commit writes to the disk in steady state: each
// interval's readings are committed, sent, acknowledged, and the ack rides on the next commit.
// At least 6 ms lie between two commits, so that each changes the file's time, as in real life.
func BenchmarkWear(b *testing.B) {
	for _, c := range []struct {
		rate     int
		interval time.Duration
		full     bool
	}{
		{10, time.Second, false}, {10, 5 * time.Second, false},
		{100, time.Second, false}, {100, 5 * time.Second, false},
		{1000, time.Second, false}, {1000, 5 * time.Second, false},
		{100, 5 * time.Second, true},
	} {
		name := fmt.Sprintf("%dps-%v", c.rate, c.interval)
		size := gateway.Size(256e6)
		if c.full {
			name, size = name+"-full", 8<<20
		}
		b.Run(name, func(b *testing.B) { benchWear(b, c.rate, c.interval, size, c.full) })
	}
}

func benchWear(b *testing.B, rate int, interval time.Duration, size gateway.Size, full bool) {
	d := openDisk(b)
	s := benchStore(b, d.dir, size)
	defer s.stop()
	in := newInstruments(s.boot, min(rate, 100))
	rs := make([]gateway.Reading, int(float64(rate)*interval.Seconds()))
	round := func() {
		in.fill(rs)
		s.put(rs...)
		s.drain("scada")
		time.Sleep(6 * time.Millisecond)
	}
	for big := make([]gateway.Reading, 20_000); full && s.Stats().Classes[gateway.Normal].Stored == int64(s.Stats().Classes[gateway.Normal].Committed); {
		in.fill(big)
		s.put(big...)
		s.drain("scada")
	}
	for range 200 { // until the WAL is recycled
		round()
	}
	bytes, flushes := d.written(b)
	commits := s.Stats().File.Commits
	b.ResetTimer()
	for range b.N {
		round()
	}
	b.StopTimer()
	bytesAfter, flushesAfter := d.written(b)
	n := float64(s.Stats().File.Commits - commits)
	b.ReportMetric(float64(bytesAfter-bytes)/n/1000, "KB/commit")
	b.ReportMetric(float64(flushesAfter-flushes)/n, "flushes/commit")
	b.ReportMetric(float64(bytesAfter-bytes)/float64(b.N*len(rs)), "B/reading")
	st := s.Stats()
	b.ReportMetric(float64(st.File.Used)/float64(st.Classes[gateway.Normal].Stored), "B/reading-at-rest")
}

// BenchmarkAppend is the processor's share of buffering, from Append to disk.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		rate     int
		interval time.Duration
	}{{100, 5 * time.Second}, {1000, time.Second}, {1000, 5 * time.Second}} {
		b.Run(fmt.Sprintf("%dps-%v", c.rate, c.interval), func(b *testing.B) {
			s := benchStore(b, b.TempDir(), 256e6)
			in := newInstruments(s.boot, c.rate)
			rs := make([]gateway.Reading, c.rate)
			b.ReportAllocs()
			before := cpu()
			n := 0
			for b.Loop() {
				for range int(c.interval.Seconds()) {
					in.fill(rs)
					s.Append(rs, nil)
					n += len(rs)
				}
				s.flush()
			}
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(n), "cpu-ns/reading")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

// BenchmarkDrain is how fast a backlog can be read, and what that writes.
func BenchmarkDrain(b *testing.B) {
	d := openDisk(b)
	s := benchStore(b, d.dir, 256e6)
	defer s.stop()
	in := newInstruments(s.boot, 1000)
	rs := make([]gateway.Reading, 5000)
	const total = 1_000_000
	for range total / len(rs) {
		in.fill(rs)
		s.put(rs...)
	}
	claim := s.uplinks["scada"].claim(claimKey{s.Epoch(), gateway.Normal})
	b.ReportAllocs()
	bytes, _ := d.written(b)
	n := 0
	for b.Loop() {
		s.mu.Lock()
		claim.acked = nil
		s.mu.Unlock()
		for _, batch := range s.drain("scada") {
			n += len(batch.Readings)
		}
		s.Append(rs[:1], nil)
		s.flush()
	}
	after, _ := d.written(b)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "readings/s")
	b.ReportMetric(float64(after-bytes)/float64(n), "B-written/reading")
}

// BenchmarkMemory is how much stays resident with a backlog that fills the file,
// and how long such a file takes to open.
func BenchmarkMemory(b *testing.B) {
	dir := b.TempDir()
	s := benchStore(b, dir, 256e6)
	in := newInstruments(s.boot, 1000)
	rs := make([]gateway.Reading, 5000)
	for s.Stats().File.Used < 200e6 {
		in.fill(rs)
		s.Append(rs, nil)
		s.flush()
	}
	s.stop()
	s = nil
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	s = benchStore(b, dir, 256e6)
	open := time.Since(began)
	for b.Loop() {
		in.fill(rs[:1000])
		s.put(rs[:1000]...)
		batch := s.next("scada", gateway.Want{MaxReadings: 1000})
		s.ack("scada", batch)
	}
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/1e6, "MB-heap-added")
	b.ReportMetric(float64(residentKB())/1000, "MB-resident-process")
	b.ReportMetric(open.Seconds(), "s-to-open")
	s.stop()
}

func residentKB() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(n), " kB"), 10, 64)
			return kb
		}
	}
	return 0
}
