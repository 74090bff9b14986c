// Package drivers is the list of the protocols that the gateway speaks, and of
// the profiles of instruments it knows.
package drivers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

// Driver reads the devices of one line. All methods but Run are safe for
// concurrent use, and for use while Run runs. Those that take a context ask
// something of the line: they need Run, and fail with the context's error when
// it does not get round to them.
type Driver interface {
	gateway.Driver
	String() string
	Status() gateway.LineStatus
	Tags() []*gateway.Tag

	// Read reads now, outside the intervals; tag "" means every tag of the device.
	Read(ctx context.Context, device, tag string) ([]gateway.Answer, error)
	// Write sets a tag that is writable, within its limits, and reads it back.
	// It is never tried twice.
	Write(ctx context.Context, device, tag string, v gateway.Value) (gateway.Answer, error)
	// Lend closes the line, lets use have the port, and opens it again. What is
	// due meanwhile is bad, reason maintenance.
	Lend(ctx context.Context, use func(context.Context) error) error
	// Trace has f called with every frame until stop is called. f must not block.
	Trace(f func(gateway.Frame)) (stop func())
}

// LineOptions are what a protocol adds to the table [line.x].
type LineOptions interface{ Validate() gateway.Faults }

// DeviceOptions are the table [device.x] of a protocol.
type DeviceOptions interface {
	Validate() gateway.Faults
	TagOptions() map[string]gateway.TagOptions // of the tags that are read, by name
}

// Line is what a driver is made from. Options and the Devices are of the types
// that NewLineOptions and NewDeviceOptions return for the protocol.
type Line struct {
	Name     string
	Protocol string
	Options  LineOptions
	Devices  map[string]DeviceOptions
	CharTime time.Duration // of one character; 0 over a network
	Writes   bool          // whether anything may ever be written
	Asked    bool          // whether nothing is read but what is asked for
	Now      func() gateway.Stamp
	Log      *slog.Logger
}

// family is protocols that share a driver.
type family struct {
	line     func() LineOptions
	device   func() DeviceOptions
	validate func(Line) gateway.Faults
	create   func(Line) (Driver, error)
	plan     func(Line) gateway.LinePlan
	decode   func(o DeviceOptions, poll string, request, reply []byte) ([]gateway.Reading, error)
	unescape func(string) ([]byte, error) // of a written exchange; nil where they are hexadecimal only
	least    map[string]any               // what a configuration adds to every profile
}

// families has one row per driver, by the name that profiles use.
var families = map[string]family{
	"modbus": {
		line:     func() LineOptions { return new(modbus.LineOptions) },
		device:   func() DeviceOptions { return new(modbus.DeviceOptions) },
		validate: func(l Line) gateway.Faults { return modbusOptions(l).Validate() },
		create:   func(l Line) (Driver, error) { return modbus.New(modbusOptions(l)) },
		plan:     func(l Line) gateway.LinePlan { return modbus.Plan(modbusOptions(l), l.CharTime) },
		decode: func(o DeviceOptions, _ string, request, reply []byte) ([]gateway.Reading, error) {
			return modbus.Decode(*o.(*modbus.DeviceOptions), request, reply)
		},
		least: map[string]any{"slave_id": int64(1), "interval": "1s"},
	},
	"text": {
		line:     func() LineOptions { return new(text.LineOptions) },
		device:   func() DeviceOptions { return new(text.DeviceOptions) },
		validate: func(l Line) gateway.Faults { return textOptions(l).Validate() },
		create:   func(l Line) (Driver, error) { return text.New(textOptions(l)) },
		plan: func(l Line) gateway.LinePlan {
			p, _ := text.Plan(textOptions(l), l.CharTime) // the options were found valid
			return p
		},
		decode: func(o DeviceOptions, poll string, request, reply []byte) ([]gateway.Reading, error) {
			return text.Decode(*o.(*text.DeviceOptions), poll, request, reply)
		},
		unescape: text.Unescape,
		least:    map[string]any{"address": "1", "interval": "1s"},
	},
}

