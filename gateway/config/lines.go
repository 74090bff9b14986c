package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/gateway"
)

// Line is a wire or an endpoint, and the protocol spoken there.
type Line struct {
	Protocol string `toml:"protocol"`
	line.Options
	Driver drivers.LineOptions `toml:",inline"` // what the protocol adds
}

// Device is an instrument on a line.
type Device struct {
	Line    string                `toml:"line"`
	Profile string                `toml:"profile"`
	Driver  drivers.DeviceOptions `toml:",inline"` // what the protocol of its line makes of the rest
}

// bindLines binds the tables of lines and devices, whose keys depend on the
// protocol and on the profiles of the devices.
func (c *Config) bindLines(d *document) {
	lines, devices := d.tables("line"), d.tables("device")
	known := c.profiles(d, devices)
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		d.applyProfile(name, devices[name], lines, known)
	}
	c.Lines, c.Devices = make(map[string]Line), make(map[string]Device)
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		l := Line{Driver: protocolOf(lines[name]).NewLineOptions()}
		d.bind([]string{"line", name}, lines[name], reflect.ValueOf(&l).Elem())
		c.Lines[name] = l
	}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		dev := Device{Driver: protocolOf(lineOf(devices[name], lines)).NewDeviceOptions()}
		d.bind([]string{"device", name}, devices[name], reflect.ValueOf(&dev).Elem())
		c.Devices[name] = dev
	}
}

// tables returns the named tables below a key. What is none is a fault.
func (d *document) tables(key string) map[string]map[string]any {
	tables := make(map[string]map[string]any)
	value, given := d.values[key]
	all, ok := value.(map[string]any)
	if given && !ok {
		d.fault([]string{key}, false, "%s is not a table of named tables; write [%s.NAME]", show(value), key)
	}
	for name, value := range all {
		path := []string{key, name}
		table, ok := value.(map[string]any)
		if err := gateway.ValidName(name); err != nil {
			d.fault(path, false, "%v", err)
		} else if !ok {
			d.fault(path, false, "%s is not a table; write [%s.%s]", show(value), key, name)
		} else {
			tables[name] = table
		}
	}
	return tables
}

// protocolOf returns the protocol of a line's table. Where it is missing or
// wrong, which is a fault of its own, Modbus stands in for it, as most lines are.
func protocolOf(line map[string]any) drivers.Protocol {
	name, _ := line["protocol"].(string)
	if p, ok := drivers.ProtocolOf(name); ok {
		return p
	}
	return drivers.Protocols[0]
}

// lineOf returns the table of the line that a device is on, or of the only line.
func lineOf(device map[string]any, lines map[string]map[string]any) map[string]any {
	name, _ := device["line"].(string)
	if l, ok := lines[name]; ok {
		return l
	}
	if len(lines) == 1 {
		for _, l := range lines {
			return l
		}
	}
	return nil
}

// ForDriver returns what the driver of a line is made from; Now and Log are the
// caller's to set.
func (c *Config) ForDriver(name string) drivers.Line {
	l := c.Lines[name]
	out := drivers.Line{
		Name: name, Protocol: l.Protocol, Options: l.Driver, CharTime: l.CharTime(), Writes: c.Writes == "allowed",
		Devices: make(map[string]drivers.DeviceOptions),
	}
	for device, dev := range c.Devices {
		if dev.Line == name {
			out.Devices[device] = dev.Driver
		}
	}
	return out
}

// TagOptions returns the options of every tag that is read, by "device/tag".
func (c *Config) TagOptions() map[string]gateway.TagOptions {
	tags := make(map[string]gateway.TagOptions)
	for device, dev := range c.Devices {
		for tag, o := range dev.Driver.TagOptions() {
			tags[device+"/"+tag] = o
		}
	}
	return tags
}

func (c *Config) validateLines(d *document) {
	names := slices.Sorted(maps.Keys(c.Lines))
	for i, name := range names {
		l, path := c.Lines[name], []string{"line", name}
		c.validateEndpoint(d, path, l)
		if !c.used(name) {
			d.fault(path, true, "no device is on this line")
		}
		for _, other := range names[:i] {
			if where := l.Options.String(); where != "" && c.Lines[other].Options.String() == where {
				d.fault(path, false, "%s is line %s already; put the devices of both on one line", where, other)
			}
		}
		d.underLine(path, drivers.Validate(c.ForDriver(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Devices)) {
		c.validatePlace(d, name, names)
	}
}

func (c *Config) used(line string) bool {
	for _, dev := range c.Devices {
		if dev.Line == line {
			return true
		}
	}
	return false
}

func (c *Config) validateEndpoint(d *document, path []string, l Line) {
	d.under(path, l.Options.Validate())
	p, ok := drivers.ProtocolOf(l.Protocol)
	switch {
	case l.Protocol == "":
		d.fault(append(path, "protocol"), false, "is missing; write one of %s", strings.Join(drivers.Names(), ", "))
	case ok && l.Serial != "" && !p.Serial:
		d.fault(append(path, "serial"), false, `%s goes over a network; write address = "host:502" or listen = ":5020"`, l.Protocol)
	case ok && l.Serial == "" && (l.Address != "" || l.Listen != "") && !p.Network:
		d.fault(append(path, "protocol"), false, `%s needs serial = "/dev/…"; over a network use %s-over-tcp`, l.Protocol, l.Protocol)
	}
}

// underLine adds the faults of a line and of its devices, where they belong.
func (d *document) underLine(path []string, faults gateway.Faults) {
	for _, f := range faults {
		if f.Key == "protocol" && d.values["line"].(map[string]any)[path[1]].(map[string]any)["protocol"] == nil {
			continue // that it is missing was said
		}
		at := path
		if strings.HasPrefix(f.Key, "device.") {
			at = nil
		}
		d.under(at, gateway.Faults{f})
	}
}

// validatePlace checks that the line of a device exists. A device on none has
// its own options checked all the same.
func (c *Config) validatePlace(d *document, name string, lines []string) {
	dev, path := c.Devices[name], []string{"device", name}
	if _, ok := c.Lines[dev.Line]; ok {
		return
	}
	switch near := gateway.Nearest(dev.Line, lines); {
	case dev.Line == "":
		d.fault(append(path, "line"), false, "is missing; name the line that the device is on")
	case near != "":
		d.fault(append(path, "line"), false, "there is no line %q; did you mean %q?", dev.Line, near)
	default:
		d.fault(append(path, "line"), false, "there is no line %q", dev.Line)
	}
	d.under(path, dev.Driver.Validate())
}
