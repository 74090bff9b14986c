package modbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

// values polls a device for a while, and returns the last value of each tag, with its
// quality where that is not good.
func values(t *testing.T, o modbus.Options, char time.Duration, serve func(context.Context, io.ReadWriter) error) map[string]string {
	t.Helper()
	all := make(map[string]string)
	synctest.Test(t, func(t *testing.T) {
		l := start(t, o, char, serve)
		time.Sleep(5 * time.Second)
		l.Stop()
		for name, d := range o.Devices {
			for tag := range d.Tags {
				rs := l.Sheet.Of(name + "/" + tag)
				if len(rs) == 0 {
					t.Fatalf("nothing was read of %s", tag)
				}
				last := rs[len(rs)-1]
				all[tag] = last.Value.String()
				if last.Reason != 0 {
					all[tag] += " " + last.Reason.String()
				}
			}
		}
	})
	return all
}

func wantValues(t *testing.T, got, want map[string]string) {
	t.Helper()
	for tag, w := range want {
		if got[tag] != w {
			t.Errorf("%s: %s, want %s", tag, got[tag], w)
		}
	}
}

// enron answers as a flow computer of Daniel or Enron does: a register from 5001 on
// has 32 bits, one below has 16. Each holds its own number.
func enron(_ context.Context, far io.ReadWriter) error {
	var buf [256]byte
	for {
		n, err := far.Read(buf[:])
		if err != nil {
			return err
		}
		f, _, ok := wire.FindRTURequest(buf[:n])
		if !ok {
			continue
		}
		r, err := wire.ParseRequest(f.PDU)
		if err != nil {
			return err
		}
		var data []byte
		for i := range r.Count {
			switch at := r.Address + i; {
			case at >= 7000:
				data = binary.BigEndian.AppendUint32(data, math.Float32bits(float32(at)+0.5))
			case at >= 5000:
				data = binary.BigEndian.AppendUint32(data, uint32(at)<<8)
			default:
				data = binary.BigEndian.AppendUint16(data, at)
			}
		}
		if _, err := far.Write(wire.AppendRTU(nil, f.Unit, r.AppendReply(nil, data))); err != nil {
			return err
		}
	}
}

func TestRegistersOf32Bits(t *testing.T) {
	d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, RegisterSize: 32, Tags: map[string]modbus.TagOptions{
		"short": {Address: 3001, Type: "uint16"}, "next": {Address: 3002, Type: "uint16"},
		"long": {Address: 5001, Type: "int32"}, "after": {Address: 5003, Type: "uint32"},
		"flow": {Address: 7401, Type: "float32"}, "pressure": {Address: 7403, Type: "float32"},
	}}
	want := map[string]string{"short": "3001", "next": "3002", "long": "1280256", "after": "1280768", "flow": "7401.5", "pressure": "7403.5"}
	wantValues(t, values(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, enron), want)
	p := modbus.Plan(rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600)
	if len(p.Requests) != 3 || p.Requests[2].Text != "holding 7401 to 7403" {
		t.Errorf("%+v", p.Requests)
	}
	d.MaxRegisters = 2 // of 16 bits
	if p := modbus.Plan(rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600); len(p.Requests) != 5 {
		t.Errorf("%d requests, want 5", len(p.Requests))
	}
}

func TestAddressesAndBits(t *testing.T) {
	in := simulate.NewInstruments()
	in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0x100, 0xA5C3, 0x1234, 0x5678)
	d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, AddressOffset: -1, Tags: map[string]modbus.TagOptions{
		"whole": {Address: "0x101", Type: "uint16"},
		"low":   {Address: "0x101", Type: "uint16", Bits: []int{0, 3}},
		"mid":   {Address: "0x101", Type: "uint16", Bits: []int{4, 11}},
		"high":  {Address: "0x101", Type: "uint16", Bits: []int{15, 15}},
		"all":   {Address: "0x101", Type: "uint16", Bits: []int{0, 15}},
		"swap":  {Address: "0x101", Type: "uint16", ByteOrder: "BA", Bits: []int{0, 7}},
		"wide":  {Address: 258, Type: "uint32", Bits: []int{12, 23}},
	}}
	bad := d.Tags["low"]
	bad.BadValues = []any{int64(3)}
	d.Tags["bad"] = bad
	wantValues(t, values(t, rtu(0, map[string]modbus.DeviceOptions{"d": d}), char9600, in.ServeRTU), map[string]string{
		"whole": "42435", "low": "3", "mid": "92", "high": "1", "all": "42435", "swap": "165", "wide": "837", "bad": "null sentinel",
	})
}

// otherUnit answers as unit 0, 255 or another, whoever was asked.
func otherUnit(says byte, protocol string) func(context.Context, io.ReadWriter) error {
	return func(_ context.Context, far io.ReadWriter) error {
		var buf [256]byte
		for {
			n, err := far.Read(buf[:])
			if err != nil {
				return err
			}
			reply := wire.AppendRTU(nil, says, []byte{3, 2, 0, 42})
			if protocol == modbus.TCP {
				f, _, _ := wire.MBAPAt(buf[:n])
				reply = wire.AppendMBAP(nil, f.Transaction, says, []byte{3, 2, 0, 42})
			}
			if _, err := far.Write(reply); err != nil {
				return err
			}
		}
	}
}

