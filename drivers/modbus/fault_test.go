package modbus_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

const char9600 = 10 * time.Second / 9600

// judge knows of every answer what it said and what became of it. Values tell
// their unit, address and request: unit in 4 bits, address/100 in 4, sequence in 24.
type judge struct {
	fates map[uint64]simulate.Fate
	used  map[uint64]string
	wrong []string
	good  int
	bad   int

	lateIsOnTime bool // late answers are so by less than they may be
}

const judgeTags = 8

// judged puts instruments on a line whose requests all have the same length, so
// that one answer could pass for another.
func judged(in *simulate.Instruments, units ...byte) *judge {
	j := &judge{fates: make(map[uint64]simulate.Fate), used: make(map[uint64]string)}
	in.Observe(func(e simulate.Event) { j.fates[e.Seq] = e.Fate })
	for _, unit := range units {
		for i := range judgeTags {
			in.Unit(unit).SetComputed(wire.ReadHoldingRegisters, 100*i, 2, func(c simulate.Call, words []uint16) {
				v := uint32(unit)<<28 | uint32(i)<<24 | uint32(c.Seq)
				words[0], words[1] = uint16(v>>16), uint16(v)
			})
		}
	}
	return j
}

func judgedDevice(unit int, interval time.Duration) modbus.DeviceOptions {
	tags := make(map[string]modbus.TagOptions)
	for i := range judgeTags {
		tags[fmt.Sprintf("t%d", i)] = modbus.TagOptions{Address: 100 * i, Type: "uint32"}
	}
	return modbus.DeviceOptions{SlaveID: &unit, Interval: interval, Tags: tags}
}

// examine looks at every reading of a device.
func (j *judge) examine(s *keepertest.Sheet, device string, unit byte) {
	for i := range judgeTags {
		tag := fmt.Sprintf("%s/t%d", device, i)
		for _, r := range s.Of(tag) {
			if r.Quality != gateway.Good {
				j.bad++
				if !r.Value.IsNone() || r.Reason == gateway.NoReason {
					j.wrong = append(j.wrong, fmt.Sprintf("%s: %v with quality %v, reason %v", tag, r.Value, r.Quality, r.Reason))
				}
				continue
			}
			j.good++
			v := uint32(r.Value.Float64())
			seq := uint64(v & 0xFFFFFF)
			switch {
			case byte(v>>28) != unit || int(v>>24&15) != i:
				j.wrong = append(j.wrong, fmt.Sprintf("%s: the value of unit %d tag %d", tag, v>>28, v>>24&15))
			case j.fates[seq] != simulate.OnTime && !(j.lateIsOnTime && j.fates[seq] == simulate.Late):
				j.wrong = append(j.wrong, fmt.Sprintf("%s: answer %d, which was late or lost", tag, seq))
			case j.used[seq] != "":
				j.wrong = append(j.wrong, fmt.Sprintf("%s: answer %d was used for %s before", tag, seq, j.used[seq]))
			}
			j.used[seq] = tag
		}
	}
}

// faultCase is one way in which a line goes wrong.
type faultCase struct {
	name     string
	fault    simulate.Fault
	seeds    int
	good     float64       // at least this share of the readings
	interval time.Duration // 0 means two seconds
	recovery time.Duration // after the end of the fault; 0 means one interval
	unplug   bool          // the line is lost every few seconds as well
	gap      time.Duration // inter_request_gap
}

const faultTimeout = 200 * time.Millisecond

