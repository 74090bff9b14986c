package modbus_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
)

func overTCP(timeout time.Duration, devices map[string]modbus.DeviceOptions) modbus.Options {
	o := rtu(timeout, devices)
	o.Protocol = modbus.TCP
	return o
}

func TestLateAnswersOverTCP(t *testing.T) {
	for _, f := range []simulate.Fault{
		{Late: 0.1, LateBy: 150 * time.Millisecond},
		{Late: 0.1, LateBy: 1200 * time.Millisecond},
		{Duplicate: 0.1}, {Lost: 0.05}, {Split: 0.5}, {WrongUnit: 0.05},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			j := judged(in, 1, 2)
			f.Seed = 5
			in.Fault(f)
			o := overTCP(100*time.Millisecond, map[string]modbus.DeviceOptions{"a": judgedDevice(1, time.Second), "b": judgedDevice(2, time.Second)})
			l := start(t, o, 0, in.ServeTCP)
			time.Sleep(200*time.Second - time.Millisecond)
			l.Stop()
			synctest.Wait()
			j.examine(l.Sheet, "a", 1)
			j.examine(l.Sheet, "b", 2)
			s := l.Driver.Status()
			t.Logf("good %d, bad %d, wrong %d; timeouts %d, late %d of %d", j.good, j.bad, len(j.wrong), s.Timeouts, s.LateFrames, s.Requests)
			if len(j.wrong) > 0 {
				t.Errorf("wrong: %v", j.wrong[0])
			}
			if share := float64(j.good) / float64(j.good+j.bad); share < 0.95 || j.good+j.bad < 2*judgeTags*199 {
				t.Errorf("%d good of %d", j.good, j.good+j.bad)
			}
		})
	}
}

func TestWhatIsNotModbusEndsTheConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
		connections := 0
		serve := func(ctx context.Context, far io.ReadWriter) error {
			connections++
			if connections%2 == 1 {
				_, err := far.Write([]byte("SSH-2.0-OpenSSH_9.2p1\r\n"))
				return err
			}
			return in.ServeTCP(ctx, far)
		}
		l := start(t, overTCP(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), 0, serve)
		time.Sleep(10 * time.Second)
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["good"] < 9 {
			t.Errorf("%v, want good ones after the first", got)
		}
	})
}

func TestADeadConnectionIsOpenedAnew(t *testing.T) {
	for _, protocol := range []string{modbus.TCP, modbus.RTUOverTCP, modbus.ASCIIOverTCP} {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
			connections := 0
			serve := func(ctx context.Context, far io.ReadWriter) error {
				connections++
				if connections == 1 { // the instrument lost power, and its connection with it
					_, err := io.Copy(io.Discard, far)
					return err
				}
				return serveAs(ctx, in, protocol, far)
			}
			o := overTCP(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)})
			o.Protocol = protocol
			l := start(t, o, 0, serve)
			time.Sleep(20 * time.Second)
			l.Stop()
			if connections != 2 {
				t.Errorf("%s: %d connections, want 2", protocol, connections)
			}
			if got := counts(l.Sheet.Of("a/v")); got["good"] < 10 || got["bad timeout"] == 0 || got["bad line"] > 0 {
				t.Errorf("%s: %v, want timeouts, then good ones", protocol, got)
			}
		})
	}
}

// TestAConnectionThatTheFarSideClosed has a serial server hang up between two requests,
// as many do with an idle line: the next one is not lost.
func TestAConnectionThatTheFarSideClosed(t *testing.T) {
	for _, protocol := range []string{modbus.TCP, modbus.RTUOverTCP, modbus.ASCIIOverTCP} {
		synctest.Test(t, func(t *testing.T) {
			in := simulate.NewInstruments()
			in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1)
			serve := func(ctx context.Context, far io.ReadWriter) error {
				timer := time.AfterFunc(1500*time.Millisecond, func() { _ = far.(*keepertest.Wire).Close() })
				defer timer.Stop()
				return serveAs(ctx, in, protocol, far)
			}
			o := overTCP(0, map[string]modbus.DeviceOptions{"a": oneTag(1, 2*time.Second)})
			o.Protocol = protocol
			l := start(t, o, 0, serve)
			time.Sleep(60 * time.Second)
			l.Stop()
			if got := counts(l.Sheet.Of("a/v")); got["good"] < 29 || len(got) != 1 {
				t.Errorf("%s: %v, want good ones only", protocol, got)
			}
		})
	}
}

func TestAGatewayAnswersForADeadInstrument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(_ context.Context, far io.ReadWriter) error {
			var b [64]byte
			for {
				n, err := far.Read(b[:])
				if err != nil {
					return err
				}
				if f, _, status := wire.MBAPAt(b[:n]); status == wire.Complete {
					if _, err := far.Write(wire.AppendMBAP(nil, f.Transaction, f.Unit, []byte{0x83, 11})); err != nil {
						return err
					}
				}
			}
		}
		l := start(t, overTCP(0, map[string]modbus.DeviceOptions{"a": oneTag(1, time.Second)}), 0, serve)
		time.Sleep(10 * time.Second)
		if d := l.Driver.Status().Devices[0]; d.Online || d.Reason != "exception 11, gateway target does not respond" {
			t.Errorf("%+v", d)
		}
		l.Stop()
		if got := counts(l.Sheet.Of("a/v")); got["bad exception"] < 9 || len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}