func TestRepliesOfAnyUnit(t *testing.T) {
	for _, c := range []struct {
		protocol string
		says     byte
		any      bool
		want     string
	}{
		{modbus.TCP, 0, true, "42"}, {modbus.TCP, 255, true, "42"}, {modbus.TCP, 7, true, "null timeout"},
		{modbus.TCP, 0, false, "null timeout"}, {modbus.TCP, 255, false, "null timeout"}, {modbus.TCP, 1, false, "42"},
		{modbus.RTUOverTCP, 0, true, "42"}, {modbus.RTUOverTCP, 0, false, "null timeout"}, {modbus.RTUOverTCP, 7, true, "null timeout"},
	} {
		o := rtu(0, map[string]modbus.DeviceOptions{"d": oneTag(1, time.Second)})
		o.Protocol, o.AnyUnitReply = c.protocol, c.any
		if got := values(t, o, 0, otherUnit(c.says, c.protocol)); got["v"] != c.want {
			t.Errorf("%s, unit %d, any_unit_reply = %v: %s, want %s", c.protocol, c.says, c.any, got["v"], c.want)
		}
	}
}

// TestUnitsOverTCP has units that a serial line does not have.
func TestUnitsOverTCP(t *testing.T) {
	for _, unit := range []int{0, 248, 255} {
		in := simulate.NewInstruments()
		in.Unit(byte(unit)).SetWords(wire.ReadHoldingRegisters, 0, 42)
		if got := values(t, overTCP(0, map[string]modbus.DeviceOptions{"d": oneTag(unit, time.Second)}), 0, in.ServeTCP); got["v"] != "42" {
			t.Errorf("unit %d: %s", unit, got["v"])
		}
	}
}

func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 1, 2)
		began := time.Now()
		var asked []time.Duration
		in.Observe(func(simulate.Event) { asked = append(asked, time.Since(began)) })
		d := oneTag(1, time.Second)
		d.NoMerge = true
		d.Tags["w"] = modbus.TagOptions{Address: 1, Type: "uint16"}
		o := overTCP(0, map[string]modbus.DeviceOptions{"d": d})
		o.Protocol, o.ConnectDelay, o.InterRequestGap = modbus.RTUOverTCP, 700*time.Millisecond, 50*time.Millisecond
		l := start(t, o, 0, in.ServeRTU)
		time.Sleep(5 * time.Second)
		l.Stop()
		if len(asked) < 6 || asked[0] < 700*time.Millisecond {
			t.Fatalf("asked at %v", asked)
		}
		for i, at := range asked[1:] {
			if at-asked[i] < 50*time.Millisecond {
				t.Errorf("%s between two requests", at-asked[i])
			}
		}
	})
}

func TestEcho(t *testing.T) {
	for _, c := range []struct {
		echo  string
		loops bool
		want  string
	}{
		{"", true, "42"}, {"auto", true, "42"}, {"on", true, "42"}, {"off", false, "42"}, {"", false, "42"}, {"on", false, "42"},
	} {
		in := simulate.NewInstruments()
		in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 42)
		in.Fault(simulate.Fault{Echo: c.loops})
		for _, protocol := range []string{modbus.RTU, modbus.ASCII} {
			o := rtu(0, map[string]modbus.DeviceOptions{"d": oneTag(1, time.Second)})
			o.Protocol, o.Echo = protocol, c.echo
			serve := func(ctx context.Context, far io.ReadWriter) error { return serveAs(ctx, in, protocol, far) }
			if got := values(t, o, char9600, serve); got["v"] != c.want {
				t.Errorf("%s, echo = %q, %v: %s, want %s", protocol, c.echo, c.loops, got["v"], c.want)
			}
		}
	}
}

// echoing sends back everything that is written to it, and answers.
type echoing struct{ io.ReadWriter }

func (e echoing) Read(p []byte) (int, error) {
	n, err := e.ReadWriter.Read(p)
	if n > 0 {
		if _, err := e.Write(p[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}

// TestEchoOfAWrite has an adapter that echoes, before an instrument that does what it is
// told and before one that is deaf to writes: no echo is taken for the deed.
func TestEchoOfAWrite(t *testing.T) {
	for _, c := range []struct {
		echo string
		deaf bool
		want error
		says string
	}{
		{"on", false, nil, ""},
		{"auto", false, nil, ""},
		{"on", true, modbus.ErrNoEffect, "no answer"},
		{"auto", true, modbus.ErrNoEffect, "reads back as 0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPLC()
			p.deaf = c.deaf
			o := rtu(0, map[string]modbus.DeviceOptions{"d": writable(t)})
			o.Writes, o.Echo = true, c.echo
			l := start(t, o, char9600, func(ctx context.Context, far io.ReadWriter) error { return p.serve(ctx, echoing{far}) })
			time.Sleep(time.Second)
			_, err := l.Driver.Write(t.Context(), "d", "word", gateway.Int(500))
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("echo = %q, deaf %v: %v, want %v: …%s…", c.echo, c.deaf, err, c.want, c.says)
			}
			if c.echo == "on" && l.Driver.Status().Echoes == 0 {
				t.Error("no echo was counted")
			}
			l.Stop()
		})
	}
}
