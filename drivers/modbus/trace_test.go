package modbus_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

// traced returns what a trace of one cycle shows.
func traced(t *testing.T, protocol string, d modbus.DeviceOptions, in *simulate.Instruments) (shown []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := rtu(0, map[string]modbus.DeviceOptions{"d": d})
		o.Protocol, o.Retries = protocol, ptr(0)
		l := start(t, o, charOf(protocol), func(ctx context.Context, far io.ReadWriter) error { return serveAs(ctx, in, protocol, far) })
		time.Sleep(5*time.Second + 500*time.Millisecond)
		stop := l.Driver.Trace(func(f gateway.Frame) {
			direction := "<"
			if f.Sent {
				direction = ">"
			}
			shown = append(shown, fmt.Sprintf("%s %s", direction, f.Text))
			if time.Since(f.At) > time.Second || len(f.Bytes) == 0 {
				t.Errorf("%+v", f)
			}
		})
		time.Sleep(time.Second)
		stop()
		time.Sleep(3 * time.Second)
		l.Stop()
	})
	return shown
}

func TestTrace(t *testing.T) {
	d := modbus.DeviceOptions{SlaveID: ptr(7), Interval: time.Second, Tags: map[string]modbus.TagOptions{
		"v": {Address: 100, Type: "float32"}, "none": {Register: "input", Address: 5, Type: "uint16"},
	}}
	want := []string{
		"> unit 7: read holding 100 to 101", "< unit 7: 4 bytes 42 C8 80 00",
		"> unit 7: read input 5", "< unit 7: exception 2, illegal address",
	}
	for _, p := range modbus.Protocols {
		in := simulate.NewInstruments()
		in.Unit(7).SetWords(wire.ReadHoldingRegisters, 100, 0x42C8, 0x8000)
		if got := traced(t, p.Name, d, in); !slices.Equal(got, want) {
			t.Errorf("%s: %q", p.Name, got)
		}
	}
}

func TestTraceOfABadLine(t *testing.T) {
	answer := "< unit 7: 2 bytes 00 2A"
	ask := "> unit 7: read holding 0"
	for _, c := range []struct {
		fault simulate.Fault
		want  []string
	}{
		{simulate.Fault{Echo: true}, []string{ask, "< echo of the request", answer}},
		{simulate.Fault{NUL: 1, Seed: 1}, []string{ask, "< 2 bytes that are no frame", answer}},
		{simulate.Fault{Duplicate: 1}, []string{ask, answer, answer}},
	} {
		in := simulate.NewInstruments()
		in.Unit(7).SetWords(wire.ReadHoldingRegisters, 0, 42)
		in.Fault(c.fault)
		got := traced(t, modbus.RTU, oneTag(7, time.Second), in)
		if c.fault.NUL > 0 && len(got) > 1 {
			got[1] = "< 2 bytes that are no frame" // one to three
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q", c.fault, got)
		}
	}
}

func TestTraceOfAWrongChecksum(t *testing.T) {
	in := simulate.NewInstruments()
	in.Unit(7).SetWords(wire.ReadHoldingRegisters, 0, 42)
	in.Unit(8).SetWords(wire.ReadHoldingRegisters, 0, 42)
	in.Fault(simulate.Fault{Flip: 1, Units: []byte{7}})
	synctest.Test(t, func(t *testing.T) {
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(7, time.Second), "b": oneTag(8, time.Second)}), char9600, in.ServeRTU)
		damaged := 0
		defer l.Driver.Trace(func(f gateway.Frame) {
			if f.Text == "7 bytes, wrong checksum or no frame" {
				damaged++
			}
		})()
		time.Sleep(10 * time.Second)
		l.Stop()
		if damaged < 2 {
			t.Errorf("%d damaged frames were shown", damaged)
		}
	})
}

func TestIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, p := range modbus.Protocols {
			in := simulate.NewInstruments()
			in.Unit(3).Identity(wire.Object{ID: 0, Text: "ACME"}, wire.Object{ID: 1, Text: string(make([]byte, 200)) + "x"}, wire.Object{ID: 2, Text: "V2.11  "}, wire.Object{ID: 5, Text: "pump"})
			in.Unit(4).SetWords(wire.ReadHoldingRegisters, 0, 42)
			line, far := keepertest.NewWire(charOf(p.Name))
			go func() { _ = serveAs(t.Context(), in, p.Name, far) }()
			c := modbus.NewClient(line, p.Name, time.Second)
			all, err := modbus.Identify(t.Context(), c, 3)
			if err != nil || len(all) != 4 || all[0] != (modbus.Identity{Name: "vendor", Value: "ACME"}) || all[2].Value != "V2.11" || all[3].Name != "model" {
				t.Errorf("%s: %q, %v", p.Name, all, err)
			}
			if all, err := modbus.Identify(t.Context(), c, 4); err != wire.IllegalFunction || len(all) != 0 { //nolint:errorlint // bare
				t.Errorf("%s: %v, %v", p.Name, all, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
