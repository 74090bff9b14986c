package modbus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func counts(rs []gateway.Reading) map[string]int {
	n := make(map[string]int)
	for _, r := range rs {
		key := r.Quality.String()
		if r.Reason != 0 {
			key += " " + r.Reason.String()
		}
		n[key]++
	}
	return n
}

func oneTag(unit int, interval time.Duration) modbus.DeviceOptions {
	return modbus.DeviceOptions{SlaveID: &unit, Interval: interval, Tags: map[string]modbus.TagOptions{"v": {Address: 0, Type: "uint16"}}}
}

func rtu(timeout time.Duration, devices map[string]modbus.DeviceOptions) modbus.Options {
	return modbus.Options{Line: "rs485", Protocol: modbus.RTU, LineOptions: modbus.LineOptions{ResponseTimeout: timeout}, Devices: devices}
}

func TestDeadUnitsDoNotStarveALiveOne(t *testing.T) {
	for _, timeout := range []time.Duration{300 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := simulate.NewInstruments()
				in.Unit(9).SetWords(wire.ReadHoldingRegisters, 0, 42)
				devices := map[string]modbus.DeviceOptions{"live": oneTag(9, time.Second)}
				for i := range 8 {
					devices[fmt.Sprintf("dead%d", i)] = oneTag(1+i, time.Second) // sorts before live: the worst order
				}
				l := start(t, rtu(timeout, devices), char9600, in.ServeRTU)
				time.Sleep(69*time.Second + 900*time.Millisecond)
				l.Stop()
				// The first round through units nobody knows yet may cost the live one some intervals.
				if n := len(l.Sheet.Of("live/v")); n < 60 || counts(l.Sheet.Of("live/v"))["good"] < 60 {
					t.Errorf("live: %v, want at least 60 good", counts(l.Sheet.Of("live/v")))
				}
				for i := range 8 {
					tag := fmt.Sprintf("dead%d/v", i)
					got := counts(l.Sheet.Of(tag))
					if got["good"] > 0 || got["bad timeout"]+got["bad starting"] < 66 {
						t.Errorf("%s: %v, want about 70 bad", tag, got)
					}
				}
				t.Logf("live %v, dead7 %v, requests %d, timeouts %d", counts(l.Sheet.Of("live/v")), counts(l.Sheet.Of("dead7/v")), l.Driver.Status().Requests, l.Driver.Status().Timeouts)
			})
		})
	}
}

func TestAUnitThatNeverAnswersCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(2).SetWords(wire.ReadHoldingRegisters, 0, 42)
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"dead": oneTag(1, time.Second), "live": oneTag(2, time.Second)}), char9600, in.ServeRTU)
		time.Sleep(time.Hour)
		l.Stop()
		if got := counts(l.Sheet.Of("live/v")); got["good"] < 3599 {
			t.Errorf("live: %v, want every second", got)
		}
		// 3600 s at 5 % is 180 s, which are 360 tries of 0.5 s, or 1030 of 0.175 s.
		if n := l.Driver.Status().Timeouts; n > 1030 || n < 360 {
			t.Errorf("%d tries to reach a dead unit in an hour, want 360 to 1030", n)
		}
	})
}

func TestSilenceIsBadAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		in.Unit(2).SetWords(wire.ReadHoldingRegisters, 0, 2)
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second), "b": oneTag(2, time.Second)}), char9600, in.ServeRTU)
		time.Sleep(10*time.Second + 100*time.Millisecond)
		in.Unit(1).Silence(true)
		time.Sleep(60 * time.Second)
		if d := l.Driver.Status().Devices[0]; d.Online || d.Reason != "no answer" || d.Cause != gateway.Timeout {
			t.Errorf("a is %+v, want offline", d)
		}
		in.Unit(1).Silence(false)
		time.Sleep(30 * time.Second)
		if d := l.Driver.Status().Devices[0]; !d.Online || d.Reason != "" || d.Cause != gateway.NoReason {
			t.Errorf("a is %+v, want online", d)
		}
		l.Stop()
		a := l.Sheet.Of("a/v")
		for _, r := range a {
			at := r.Stamp.At
			switch silent := at > 10_100 && at < 70_100; {
			case silent && (r.Quality != gateway.Bad || r.Reason != gateway.Timeout || !r.Value.IsNone()):
				t.Errorf("at %d: %v %v %v while it is silent", at, r.Value, r.Quality, r.Reason)
			case !silent && r.Quality != gateway.Good && at < 10_100:
				t.Errorf("at %d: %v", at, r.Reason)
			}
		}
		if got := counts(a); got["bad timeout"] < 59 || got["good"] < 25 {
			t.Errorf("a: %v", got)
		}
		if got := counts(l.Sheet.Of("b/v")); got["good"] != len(l.Sheet.Of("b/v")) || got["good"] < 100 {
			t.Errorf("b: %v, want only good ones, at least 100", got)
		}
	})
}

func TestLineThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		var missing atomic.Bool
		var tries atomic.Int32
		var plugged atomic.Pointer[keepertest.Wire]
		missing.Store(true)
		open := func(ctx context.Context) (gateway.Line, error) {
			tries.Add(1)
			if missing.Load() {
				return nil, errors.New("open /dev/ttyUSB0: there is no such port")
			}
			line, far := keepertest.NewWire(char9600)
			plugged.Store(far)
			go func() { _ = in.ServeRTU(ctx, far) }()
			return line, nil
		}
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second), "slow": oneTag(1, time.Minute)}), open)
		time.Sleep(60*time.Second + 500*time.Millisecond)
		if got := counts(l.Sheet.Of("a/v")); got["bad line"] != 61 {
			t.Errorf("missing: %v, want 61 times line", got)
		}
		if s := l.Driver.Status(); s.Open || s.Reason != "open /dev/ttyUSB0: there is no such port" || s.Devices[0].Cause != gateway.LineDown {
			t.Errorf("status %+v", s)
		}
		if n := tries.Load(); n < 10 || n > 60 {
			t.Errorf("%d tries to open in a minute", n)
		}
		missing.Store(false)
		time.Sleep(10 * time.Second)
		if s := l.Driver.Status(); !s.Open || !s.Devices[0].Online {
			t.Errorf("status %+v", s)
		}
		if got := counts(l.Sheet.Of("slow/v")); got["good"] != 1 {
			t.Errorf("slow: %v, want it read soon after the line came back", got)
		}
		missing.Store(true)
		_ = plugged.Load().Close() // pulled out
		time.Sleep(10 * time.Second)
		missing.Store(false)
		time.Sleep(20 * time.Second)
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["bad line"] < 71 || got["bad line"] > 83 || got["good"] < 18 {
			t.Errorf("all: %v", got)
		}
	})
}

func TestLossOfASoundLineLosesNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		serve := func(ctx context.Context, far io.ReadWriter) error {
			timer := time.AfterFunc(3*time.Second+500*time.Millisecond, func() { _ = far.(*keepertest.Wire).Close() })
			defer timer.Stop()
			return in.ServeTCP(ctx, far)
		}
		o := rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)})
		o.Protocol = modbus.TCP
		l := start(t, o, 0, serve)
		time.Sleep(60*time.Second + 100*time.Millisecond)
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["good"] != 61 || len(got) != 1 {
			t.Errorf("%v, want 61 good ones", got)
		}
	})
}

func TestIntervalsKeepTheirPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, 700*time.Millisecond)}), char9600, in.ServeRTU)
		time.Sleep(700*time.Second + 490*time.Millisecond) // the first comes after half a second
		l.Stop()
		rs := l.Sheet.Of("a/v")
		if len(rs) != 1000 {
			t.Fatalf("%d readings, want 1000", len(rs))
		}
		for i, r := range rs {
			if late := r.Stamp.At - rs[0].Stamp.At - int64(i*700); late < 0 || late > 20 {
				t.Fatalf("reading %d is at %d ms", i, r.Stamp.At)
			}
		}
	})
}

func TestOneSweepIsOneCallWithOneStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		judged(in, 1)
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": judgedDevice(1, time.Second)}), char9600, in.ServeRTU)
		time.Sleep(9*time.Second + 900*time.Millisecond)
		l.Stop()
		if l.Sheet.Calls != 10 {
			t.Errorf("%d calls for 10 sweeps", l.Sheet.Calls)
		}
		first := l.Sheet.Of("a/t0")
		for i := range judgeTags {
			for n, r := range l.Sheet.Of(fmt.Sprintf("a/t%d", i)) {
				if r.Stamp != first[n].Stamp {
					t.Errorf("tag %d of sweep %d is at %d, the first at %d", i, n, r.Stamp.At, first[n].Stamp.At)
				}
			}
		}
	})
}

func TestHolesAreLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		u := in.Unit(1)
		u.SetWords(wire.ReadHoldingRegisters, 0, 1, 2, 3)
		u.SetWords(wire.ReadHoldingRegisters, 6, 7) // 3 to 5 do not exist
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: map[string]modbus.TagOptions{
			"a": {Address: 0, Type: "uint16"}, "b": {Address: 2, Type: "uint16"},
			"c": {Address: 6, Type: "uint16"}, "gone": {Address: 7, Type: "uint16"},
		}}
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, in.ServeRTU)
		time.Sleep(9*time.Second + 900*time.Millisecond)
		l.Stop()
		for tag, want := range map[string]string{"d/a": "1", "d/b": "3", "d/c": "7"} {
			for _, r := range l.Sheet.Of(tag) {
				if r.Value.String() != want || r.Quality != gateway.Good {
					t.Errorf("%s: %v %v %v, want %s", tag, r.Value, r.Quality, r.Reason, want)
				}
			}
		}
		if got := counts(l.Sheet.Of("d/gone")); got["bad exception"] != 10 {
			t.Errorf("gone: %v, want 10 exceptions", got)
		}
		// a–gone, a–b, c–gone, c, gone; then a–c once, to see whether that does;
		// and from then on three each second.
		if s := l.Driver.Status(); s.Requests != 5+1+9*3 || s.Devices[0].Refused != "exception 2, illegal address at holding 7" {
			t.Errorf("%d requests, refused %q", s.Requests, s.Devices[0].Refused)
		}
	})
}

func TestARegisterThatIsNeverAnsweredDoesNotHideTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 1000, 2)
		serve := func(ctx context.Context, far io.ReadWriter) error {
			return in.ServeRTU(ctx, deafTo{far, []byte{1, 3, 0, 0}})
		}
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: map[string]modbus.TagOptions{
			"a": {Address: 0, Type: "uint16"}, "b": {Address: 1000, Type: "uint16"},
		}}
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, serve)
		time.Sleep(60 * time.Second)
		l.Stop()
		if got := counts(l.Sheet.Of("d/a")); got["bad timeout"] < 59 || len(got) != 1 {
			t.Errorf("a: %v", got)
		}
		if got := counts(l.Sheet.Of("d/b")); got["good"] < 57 {
			t.Errorf("b: %v, want nearly all good", got)
		}
	})
}

// deafTo loses requests that begin with some bytes.
type deafTo struct {
	io.ReadWriter
	prefix []byte
}

func (d deafTo) Read(p []byte) (int, error) {
	for {
		n, err := d.ReadWriter.Read(p)
		if err != nil || n < len(d.prefix) || string(p[:len(d.prefix)]) != string(d.prefix) {
			return n, err
		}
	}
}

func TestStopWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), func(ctx context.Context) (gateway.Line, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		time.Sleep(10*time.Second + 500*time.Millisecond)
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["bad line"] < 9 {
			t.Errorf("%v, want a reading each second while the line is being opened", got)
		}
	})
}

func TestStopIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments() // nobody answers
		l := start(t, rtu(time.Minute, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), char9600, in.ServeRTU)
		time.Sleep(10 * time.Second)
		before := time.Now()
		l.Stop()
		if d := time.Since(before); d > 250*time.Millisecond {
			t.Errorf("stopping took %s", d)
		}
	})
}

func TestNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(ctx context.Context, far io.ReadWriter) error {
			for i := byte(0); ctx.Err() == nil; i++ { // somebody who never stops
				if _, err := far.Write([]byte{i}); err != nil {
					return err
				}
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), char9600, serve)
		time.Sleep(20 * time.Second)
		l.Stop()
		synctest.Wait()
		if got := counts(l.Sheet.Of("a/v")); got["bad crc"] < 18 || got["good"] > 0 {
			t.Errorf("%v, want about 20 times crc", got)
		}
	})
}
