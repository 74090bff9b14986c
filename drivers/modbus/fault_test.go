package modbus_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

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
func (j *judge) examine(s *sheet, device string, unit byte) {
	for i := range judgeTags {
		tag := fmt.Sprintf("%s/t%d", device, i)
		for _, r := range s.of(tag) {
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
			case j.fates[seq] != simulate.OnTime:
				j.wrong = append(j.wrong, fmt.Sprintf("%s: answer %d, which was late or lost", tag, seq))
			case j.used[seq] != "":
				j.wrong = append(j.wrong, fmt.Sprintf("%s: answer %d was used for %s before", tag, seq, j.used[seq]))
			}
			j.used[seq] = tag
		}
	}
}

func TestNoFaultOfTheLineGivesAWrongValue(t *testing.T) {
	mixed := simulate.Fault{Late: 0.08, LateBy: 320 * time.Millisecond, Duplicate: 0.03, Noise: 0.05, NUL: 0.05, Extra: 0.03, Lost: 0.02, Flip: 0.02}
	late := simulate.Fault{Late: 0.08, LateBy: 320 * time.Millisecond}
	cases := []struct {
		name  string
		fault simulate.Fault
		seeds int
		good  float64 // at least this share of the readings
	}{
		{"sound", simulate.Fault{}, 1, 1},
		{"late", late, 6, 0.9},
		{"much later than seen before", simulate.Fault{Late: 0.02, LateBy: 390 * time.Millisecond}, 4, 0.95},
		{"duplicate", simulate.Fault{Duplicate: 0.05}, 2, 1},
		{"duplicate after a while", simulate.Fault{Duplicate: 0.05, DuplicateAfter: 2 * time.Millisecond}, 2, 1},
		{"lost", simulate.Fault{Lost: 0.05}, 2, 0.95},
		{"flip", simulate.Fault{Flip: 0.05}, 2, 0.95},
		{"noise", simulate.Fault{Noise: 0.1}, 2, 1},
		{"nul", simulate.Fault{NUL: 0.2}, 2, 1},
		{"extra", simulate.Fault{Extra: 0.1}, 2, 1},
		{"wrong unit", simulate.Fault{WrongUnit: 0.05}, 2, 0.85},
		{"exception", simulate.Fault{Exception: 0.05}, 2, 0.9},
		{"split", simulate.Fault{Split: 0.3}, 2, 1},
		{"echo", simulate.Fault{Echo: true}, 1, 1},
		{"echo and late", simulate.Fault{Echo: true, Late: 0.08, LateBy: 320 * time.Millisecond}, 3, 0.9},
		{"mixed", mixed, 8, 0.85},
	}
	for _, c := range cases {
		for seed := range c.seeds {
			t.Run(fmt.Sprintf("%s/%d", c.name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := c.fault
					f.Seed = uint64(11 + seed)
					faulty(t, f, c.good)
				})
			})
		}
	}
}

func faulty(t *testing.T, f simulate.Fault, atLeast float64) {
	in := simulate.NewInstruments()
	j := judged(in, 1, 2)
	in.Fault(f)
	o := modbus.Options{
		Line: "rs485", Protocol: modbus.RTU,
		LineOptions: modbus.LineOptions{ResponseTimeout: 200 * time.Millisecond},
		Devices:     map[string]modbus.DeviceOptions{"a": judgedDevice(1, 2*time.Second), "b": judgedDevice(2, 2*time.Second)},
	}
	l := start(t, o, char9600, in.ServeRTU)
	time.Sleep(400*time.Second - time.Millisecond)
	l.stop()
	synctest.Wait()
	j.examine(l.sheet, "a", 1)
	j.examine(l.sheet, "b", 2)
	for i, w := range j.wrong {
		if i < 5 {
			t.Error(w)
		}
	}
	s := l.driver.Status()
	t.Logf("good %d, bad %d, wrong %d; timeouts %d, crc %d, late %d, echoes %d, unsolicited %d of %d requests",
		j.good, j.bad, len(j.wrong), s.Timeouts, s.CRCErrors, s.LateFrames, s.Echoes, s.UnsolicitedBytes, s.Requests)
	if want := 2 * judgeTags * 199; j.good+j.bad < want {
		t.Errorf("%d readings, want %d: an interval passed in silence", j.good+j.bad, want)
	}
	if share := float64(j.good) / float64(j.good+j.bad); share < atLeast {
		t.Errorf("%.3f of the readings are good, want %.3f", share, atLeast)
	}
	if f.WrongUnit == 0 && (f.Late > 0) != (s.LateFrames > 0) {
		t.Errorf("%d late frames were counted", s.LateFrames)
	}
}
