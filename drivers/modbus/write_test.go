package modbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// plc is a slave that can be written to, with faults of its own. What is below mu
// is set by tests while it runs.
type plc struct {
	mu    sync.Mutex
	regs  map[uint16]uint16
	coils map[uint16]bool
	asked []string // the PDUs of the writes, as they came

	deaf    bool // does not do what it is told, and does not answer
	mute    bool // does it, but does not answer
	refuse  map[byte]wire.Exception
	forgets bool // answers, but does not do it
}

func newPLC() *plc {
	return &plc{regs: make(map[uint16]uint16), coils: make(map[uint16]bool), refuse: make(map[byte]wire.Exception)}
}

func (p *plc) serve(_ context.Context, far io.ReadWriter) error {
	var buf [256]byte
	for {
		n, err := far.Read(buf[:])
		if err != nil {
			return err
		}
		pdu := buf[1 : n-2]
		reply, silent := p.answer(pdu)
		if silent {
			continue
		}
		if _, err := far.Write(wire.AppendRTU(nil, buf[0], reply)); err != nil {
			return err
		}
	}
}

// set changes the slave while it runs.
func (p *plc) set(f func(*plc)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// requests returns the PDUs of the writes so far.
func (p *plc) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *plc) answer(pdu []byte) (reply []byte, silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, address := pdu[0], binary.BigEndian.Uint16(pdu[1:])
	write := f > 4
	if write {
		p.asked = append(p.asked, string(pdu))
	}
	if e := p.refuse[f]; e != 0 {
		return []byte{f | 0x80, byte(e)}, false
	}
	if write && p.deaf {
		return nil, true
	}
	if write && !p.forgets {
		p.do(pdu)
	}
	switch {
	case write && f == 22:
		return pdu, p.mute
	case write:
		return pdu[:5], p.mute
	case f == 1:
		on := byte(0)
		if p.coils[address] {
			on = 1
		}
		return []byte{f, 1, on}, false
	}
	count := binary.BigEndian.Uint16(pdu[3:])
	reply = []byte{f, byte(2 * count)}
	for i := range count {
		reply = binary.BigEndian.AppendUint16(reply, p.regs[address+i])
	}
	return reply, false
}

func (p *plc) do(pdu []byte) {
	address, value := binary.BigEndian.Uint16(pdu[1:]), binary.BigEndian.Uint16(pdu[3:])
	switch pdu[0] {
	case 5:
		p.coils[address] = value == 0xFF00
	case 15:
		p.coils[address] = pdu[6]&1 != 0
	case 6:
		p.regs[address] = value
	case 16:
		for i := range value {
			p.regs[address+i] = binary.BigEndian.Uint16(pdu[6+2*i:])
		}
	case 22:
		or := binary.BigEndian.Uint16(pdu[5:])
		p.regs[address] = p.regs[address]&value | or&^value
	}
}

// setpoint is a writable tag.
func setpoint(t *testing.T, address int, typ, low, high string) modbus.TagOptions {
	t.Helper()
	o := modbus.TagOptions{Address: address, Type: typ}
	o.Writable, o.Min, o.Max = true, ptr(number(t, low)), ptr(number(t, high))
	return o
}

func number(t *testing.T, s string) gateway.Decimal {
	t.Helper()
	d, err := gateway.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func writable(t *testing.T) modbus.DeviceOptions {
	tags := map[string]modbus.TagOptions{
		"word":   setpoint(t, 10, "uint16", "0", "1000"),
		"signed": setpoint(t, 11, "int16", "-40000", "100"),
		"float":  setpoint(t, 20, "float32", "-100", "100"),
		"big":    setpoint(t, 30, "uint64", "0", "18446744073709551615"),
		"bcd":    setpoint(t, 40, "bcd16", "0", "20000"),
		"tenth":  setpoint(t, 50, "int16", "-10", "10"),
		"bit":    setpoint(t, 60, "bool", "0", "1"),
		"swap":   setpoint(t, 60, "bool", "0", "1"),
		"coil":   setpoint(t, 7, "", "0", "1"),
		"plain":  {Address: 70, Type: "uint16"},
	}
	change := func(name string, f func(*modbus.TagOptions)) { o := tags[name]; f(&o); tags[name] = o }
	change("float", func(o *modbus.TagOptions) { o.ByteOrder = "CDAB" })
	change("tenth", func(o *modbus.TagOptions) { o.Scale = ptr(number(t, "0.1")) })
	change("bit", func(o *modbus.TagOptions) { o.Bit = ptr(3) })
	change("swap", func(o *modbus.TagOptions) { o.Bit, o.ByteOrder = ptr(3), "BA" })
	change("coil", func(o *modbus.TagOptions) { o.Register = "coil" })
	return modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Hour, MaxGap: ptr(0), Tags: tags}
}

