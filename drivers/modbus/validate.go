package modbus

import (
	"maps"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Validate names everything that is wrong, with keys like device.pump3.tag.pressure.type.
func (o Options) Validate() gateway.Faults {
	var f gateway.Faults
	protocol, ok := protocolOf(o.Protocol)
	if !ok {
		f.Add("protocol", "%s", gateway.Unknown(o.Protocol, "a protocol of Modbus", protocolNames()))
	}
	f = append(f, o.LineOptions.Validate()...)
	for _, name := range slices.Sorted(maps.Keys(o.Devices)) {
		d := o.Devices[name]
		below := d.Validate()
		if err := gateway.ValidName(name); err != nil {
			below.Add("", "%v", err)
		}
		// Serial line, 2.2: 0 is a broadcast, which nobody answers; 248 to 255 are reserved.
		if unit := d.Unit(); ok && !protocol.network && (d.SlaveID != nil || d.UnitID != nil) && (unit < 1 || unit > 247) {
			below.Add("slave_id", "%d is not possible on a serial line; use 1 to 247", unit)
		}
		f.Under("device."+name, below)
	}
	return f
}

// Validate names everything that is wrong.
func (o LineOptions) Validate() gateway.Faults {
	var f gateway.Faults
	if t := o.responseTimeout(); t < time.Millisecond || t > maxResponseTimeout {
		f.Add("response_timeout", "%s is not sensible; use 1ms to %s", t, maxResponseTimeout)
	}
	if o.Echo != "" && !slices.Contains(echoes, o.Echo) {
		f.Add("echo", "%s", gateway.Unknown(o.Echo, "an echo", echoes))
	}
	for _, pause := range []struct {
		key string
		d   time.Duration
	}{{"inter_request_gap", o.InterRequestGap}, {"connect_delay", o.ConnectDelay}} {
		if pause.d < 0 || pause.d > maxPause {
			f.Add(pause.key, "%s is not sensible; use 0s to %s", pause.d, maxPause)
		}
	}
	if n := o.retries(); n < 0 || n > maxRetries {
		f.Add("retries", "%d is not possible; use 0 to %d", n, maxRetries)
	}
	return f
}

var echoes = []string{echoAuto, echoOn, echoOff}

// maxPause bounds the pauses that an instrument may need.
const maxPause = 10 * time.Second

// Validate names everything that is wrong; below tags with keys like tag.pressure.type.
func (o DeviceOptions) Validate() gateway.Faults {
	var f gateway.Faults
	o.validateUnit(&f)
	if o.Interval != 0 {
		gateway.CheckInterval(&f, o.Interval)
	}
	if o.Addressing != "" && o.Addressing != zeroBased && o.Addressing != modicon {
		f.Add("addressing", "%s", gateway.Unknown(o.Addressing, "an addressing", []string{zeroBased, modicon}))
	}
	if o.ByteOrder != "" && !slices.Contains(wire.Orders(4), wire.Order(o.ByteOrder)) {
		f.Add("byte_order", "%q is not a byte order of a device; use ABCD, CDAB, BADC or DCBA", o.ByteOrder)
	}
	if n := o.RegisterSize; n != 0 && n != plainRegister && n != wideRegister {
		f.Add("register_size", "%d is not possible; use %d or %d", n, plainRegister, wideRegister)
	}
	if n := o.AddressOffset; n < -65535 || n > 65535 {
		f.Add("address_offset", "%d is not possible; use -65535 to 65535", n)
	}
	if n := o.maxRegisters(); n < 1 || n > wire.MaxRegisters {
		f.Add("max_registers", "%d is not possible; use 1 to %d", n, wire.MaxRegisters)
	}
	if n := o.maxGap(); n < 0 || n > wire.MaxRegisters {
		f.Add("max_gap", "%d is not possible; use 0 to %d", n, wire.MaxRegisters)
	}
	if o.WriteFunction != "" && !slices.Contains(writeFunctions, o.WriteFunction) {
		f.Add("write_function", "%s", gateway.Unknown(o.WriteFunction, "a way to write", writeFunctions))
	}
	for _, h := range o.Holes {
		if h[0] < 0 || h[1] > 65535 || h[0] > h[1] {
			f.Add("holes", "[%d, %d] is not a range; write the first and the last address of it, 0 to 65535", h[0], h[1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Tags)) {
		f.Under("tag."+name, o.validateTag(name))
	}
	return f
}

func (o DeviceOptions) validateUnit(f *gateway.Faults) {
	switch {
	case o.SlaveID == nil && o.UnitID == nil:
		f.Add("slave_id", "is missing; write the number that the instrument is set to, e.g. slave_id = 1")
	case o.SlaveID != nil && o.UnitID != nil && *o.SlaveID != *o.UnitID:
		f.Add("unit_id", "%d contradicts slave_id = %d, which means the same; remove one of them", *o.UnitID, *o.SlaveID)
	}
	for _, id := range []struct {
		key string
		id  *int
	}{{"slave_id", o.SlaveID}, {"unit_id", o.UnitID}} {
		if id.id != nil && (*id.id < 0 || *id.id > 255) {
			f.Add(id.key, "%d is not possible; use 1 to 247, over TCP 0 to 255", *id.id)
		}
	}
}

// validateTag says what is wrong with a tag of this device. The device's
// interval, addressing and byte order count.
func (o DeviceOptions) validateTag(name string) gateway.Faults {
	t := o.Tags[name]
	f := t.Validate()
	if err := gateway.ValidName(name); err != nil {
		f.Add("", "%v", err)
	}
	if t.Interval == 0 && o.Interval == 0 && t.IsEnabled() {
		f.Add("interval", "is missing, here and on the device; write e.g. interval = \"1s\"")
	}
	p, pf := place(o, t)
	f = append(f, pf...)
	if len(pf) > 0 || p.layout.Type == nil {
		return f
	}
	if n := p.layout.Registers(); !p.function.Bits() && n > o.maxRegisters() {
		f.Add("", "takes %d registers, and max_registers = %d; raise it", n, o.maxRegisters())
	}
	if _, err := sentinels(p.layout.Type, t.BadValues); err != nil {
		f.Add("bad_values", "%v", err)
	}
	if t.Writable {
		o.validateWritable(&f, p)
	}
	if !p.layout.Type.Numeric() {
		f = append(f, t.ValidateText(p.layout.Type.Name)...)
	}
	return f
}

// validateWritable says why a tag cannot be written.
func (o DeviceOptions) validateWritable(f *gateway.Faults, p placed) {
	switch {
	case p.function == wire.ReadInputRegisters || p.function == wire.ReadDiscreteInputs:
		f.Add("writable", "the table %s can only be read; remove writable, min and max", p.function)
	case p.wide:
		f.Add("writable", "a register of 32 bits cannot be written in this version; remove writable, min and max")
	case p.layout.Width > 0:
		f.Add("writable", "bits cannot be written in this version: the rest of the register would be written over; remove writable, min and max")
	case p.layout.Type.Name == "string":
		f.Add("writable", "a string cannot be written in this version; remove writable, min and max")
	case o.WriteFunction == writeSingle && p.layout.Registers() > 1:
		f.Add("writable", "a %s takes %d registers, which write_function = \"single\" cannot write at once; use \"auto\" or \"multiple\" on the device", p.layout.Type.Name, p.layout.Registers())
	}
}