// faultCases are of a serial line. Answers that are late are so by less than the
// response time and the quarantine after it, twice 200 ms: what comes later
// than ever before RTU cannot tell from what was asked for since.
var faultCases = []faultCase{
	{name: "sound", seeds: 1, good: 1},
	{name: "late", fault: simulate.Fault{Late: 0.08, LateBy: 320 * time.Millisecond}, seeds: 6, good: 0.85},
	{name: "much later than seen before", fault: simulate.Fault{Late: 0.02, LateBy: 390 * time.Millisecond}, seeds: 4, good: 0.95},
	{name: "late by more than the short wait", fault: simulate.Fault{Late: 0.05, LateBy: 120 * time.Millisecond}, seeds: 2, good: 0.95},
	{name: "later than the next cycle", fault: simulate.Fault{Late: 0.05, LateBy: 390 * time.Millisecond}, seeds: 4, interval: 150 * time.Millisecond, recovery: 1200 * time.Millisecond},
	{name: "every one late", fault: simulate.Fault{Late: 1, LateBy: 380 * time.Millisecond}, seeds: 2, recovery: 10 * time.Second},
	{name: "duplicate", fault: simulate.Fault{Duplicate: 0.05}, seeds: 2, good: 1},
	{name: "every one twice", fault: simulate.Fault{Duplicate: 1}, seeds: 1, good: 1},
	{name: "duplicate after a while", fault: simulate.Fault{Duplicate: 0.05, DuplicateAfter: 2 * time.Millisecond}, seeds: 2, good: 1},
	{name: "lost", fault: simulate.Fault{Lost: 0.05}, seeds: 2, good: 0.95},
	{name: "flip", fault: simulate.Fault{Flip: 0.05}, seeds: 2, good: 0.95},
	{name: "noise", fault: simulate.Fault{Noise: 0.1}, seeds: 2, good: 1},
	{name: "nul", fault: simulate.Fault{NUL: 0.2}, seeds: 2, good: 1},
	{name: "extra", fault: simulate.Fault{Extra: 0.1}, seeds: 2, good: 1},
	{name: "wrong unit", fault: simulate.Fault{WrongUnit: 0.05}, seeds: 2, good: 0.6, recovery: 10 * time.Second},
	{name: "exception", fault: simulate.Fault{Exception: 0.05}, seeds: 2, good: 0.9},
	{name: "split", fault: simulate.Fault{Split: 0.3}, seeds: 2, good: 1},
	{name: "echo", fault: simulate.Fault{Echo: true}, seeds: 1, good: 1},
	{name: "echo and late", fault: simulate.Fault{Echo: true, Late: 0.08, LateBy: 320 * time.Millisecond}, seeds: 3, good: 0.85},
	{name: "mixed", fault: simulate.Fault{Late: 0.08, LateBy: 320 * time.Millisecond, Duplicate: 0.03, Noise: 0.05, NUL: 0.05, Extra: 0.03, Lost: 0.02, Flip: 0.02}, seeds: 8, good: 0.8},
	{name: "silent", fault: simulate.Fault{Silent: true}, seeds: 1, recovery: 10 * time.Second},
	{name: "unplugged again and again", seeds: 2, good: 0.8, unplug: true},
	{name: "unplugged and mixed", fault: simulate.Fault{Late: 0.05, LateBy: 320 * time.Millisecond, Duplicate: 0.05, Noise: 0.05, Lost: 0.02, Flip: 0.02}, seeds: 2, good: 0.6, unplug: true},
}

// enough is how many transactions of each fault and seed there are at least.
func enough() uint64 {
	if long() {
		return 10_000
	}
	return 1_000
}

func TestNoFaultOfTheLineGivesAWrongValue(t *testing.T) {
	for _, c := range faultCases {
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%s/%d", c.name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.fault.Seed = uint64(11 + seed)
					c.play(t, modbus.RTU)
				})
			})
		}
	}
}

// TestNoFaultOfAConnectionGivesAWrongValue has no bound to lateness: each answer says what it answers.
func TestNoFaultOfAConnectionGivesAWrongValue(t *testing.T) {
	for _, c := range []faultCase{
		{name: "late", fault: simulate.Fault{Late: 0.05, LateBy: 320 * time.Millisecond}, good: 0.95},
		{name: "very late", fault: simulate.Fault{Late: 0.05, LateBy: 7 * time.Second}, good: 0.9},
		{name: "duplicate", fault: simulate.Fault{Duplicate: 0.1, DuplicateAfter: 3 * time.Second}, good: 1},
		{name: "lost", fault: simulate.Fault{Lost: 0.05}, good: 0.95},
		{name: "wrong unit", fault: simulate.Fault{WrongUnit: 0.05}, good: 0.95},
		{name: "split", fault: simulate.Fault{Split: 0.3}, good: 1},
		{name: "silent", fault: simulate.Fault{Silent: true}, recovery: 10 * time.Second},
		{name: "unplugged and late", fault: simulate.Fault{Late: 0.05, LateBy: time.Second}, good: 0.8, unplug: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.fault.Seed = 11
				c.play(t, modbus.TCP)
			})
		})
	}
}

// TestNoFaultOfOtherFramesGivesAWrongValue plays every fault of a serial line to the
// other protocols whose frames do not say what they answer.
func TestNoFaultOfOtherFramesGivesAWrongValue(t *testing.T) {
	for _, protocol := range []string{modbus.ASCII, modbus.RTUOverTCP, modbus.ASCIIOverTCP} {
		for _, c := range faultCases {
			t.Run(protocol+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if protocol != modbus.RTUOverTCP {
						c.fault.Flip = 0 // of a letter may make it a small one, which is as good
					}
					if protocol != modbus.ASCII && c.fault.DuplicateAfter > 0 {
						c.gap = 4 * time.Millisecond // without it, only what comes within one is waited for
					}
					c.fault.Seed = 11
					c.play(t, protocol)
				})
			})
		}
	}
}