// onPLC runs a driver that may write to the slave.
func onPLC(t *testing.T, p *plc, d modbus.DeviceOptions, f func(*testing.T, *modbus.Driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := rtu(0, map[string]modbus.DeviceOptions{"d": d})
		o.Writes = true
		l := start(t, o, char9600, p.serve)
		time.Sleep(time.Second)
		f(t, l.Driver)
		l.Stop()
	})
}

func TestWriteIsReadBack(t *testing.T) {
	for _, c := range []struct {
		tag   string
		value gateway.Value
		pdu   string // of the request
		reads string
	}{
		{"word", gateway.Int(500), "\x06\x00\x0a\x01\xf4", "500"},
		{"signed", gateway.Int(-2), "\x06\x00\x0b\xff\xfe", "-2"},
		{"float", gateway.Float64(12.34), "\x10\x00\x14\x00\x02\x04\x70\xa4\x41\x45", "12.34"},
		{"big", gateway.Uint(1<<64 - 1), "\x10\x00\x1e\x00\x04\x08\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"},
		{"bcd", gateway.Int(1234), "\x06\x00\x28\x12\x34", "1234"},
		{"tenth", gateway.Number(number(t, "-9.9")), "\x06\x00\x32\xff\x9d", "-9.9"},
		{"bit", gateway.Bool(true), "\x16\x00\x3c\xff\xf7\x00\x08", "true"},
		{"bit", gateway.Int(0), "\x16\x00\x3c\xff\xf7\x00\x00", "false"},
		{"swap", gateway.Bool(true), "\x16\x00\x3c\xf7\xff\x08\x00", "true"},
		{"coil", gateway.Bool(true), "\x05\x00\x07\xff\x00", "true"},
		{"coil", gateway.Bool(false), "\x05\x00\x07\x00\x00", "false"},
	} {
		p := newPLC()
		p.regs[60], p.coils[7] = 0x5555, true
		onPLC(t, p, writable(t), func(t *testing.T, d *modbus.Driver) {
			a, err := d.Write(t.Context(), "d", c.tag, c.value)
			if err != nil || a.Reading.Value.String() != c.reads || a.Reading.Quality != gateway.Good {
				t.Errorf("%s: %v, reads back as %v", c.tag, err, a.Reading.Value)
			}
			if got := p.requests(); len(got) != 1 || got[0] != c.pdu {
				t.Errorf("%s: asked %q, want %q", c.tag, got, c.pdu)
			}
		})
	}
}

func TestWriteFunctionMultiple(t *testing.T) {
	for tag, pdu := range map[string]string{"word": "\x10\x00\x0a\x00\x01\x02\x00\x01", "coil": "\x0f\x00\x07\x00\x01\x01\x01"} {
		p, o := newPLC(), writable(t)
		o.WriteFunction = "multiple"
		onPLC(t, p, o, func(t *testing.T, d *modbus.Driver) {
			if _, err := d.Write(t.Context(), "d", tag, gateway.Int(1)); err != nil || len(p.requests()) != 1 || p.requests()[0] != pdu {
				t.Errorf("%s: %v, asked %q", tag, err, p.requests())
			}
		})
	}
}

func TestWhatIsNotWritten(t *testing.T) {
	p := newPLC()
	onPLC(t, p, writable(t), func(t *testing.T, d *modbus.Driver) {
		for _, c := range []struct {
			tag   string
			value gateway.Value
			want  error
		}{
			{"word", gateway.Int(1001), modbus.ErrOutOfRange},
			{"word", gateway.Int(-1), modbus.ErrOutOfRange},
			{"word", gateway.Number(number(t, "1000.0000001")), modbus.ErrOutOfRange},
			{"word", gateway.Number(number(t, "0.5")), modbus.ErrInexact},
			{"word", gateway.Text("5"), modbus.ErrOutOfRange},
			{"word", gateway.Value{}, modbus.ErrOutOfRange},
			{"signed", gateway.Int(-32769), modbus.ErrOutOfRange},
			{"bcd", gateway.Int(10000), modbus.ErrOutOfRange},
			{"tenth", gateway.Number(number(t, "0.05")), modbus.ErrInexact},
			{"float", gateway.Number(number(t, "12.3400001")), modbus.ErrInexact},
			{"float", gateway.Float64(100.1), modbus.ErrOutOfRange},
			{"bit", gateway.Number(number(t, "0.5")), modbus.ErrOutOfRange},
			{"plain", gateway.Int(1), modbus.ErrNotWritable},
			{"none", gateway.Int(1), modbus.ErrUnknown},
		} {
			if _, err := d.Write(t.Context(), "d", c.tag, c.value); !errors.Is(err, c.want) {
				t.Errorf("%s = %v: %v, want %v", c.tag, c.value, err, c.want)
			}
		}
	})
	if len(p.requests()) != 0 {
		t.Errorf("written all the same: %q", p.requests())
	}
	synctest.Test(t, func(t *testing.T) {
		l := start(t, rtu(0, map[string]modbus.DeviceOptions{"d": writable(t)}), char9600, p.serve)
		if _, err := l.Driver.Write(t.Context(), "d", "word", gateway.Int(1)); !errors.Is(err, modbus.ErrNotAllowed) {
			t.Errorf("writes are not allowed: %v", err)
		}
		l.Stop()
	})
}