// Protocol is one value of the key protocol of a line.
type Protocol struct {
	Name    string
	Family  string
	Serial  bool // may have serial = "/dev/…"
	Network bool // may have address = "host:port" or listen = ":port"
}

// Protocols is every protocol there is.
var Protocols = []Protocol{
	{"modbus-rtu", "modbus", true, false},
	{"modbus-ascii", "modbus", true, false},
	{"modbus-tcp", "modbus", false, true},
	{"modbus-rtu-over-tcp", "modbus", false, true},
	{"modbus-ascii-over-tcp", "modbus", false, true},
	{"text", "text", true, true},
}

// ProtocolOf returns the protocol of this name.
func ProtocolOf(name string) (Protocol, bool) {
	i := slices.IndexFunc(Protocols, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, false
	}
	return Protocols[i], true
}

// Names returns the names of all protocols.
func Names() []string {
	var names []string
	for _, p := range Protocols {
		names = append(names, p.Name)
	}
	return names
}

// Families returns the names that a profile may have as its protocol.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// NewLineOptions returns empty options of a line for the TOML to be bound into.
func (p Protocol) NewLineOptions() LineOptions { return families[p.Family].line() }

// NewDeviceOptions returns empty options of a device for the TOML to be bound into.
func (p Protocol) NewDeviceOptions() DeviceOptions { return families[p.Family].device() }

// Validate names everything that is wrong with a line and its devices; the keys
// of a device begin with device.NAME, those of the line with its key.
func Validate(l Line) gateway.Faults {
	p, ok := ProtocolOf(l.Protocol)
	if !ok {
		var f gateway.Faults
		f.Add("protocol", "%s", gateway.Unknown(l.Protocol, "a protocol", Names()))
		return f
	}
	return families[p.Family].validate(l)
}

// New returns the driver of a line; an unknown protocol is an error.
func New(l Line) (Driver, error) {
	p, ok := ProtocolOf(l.Protocol)
	if !ok {
		return nil, fmt.Errorf("line %s: %s", l.Name, gateway.Unknown(l.Protocol, "a protocol", Names()))
	}
	return families[p.Family].create(l)
}

// Plan works out what a valid line has to carry, without opening it.
func Plan(l Line) gateway.LinePlan {
	p, _ := ProtocolOf(l.Protocol)
	return families[p.Family].plan(l)
}

// Decode reads what a device makes of a reply, without a line. poll names the
// poll of a text instrument that has several; request may be nil where the
// reply tells which request it answers.
func Decode(protocol string, o DeviceOptions, poll string, request, reply []byte) ([]gateway.Reading, error) {
	return families[protocol].decode(o, poll, request, reply)
}

// Least returns the keys that a configuration adds to a profile of the protocol
// at least, as an example.
func Least(protocol string) map[string]any { return maps.Clone(families[protocol].least) }

func modbusOptions(l Line) modbus.Options {
	return modbus.Options{
		Line: l.Name, Protocol: l.Protocol, LineOptions: *l.Options.(*modbus.LineOptions),
		Devices: devicesOf[modbus.DeviceOptions](l), Writes: l.Writes, Asked: l.Asked, Now: l.Now, Log: l.Log,
	}
}

func textOptions(l Line) text.Options {
	return text.Options{
		Line: l.Name, LineOptions: *l.Options.(*text.LineOptions),
		Devices: devicesOf[text.DeviceOptions](l), Writes: l.Writes, Asked: l.Asked, Now: l.Now, Log: l.Log,
	}
}

// devicesOf returns the devices as the options of their driver.
func devicesOf[T any](l Line) map[string]T {
	devices := make(map[string]T, len(l.Devices))
	for name, o := range l.Devices {
		devices[name] = *any(o).(*T)
	}
	return devices
}