// play polls two instruments through the fault for some thousand transactions,
// then without it, and looks at every reading.
func (c faultCase) play(t *testing.T, protocol string) {
	in := simulate.NewInstruments()
	j := judged(in, 1, 2)
	j.lateIsOnTime = c.fault.LateBy < faultTimeout
	in.Fault(c.fault)
	if c.interval == 0 {
		c.interval = 2 * time.Second
	}
	o := rtu(faultTimeout, map[string]modbus.DeviceOptions{"a": judgedDevice(1, c.interval), "b": judgedDevice(2, c.interval)})
	o.Protocol, o.InterRequestGap = protocol, c.gap
	var sound atomic.Bool
	l := start(t, o, charOf(protocol), func(ctx context.Context, far io.ReadWriter) error {
		if c.unplug && !sound.Load() {
			timer := time.AfterFunc(time.Second+time.Duration(c.fault.Seed)*137*time.Millisecond, func() { _ = far.(*keepertest.Wire).Close() })
			defer timer.Stop()
		}
		return serveAs(ctx, in, protocol, far)
	})
	began := time.Now()
	for l.Driver.Status().Requests < enough() && time.Since(began) < 10*time.Hour {
		time.Sleep(c.interval)
	}
	during := time.Since(began)
	in.Fault(simulate.Fault{})
	sound.Store(true)
	if c.unplug {
		time.Sleep(3 * time.Second) // until the last timer has gone off
	}
	ended := time.Since(began)
	time.Sleep(max(20*time.Second, 10*c.interval))
	l.Stop()
	synctest.Wait()
	j.examine(l.Sheet, "a", 1)
	j.examine(l.Sheet, "b", 2)
	c.report(t, protocol, l, j, during, ended)
}

func charOf(protocol string) time.Duration {
	if protocol == modbus.RTU || protocol == modbus.ASCII {
		return char9600
	}
	return 0
}

func serveAs(ctx context.Context, in *simulate.Instruments, protocol string, far io.ReadWriter) error {
	switch protocol {
	case modbus.TCP:
		return in.ServeTCP(ctx, far)
	case modbus.ASCII, modbus.ASCIIOverTCP:
		return in.ServeASCII(ctx, far)
	default:
		return in.ServeRTU(ctx, far)
	}
}

func (c faultCase) report(t *testing.T, protocol string, l *lab, j *judge, during, ended time.Duration) {
	t.Helper()
	for i, w := range j.wrong {
		if i < 5 {
			t.Error(w)
		}
	}
	s := l.Driver.Status()
	good, bad, last := c.readings(l.Sheet, during, ended)
	t.Logf("good %d, bad %d, wrong %d; timeouts %d, crc %d, late %d, echoes %d, unsolicited %d of %d requests; sound again after %s",
		good, bad, len(j.wrong), s.Timeouts, s.CRCErrors, s.LateFrames, s.Echoes, s.UnsolicitedBytes, s.Requests, last)
	if want := 2 * judgeTags * (int(during/c.interval) - 2); good+bad < want && c.interval > time.Second {
		t.Errorf("%d readings, want %d: an interval passed in silence", good+bad, want)
	}
	if share := float64(good) / float64(good+bad); share < c.good {
		t.Errorf("%.3f of the readings are good, want %.3f", share, c.good)
	}
	if f := c.fault; f.Late > 0 && f.LateBy > faultTimeout && charOf(protocol) > 0 && s.LateFrames == 0 {
		t.Errorf("%d late frames were counted", s.LateFrames)
	}
	if c.recovery == 0 {
		c.recovery = c.interval
	}
	if last > c.recovery {
		t.Errorf("the last bad reading came %s after the fault had ended, want %s", last, c.recovery)
	}
}

// readings counts those of the fault's time, and finds how long after its end the last bad one came.
func (c faultCase) readings(s *keepertest.Sheet, during, ended time.Duration) (good, bad int, last time.Duration) {
	for _, device := range []string{"a", "b"} {
		for i := range judgeTags {
			for _, r := range s.Of(fmt.Sprintf("%s/t%d", device, i)) {
				at := time.Duration(r.Stamp.At) * time.Millisecond
				if r.Quality != gateway.Good && at > ended {
					last = max(last, at-ended)
				}
				switch {
				case at > during:
				case r.Quality == gateway.Good:
					good++
				default:
					bad++
				}
			}
		}
	}
	return good, bad, last
}

// kept is a line that stays as it is when a program ends.
type kept struct{ gateway.Line }

func (kept) Close() error { return nil }

func TestAnAnswerToTheProgramBeforeIsNotTakenForOurs(t *testing.T) {
	for seed := range 20 {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			j := judged(in, 1)
			in.Fault(simulate.Fault{Late: 0.3, LateBy: 380 * time.Millisecond, Seed: uint64(seed)})
			line, far := keepertest.NewWire(char9600)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _ = in.ServeRTU(ctx, far) }()
			var sheets []*keepertest.Sheet
			for range 30 { // killed and started anew
				l := startWith(t, rtu(faultTimeout, map[string]modbus.DeviceOptions{"a": judgedDevice(1, 300*time.Millisecond)}), func(context.Context) (gateway.Line, error) {
					return kept{line}, nil
				})
				time.Sleep(700 * time.Millisecond)
				l.Stop()
				sheets = append(sheets, l.Sheet)
			}
			cancel()
			_ = line.Close()
			synctest.Wait()
			for _, s := range sheets {
				j.examine(s, "a", 1)
			}
			if len(j.wrong) > 0 || j.good == 0 {
				t.Errorf("good %d, wrong %v", j.good, j.wrong)
			}
		})
	}
}

// long reports whether make test-long runs, which has the time for more of the same.
func long() bool { return os.Getenv("GAUGEWAY_LONG") != "" }
