package modbus_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
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

func TestReadNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 10, 11, 12)
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 5, 15)
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Hour, Tags: words(0, 2, 3, 5)}
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, in.ServeRTU)
		time.Sleep(time.Second)
		before := len(l.Sheet.Of("d/t0"))
		got, err := l.Driver.Read(t.Context(), "d", "t2")
		if err != nil || len(got) != 1 || got[0].Reading.Value.String() != "12" || got[0].Reading.Quality != gateway.Good || got[0].Reading.Stamp.At == 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if a := got[0]; string(a.Request) != "\x01\x03\x00\x02\x00\x01\x25\xca" || string(a.Reply) != "\x01\x03\x02\x00\x0c\xb8\x41" {
			t.Errorf("% x, % x", a.Request, a.Reply)
		}
		got, err = l.Driver.Read(t.Context(), "d", "")
		if err != nil || len(got) != 4 {
			t.Fatalf("%+v, %v", got, err)
		}
		for i, want := range []string{"10", "12", "exception", "15"} { // t3 does not exist
			r := got[i].Reading
			if r.Value.String() != want && r.Reason.String() != want {
				t.Errorf("%s: %v %v, want %s", r.Tag, r.Value, r.Reason, want)
			}
		}
		if after := len(l.Sheet.Of("d/t0")); after != before {
			t.Error("what a person reads is published")
		}
		if _, err = l.Driver.Read(t.Context(), "d", "t4"); !errors.Is(err, modbus.ErrUnknown) {
			t.Error(err)
		}
		if _, err = l.Driver.Read(t.Context(), "e", ""); !errors.Is(err, modbus.ErrUnknown) {
			t.Error(err)
		}
		in.Unit(1).Silence(true)
		got, err = l.Driver.Read(t.Context(), "d", "t2")
		if err != nil || got[0].Reading.Reason != gateway.Timeout || !got[0].Reading.Value.IsNone() || got[0].Reply != nil {
			t.Errorf("of a silent one: %+v, %v", got, err)
		}
		l.Stop()
	})
}

func TestPeopleAndPollingTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, devices := crowd(3)
		l := start(t, rtu(0, devices), char9600, slow(in))
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		var all sync.WaitGroup
		reads := 0
		var mu sync.Mutex
		for range 30 { // more than can wait
			all.Go(func() {
				for ctx.Err() == nil {
					if got, err := l.Driver.Read(ctx, "live", "v"); err == nil && got[0].Reading.Value.String() == "42" {
						mu.Lock()
						reads++
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(60 * time.Second)
		cancel()
		all.Wait()
		l.Stop()
		if n := between(l.Sheet, "live/v", 10, 70); n != 60 {
			t.Errorf("%d readings of 60 while people read as well", n)
		}
		if reads < 1000 {
			t.Errorf("%d reads of people in a minute", reads)
		}
	})
}

func TestErrandsOfALineThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), func(context.Context) (gateway.Line, error) {
			return nil, errors.New("open /dev/ttyUSB0: there is no such port")
		})
		time.Sleep(2500 * time.Millisecond)
		_, err := l.Driver.Read(t.Context(), "a", "v")
		if !errors.Is(err, modbus.ErrLineDown) || !strings.Contains(err.Error(), "there is no such port") {
			t.Error(err)
		}
		l.Stop()
	})
	synctest.Test(t, func(t *testing.T) { // a line that is being opened
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), func(ctx context.Context) (gateway.Line, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Driver.Read(ctx, "a", "v"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		l.Stop()
	})
}

func TestALineIsLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		var open sync.Mutex // held while the driver has the line
		var opened atomic.Int32
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second), "slow": oneTag(1, time.Hour)}), func(ctx context.Context) (gateway.Line, error) {
			open.Lock()
			opened.Add(1)
			line, far := keepertest.NewWire(char9600)
			go func() { defer open.Unlock(); _ = in.ServeRTU(ctx, far) }()
			return line, nil
		})
		time.Sleep(10*time.Second + 500*time.Millisecond)
		what := errors.New("what use says")
		err := l.Driver.Lend(t.Context(), func(ctx context.Context) error {
			open.Lock() // fails to come back if the driver still had it
			defer open.Unlock()
			time.Sleep(10 * time.Second)
			if _, err := l.Driver.Read(ctx, "a", "v"); !errors.Is(err, modbus.ErrLineDown) {
				t.Errorf("read while it is lent: %v", err)
			}
			if s := l.Driver.Status(); s.Open || s.Reason != "lent for maintenance" || s.Devices[0].Cause != gateway.Maintenance {
				t.Errorf("%+v", s)
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("opened %d times when it is lent", n)
			}
			return what
		})
		if !errors.Is(err, what) {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if got := counts(l.Sheet.Of("a/v")); got["bad maintenance"] < 10 || got["bad maintenance"] > 11 || got["good"] < 19 || len(got) != 2 {
			t.Errorf("%v", got)
		}
		if s := l.Driver.Status(); !s.Open || !s.Devices[0].Online || opened.Load() != 2 {
			t.Errorf("%+v, opened %d times", s, opened.Load())
		}
		done := make(chan error)
		go func() {
			done <- l.Driver.Lend(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}()
		time.Sleep(time.Second)
		l.Stop() // ends use as well
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestALineThatCannotBeOpenedIsLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startWith(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), func(context.Context) (gateway.Line, error) {
			return nil, errors.New("no such port")
		})
		time.Sleep(10 * time.Second)
		used := false
		if err := l.Driver.Lend(t.Context(), func(context.Context) error { used = true; return nil }); err != nil || !used {
			t.Error(err, used)
		}
		time.Sleep(10 * time.Second)
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["bad line"] < 18 {
			t.Errorf("%v", got)
		}
	})
}

// TestAPersonsReadIsNeverAnsweredByALateReply reads by hand while polling times out.
func TestAPersonsReadIsNeverAnsweredByALateReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		j := judged(in, 1)
		in.Fault(simulate.Fault{Seed: 3, Late: 0.2, LateBy: 320 * time.Millisecond})
		l := start(t, rtu(200*time.Millisecond, map[string]modbus.DeviceOptions{"a": judgedDevice(1, 2*time.Second)}), char9600, func(ctx context.Context, far io.ReadWriter) error {
			return in.ServeRTU(ctx, far)
		})
		byHand := &keepertest.Sheet{}
		for range 300 {
			got, err := l.Driver.Read(t.Context(), "a", "t3")
			if err != nil {
				t.Fatal(err)
			}
			byHand.Append([]gateway.Reading{got[0].Reading}, nil)
		}
		l.Stop()
		synctest.Wait()
		j.examine(l.Sheet, "a", 1)
		j.examine(byHand, "a", 1)
		if len(j.wrong) > 0 || j.good < 300 {
			t.Errorf("%d good, %d bad, wrong %v", j.good, j.bad, j.wrong)
		}
	})
}

func TestIdentifyBetweenPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), char9600, func(_ context.Context, far io.ReadWriter) error {
			var buf [256]byte
			for {
				n, err := far.Read(buf[:])
				if err != nil {
					return err
				}
				reply := []byte{3, 2, 0, 7}
				if pdu := buf[1 : n-2]; wire.IsIdentityRequest(pdu) {
					reply = wire.AppendIdentityReply(nil, pdu, []wire.Object{{ID: 0, Text: "Keller"}, {ID: 1, Text: "30X"}})
				}
				if _, err := far.Write(wire.AppendRTU(nil, buf[0], reply)); err != nil {
					return err
				}
			}
		})
		got, err := l.Driver.Identify(t.Context(), "a")
		if err != nil || len(got) != 2 || got[0].Value != "Keller" || got[1].Name != "product" {
			t.Errorf("%v, %v", got, err)
		}
		l.Stop()
	})
}
