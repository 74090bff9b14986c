package modbus_test

import (
	"context"
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

// paced is the far end of a wire on which bytes take their time.
type paced struct {
	io.ReadWriter
	char time.Duration
}

func (p paced) Read(b []byte) (int, error) {
	n, err := p.ReadWriter.Read(b)
	time.Sleep(time.Duration(n) * p.char)
	return n, err
}

func (p paced) Write(b []byte) (int, error) {
	time.Sleep(time.Duration(len(b)) * p.char)
	return p.ReadWriter.Write(b)
}

// slow plays instruments on a wire of 9600 baud.
func slow(in *simulate.Instruments) func(context.Context, io.ReadWriter) error {
	return func(ctx context.Context, far io.ReadWriter) error { return in.ServeRTU(ctx, paced{far, char9600}) }
}

// crowd is one live instrument, asked for last of all, and so many dead ones.
func crowd(dead int) (*simulate.Instruments, map[string]modbus.DeviceOptions) {
	in := simulate.NewInstruments()
	in.Unit(200).SetWords(wire.ReadHoldingRegisters, 0, 42)
	devices := map[string]modbus.DeviceOptions{"live": oneTag(200, time.Second)}
	for i := range dead {
		devices[fmt.Sprintf("dead%02d", i)] = oneTag(1+i, time.Second)
	}
	return in, devices
}

// between returns the good readings of a tag from one second to another.
func between(s *keepertest.Sheet, tag string, from, to int64) (good int) {
	for _, r := range s.Of(tag) {
		if r.Quality == gateway.Good && r.Stamp.At >= 1000*from && r.Stamp.At < 1000*to {
			good++
		}
	}
	return good
}

func TestThirtyTwoDeadOnesAndALiveOne(t *testing.T) {
	for _, timeout := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, devices := crowd(32)
				l := start(t, rtu(timeout, devices), char9600, slow(in))
				time.Sleep(185 * time.Second)
				l.Stop()
				first := l.Sheet.Of("live/v")[0].Stamp.At
				t.Logf("first reading after %d ms; good ones in the first minute %d, the second %d", first, between(l.Sheet, "live/v", 0, 60), between(l.Sheet, "live/v", 60, 120))
				// Nobody knows at the start who is there: one short try each, the live one last of all.
				if n := between(l.Sheet, "live/v", 3, 63); n != 60 {
					t.Errorf("%d good readings in a minute from the third second on, want 60", n)
				}
				if n := between(l.Sheet, "live/v", 120, 180); n != 60 {
					t.Errorf("%d good readings in the third minute, want 60", n)
				}
			})
		})
	}
}

// used returns which share of the line is in use, over some minutes.
func used(t *testing.T, dead int, timeout time.Duration, skip, minutes int) float64 {
	in, devices := crowd(dead)
	l := start(t, rtu(timeout, devices), char9600, slow(in))
	time.Sleep(time.Duration(skip) * time.Minute)
	sum := 0.0
	for range minutes {
		time.Sleep(time.Minute + time.Second)
		sum += l.Driver.Status().Busy
	}
	l.Stop()
	return sum / float64(minutes)
}

func TestAllDeadOnesTogetherCostATwentieth(t *testing.T) {
	for _, timeout := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := used(t, 0, timeout, 1, 20)
				for _, dead := range []int{1, 8, 32} {
					cost := used(t, dead, timeout, 2, 120) - live
					t.Logf("%d dead ones cost %.2f %% of the line", dead, 100*cost)
					if cost > 0.05 {
						t.Errorf("%d dead ones cost %.2f %% of the line, want at most 5 %%", dead, 100*cost)
					}
				}
			})
		})
	}
}

func TestAllOfThemComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, devices := crowd(32)
		for i := range 32 {
			in.Unit(byte(1+i)).SetWords(wire.ReadHoldingRegisters, 0, 1)
		}
		l := start(t, rtu(0, devices), char9600, slow(in))
		time.Sleep(30 * time.Second)
		for i := range 32 {
			in.Unit(byte(1 + i)).Silence(true)
		}
		time.Sleep(time.Hour)
		for i := range 32 {
			in.Unit(byte(1 + i)).Silence(false)
		}
		back := time.Now()
		for online(l.Driver) < 33 && time.Since(back) < time.Hour {
			time.Sleep(time.Second)
		}
		t.Logf("the last of 32 is back after %s", time.Since(back))
		// 32 tries of about a quarter of a second, at a twentieth of the line.
		if time.Since(back) > 4*time.Minute {
			t.Errorf("the last of 32 is back after %s, want 4 minutes", time.Since(back))
		}
		l.Stop()
	})
}

func TestAGreedyOneGetsWhatTheOthersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		devices := make(map[string]modbus.DeviceOptions)
		for i := range 6 {
			in.Unit(byte(1+i)).SetWords(wire.ReadHoldingRegisters, 0, 1)
			devices[fmt.Sprintf("d%d", i)] = oneTag(1+i, time.Second)
		}
		devices["d0"] = oneTag(1, 10*time.Millisecond) // one answer takes 20
		l := start(t, rtu(0, devices), char9600, slow(in))
		time.Sleep(130 * time.Second)
		status := l.Driver.Status()
		l.Stop()
		for i := 1; i < 6; i++ {
			if n := between(l.Sheet, fmt.Sprintf("d%d/v", i), 10, 130); n < 119 || status.Devices[i].Missed > 2 {
				t.Errorf("d%d: %d good readings of 120, %d missed, beside one that asks for more than there is", i, n, status.Devices[i].Missed)
			}
		}
		greedy := between(l.Sheet, "d0/v", 10, 130)
		t.Logf("the greedy one got %d of 12000, and missed %d", greedy, status.Devices[0].Missed)
		if greedy < 4500 || status.Devices[0].Missed < 6000 {
			t.Errorf("the greedy one got %d of 12000, and missed %d; want what is left", greedy, status.Devices[0].Missed)
		}
	})
}

func online(d *modbus.Driver) (n int) {
	for _, s := range d.Status().Devices {
		if s.Online {
			n++
		}
	}
	return n
}

func TestASlowOneIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, devices := crowd(8)
		in.Unit(100).SetWords(wire.ReadHoldingRegisters, 0, 7)
		devices["slow"] = oneTag(100, time.Second)
		in.Fault(simulate.Fault{Units: []byte{100}, Late: 1, LateBy: 400 * time.Millisecond})
		l := start(t, rtu(0, devices), char9600, slow(in))
		time.Sleep(185 * time.Second)
		l.Stop()
		t.Logf("slow %v, live %v", counts(l.Sheet.Of("slow/v")), counts(l.Sheet.Of("live/v")))
		if got := counts(l.Sheet.Of("slow/v")); got["bad timeout"] > 2 || got["bad starting"] > 1 || got["good"] < 182 {
			t.Errorf("slow: %v, want all but the first three", got)
		}
		if n := between(l.Sheet, "live/v", 10, 180); n != 170 {
			t.Errorf("live: %d good readings of 170, want all", n)
		}
	})
}

func TestOneThatGetsSlowerIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, devices := crowd(1)
		l := start(t, rtu(0, devices), char9600, slow(in))
		time.Sleep(100*time.Second + 500*time.Millisecond)
		in.Fault(simulate.Fault{Late: 1, LateBy: 450 * time.Millisecond}) // after a hundred quick answers
		time.Sleep(100 * time.Second)
		l.Stop()
		if got := counts(l.Sheet.Of("live/v")); got["bad timeout"] > 2 || got["good"] < 197 {
			t.Errorf("%v, want one or two timeouts", got)
		}
	})
}

// refusing answers so many requests with an exception.
func refusing(in *simulate.Instruments, e wire.Exception, often *atomic.Int32) func(context.Context, io.ReadWriter) error {
	return func(ctx context.Context, far io.ReadWriter) error {
		return in.ServeRTU(ctx, &refuser{ReadWriter: far, e: e, often: often})
	}
}

// refuser puts an exception in the place of some answers.
type refuser struct {
	io.ReadWriter
	e     wire.Exception
	often *atomic.Int32
}

func (r *refuser) Write(b []byte) (int, error) {
	if r.often.Add(-1) >= 0 {
		b = wire.AppendRTU(nil, b[0], []byte{b[1] | 0x80, byte(r.e)})
	}
	return r.ReadWriter.Write(b)
}

func TestABusyOneIsAskedAgainInItsInterval(t *testing.T) {
	for _, e := range []wire.Exception{wire.Acknowledge, wire.DeviceBusy} {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
			var often atomic.Int32
			often.Store(2)
			l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), char9600, refusing(in, e, &often))
			time.Sleep(2*time.Second + 500*time.Millisecond)
			often.Store(1000)
			time.Sleep(10 * time.Second)
			requests := l.Driver.Status().Requests
			often.Store(0)
			time.Sleep(10 * time.Second)
			l.Stop()
			got := counts(l.Sheet.Of("a/v"))
			if got["bad exception"] < 9 || got["bad exception"] > 11 || got["good"] < 11 || len(got) != 2 {
				t.Errorf("%v: %v, want about 10 refused while it was busy", e, got)
			}
			if requests > 20 {
				t.Errorf("%v: %d requests to a busy instrument, want few", e, requests)
			}
		})
	}
}

func TestNoExceptionOfOneTwoThreeIsTriedAgain(t *testing.T) {
	for _, e := range []wire.Exception{wire.IllegalFunction, wire.IllegalAddress, wire.IllegalValue} {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
			var often atomic.Int32
			often.Store(1000)
			l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), char9600, refusing(in, e, &often))
			time.Sleep(9*time.Second + 900*time.Millisecond)
			l.Stop()
			if n := l.Driver.Status().Requests; n != 10 {
				t.Errorf("%v: %d requests in 10 intervals", e, n)
			}
		})
	}
}