func TestAWriteIsNeverSentTwice(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*plc)
		tag   string
		want  error
	}{
		{"done, but no answer", func(p *plc) { p.mute = true }, "word", nil},
		{"not done, no answer", func(p *plc) { p.deaf = true }, "word", modbus.ErrNoEffect},
		{"answered, not done", func(p *plc) { p.forgets = true }, "word", modbus.ErrNoEffect},
		{"refused", func(p *plc) { p.refuse[6] = wire.IllegalAddress }, "word", modbus.ErrRefused},
		{"busy", func(p *plc) { p.refuse[6] = wire.DeviceBusy }, "word", modbus.ErrRefused},
		{"taken, done later", func(p *plc) { p.refuse[6] = wire.Acknowledge; p.regs[10] = 77 }, "word", nil},
		{"taken, not done yet", func(p *plc) { p.refuse[6] = wire.Acknowledge }, "word", modbus.ErrUnknownOutcome},
		{"a coil, no answer, and none to what asks", func(p *plc) { p.deaf = true; p.refuse[1] = wire.DeviceFailure }, "coil", modbus.ErrUnknownOutcome},
		{"no mask write", func(p *plc) { p.refuse[22] = wire.IllegalFunction }, "bit", modbus.ErrRefused},
		{"no answer, and none to what asks", func(p *plc) { p.deaf = true; p.refuse[3] = wire.DeviceFailure }, "word", modbus.ErrUnknownOutcome},
	} {
		p := newPLC()
		value := gateway.Int(77)
		if c.tag != "word" {
			value = gateway.Bool(true)
		}
		onPLC(t, p, writable(t), func(t *testing.T, d *modbus.Driver) {
			p.set(c.fault)
			_, err := d.Write(t.Context(), "d", c.tag, value)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if len(p.requests()) != 1 {
				t.Errorf("%s: asked %q, want once", c.name, p.requests())
			}
		})
	}
}

func TestACallerWhoGivesUpLearnsWhetherItWasSent(t *testing.T) {
	p := newPLC()
	onPLC(t, p, writable(t), func(t *testing.T, d *modbus.Driver) {
		p.set(func(p *plc) { p.deaf = true })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := d.Write(ctx, "d", "word", gateway.Int(5)) // no answer comes in this time
		if !errors.Is(err, modbus.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = d.Write(ctx, "d", "word", gateway.Int(6)) // the line waits for the first
		if !errors.Is(err, modbus.ErrNotSent) {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if len(p.requests()) != 1 {
			t.Errorf("asked %q", p.requests())
		}
	})
}

func TestWritableIsValidated(t *testing.T) {
	input := setpoint(t, 1, "uint16", "0", "1")
	input.Register = "input"
	discrete := setpoint(t, 1, "", "0", "1")
	discrete.Register = "discrete"
	text := setpoint(t, 1, "string", "0", "1")
	text.Length = 2
	for name, o := range map[string]modbus.TagOptions{"input": input, "discrete": discrete, "string": text, "long": setpoint(t, 1, "uint32", "0", "1")} {
		d := modbus.DeviceOptions{SlaveID: ptr(1), Interval: time.Second, WriteFunction: "single", Tags: map[string]modbus.TagOptions{"t": o}}
		f := d.Validate()
		if len(f) != 1 || f[0].Key != "tag.t.writable" {
			t.Errorf("%s: %v", name, f)
		}
	}
	if f := (modbus.DeviceOptions{SlaveID: ptr(1), WriteFunction: "multi"}).Validate(); len(f) != 1 || f[0].Key != "write_function" {
		t.Errorf("%v", f)
	}
}
