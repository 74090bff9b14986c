package modbus_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
)

// words returns uint16 tags at the addresses.
func words(addresses ...int) map[string]modbus.TagOptions {
	tags := make(map[string]modbus.TagOptions)
	for _, a := range addresses {
		tags[fmt.Sprintf("t%d", a)] = modbus.TagOptions{Address: a, Type: "uint16"}
	}
	return tags
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// texts returns the requests of a plan.
func texts(t *testing.T, d modbus.DeviceOptions) string {
	t.Helper()
	d.SlaveID = ptr(1)
	if d.Interval == 0 {
		d.Interval = time.Second
	}
	p := modbus.Plan(rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600)
	var all []string
	for _, r := range p.Requests {
		all = append(all, r.Text)
	}
	return strings.Join(all, "; ")
}

func TestPlanMergesWhatItMay(t *testing.T) {
	bits := map[string]modbus.TagOptions{
		"b0": {Address: 5, Type: "bool", Bit: ptr(0)}, "b9": {Address: 5, Type: "bool", Bit: ptr(9)},
		"w": {Address: 6, Type: "uint16"},
	}
	for want, d := range map[string]modbus.DeviceOptions{
		"holding 0 to 19":                        {Tags: words(upTo(20)...)},
		"holding 0 to 10":                        {Tags: words(0, 1, 10)},
		"holding 0 to 1; holding 11":             {Tags: words(0, 1, 11)},
		"holding 0 to 1; holding 10":             {Tags: words(0, 1, 10), MaxGap: ptr(0)},
		"holding 0 to 4; holding 5 to 9":         {Tags: words(upTo(10)...), MaxRegisters: 5},
		"holding 0; holding 1; holding 3":        {Tags: words(0, 1, 3), NoMerge: true},
		"holding 5; holding 6":                   {Tags: bits, NoMerge: true},
		"holding 5 to 6":                         {Tags: bits},
		"holding 0 to 1; holding 5 to 7":         {Tags: words(0, 1, 5, 7), Holes: [][2]int{{2, 3}}},
		"holding 0; holding 2 to 4; holding 8":   {Tags: words(0, 2, 4, 8), Holes: [][2]int{{1, 1}, {5, 7}}},
		"holding 0 to 1; holding 2; holding 3":   {Tags: words(0, 1, 2, 3), Holes: [][2]int{{2, 2}, {3, 3}}},
		"holding 0 to 124; holding 125 to 129":   {Tags: words(upTo(130)...)},
		"holding 65530 to 65535":                 {Tags: words(65530, 65535)},
		"holding 10 to 12; holding 4000 to 4001": {Tags: words(10, 12, 4000, 4001)},
	} {
		if got := texts(t, d); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPlanTellsWhatALineCosts(t *testing.T) {
	d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: words(upTo(20)...)}
	p := modbus.Plan(rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600)
	// 8 + 45 characters of 1.0417 ms are 55.21 ms; with twice 3.5 and 20 ms to think 82.5 ms.
	r := p.Requests[0]
	if len(p.Requests) != 1 || r.Tags != 20 || r.Wire.Round(10*time.Microsecond) != 55210*time.Microsecond || r.Cycle.Round(10*time.Microsecond) != 82500*time.Microsecond {
		t.Errorf("%+v", p.Requests)
	}
	if math.Abs(p.Use-0.0825) > 1e-4 {
		t.Errorf("use %v, want 0.0825", p.Use)
	}
	o := rtu(0, map[string]modbus.DeviceOptions{"d": d})
	o.Protocol = modbus.TCP
	if p := modbus.Plan(o, 0); p.Requests[0].Cycle != 20*time.Millisecond || p.Requests[0].Wire != 0 {
		t.Errorf("TCP: %+v", p)
	}
	if p := modbus.Plan(modbus.Options{Line: "x"}, 0); len(p.Requests) > 0 {
		t.Error("a plan of options that are wrong")
	}
}

// requestsOfTheLastSecond runs a device for some seconds and returns how many requests the last took.
func requestsOfTheLastSecond(t *testing.T, in *simulate.Instruments, d modbus.DeviceOptions, seconds int) uint64 {
	t.Helper()
	d.SlaveID = ptr(1)
	l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, in.ServeRTU)
	time.Sleep(time.Duration(seconds)*time.Second - 100*time.Millisecond)
	before := l.Driver.Status().Requests
	time.Sleep(time.Second)
	l.Stop()
	return l.Driver.Status().Requests - before
}

func TestOneMissingRegisterCostsNoMoreThanItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, make([]uint16, 60)...)
		in.Unit(1).Remove(wire.ReadHoldingRegisters, 37, 1)
		d := modbus.DeviceOptions{Interval: time.Second, Tags: words(upTo(60)...)}
		if n := requestsOfTheLastSecond(t, in, d, 20); n != 3 {
			t.Errorf("%d requests a second, want 3: what is before it, what is after it, and it", n)
		}
	})
}

func TestALimitThatIsNotToldIsLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, make([]uint16, 8)...)
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 12, make([]uint16, 8)...) // 8 to 11 do not exist
		d := modbus.DeviceOptions{Interval: time.Second, Tags: words(0, 7, 12, 19)}
		if n := requestsOfTheLastSecond(t, in, d, 20); n != 2 {
			t.Errorf("%d requests a second, want 2", n)
		}
	})
}

func TestWhatOneSweepLearnsTheOthersKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		u := in.Unit(1)
		u.SetWords(wire.ReadHoldingRegisters, 0, make([]uint16, 20)...)
		u.Remove(wire.ReadHoldingRegisters, 9, 1)
		tags := words(0, 8, 9, 10)
		for _, a := range []int{2, 11} { // slow ones, across the same hole
			tags[fmt.Sprintf("s%d", a)] = modbus.TagOptions{Address: a, Type: "uint16"}
			o := tags[fmt.Sprintf("s%d", a)]
			o.Interval = 10 * time.Second
			tags[fmt.Sprintf("s%d", a)] = o
		}
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, MaxGap: ptr(10), Tags: tags}
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, in.ServeRTU)
		time.Sleep(9*time.Second + 900*time.Millisecond)
		before := l.Driver.Status()
		time.Sleep(time.Second)
		after := l.Driver.Status()
		if n, refused := after.Requests-before.Requests, after.Exceptions-before.Exceptions; n != 5 || refused != 1 {
			t.Errorf("%d requests, %d of them refused; want 5 and 1", n, refused)
		}
		u.SetWords(wire.ReadHoldingRegisters, 9, 5) // another instrument, which has it
		u.Silence(true)
		time.Sleep(30 * time.Second)
		u.Silence(false)
		time.Sleep(30 * time.Second)
		before = l.Driver.Status()
		time.Sleep(9 * time.Second)
		after = l.Driver.Status()
		l.Stop()
		if n := after.Requests - before.Requests; n > 10 || after.Exceptions != before.Exceptions {
			t.Errorf("%d requests in nine seconds, want one a second again", n)
		}
	})
}

// TestAHoleThatIsMetWithSilence has an instrument that refuses what is missing,
// and says nothing at all to a request across a gap.
func TestAHoleThatIsMetWithSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, make([]uint16, 20)...)
		in.Unit(1).Remove(wire.ReadHoldingRegisters, 19, 1)
		var longest atomic.Int32
		serve := func(ctx context.Context, far io.ReadWriter) error {
			return in.ServeRTU(ctx, &deafToLong{far, &longest})
		}
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: 2 * time.Second, Tags: words(upTo(20)...)}
		longest.Store(20) // the first time it refuses; later it is deaf to more than 12 registers
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, serve)
		time.Sleep(time.Second)
		longest.Store(12)
		time.Sleep(59 * time.Second)
		l.Stop()
		for _, tag := range []string{"d/t0", "d/t18"} {
			if n := between(l.Sheet, tag, 30, 60); n != 15 {
				t.Errorf("%s: %d good readings of 15", tag, n)
			}
		}
	})
}

// deafToLong loses requests for many registers.
type deafToLong struct {
	io.ReadWriter
	longest *atomic.Int32
}

func (d *deafToLong) Read(p []byte) (int, error) {
	for {
		n, err := d.ReadWriter.Read(p)
		if err != nil || n < 6 || int32(p[5]) <= d.longest.Load() {
			return n, err
		}
	}
}

func TestBitsOfARegisterThatIsMissingAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		tags := make(map[string]modbus.TagOptions)
		for bit := range 16 {
			tags[fmt.Sprintf("b%d", bit)] = modbus.TagOptions{Address: 100, Type: "bool", Bit: ptr(bit)}
		}
		if n := requestsOfTheLastSecond(t, in, modbus.DeviceOptions{Interval: time.Second, Tags: tags}, 5); n != 1 {
			t.Errorf("%d requests a second, want 1", n)
		}
	})
}
