package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/gateway"
)

// profiles reads the profiles if any device wants one.
func (c *Config) profiles(d *document, devices map[string]map[string]any) map[string]drivers.Profile {
	wanted := false
	for _, table := range devices {
		wanted = wanted || table["profile"] != nil
	}
	known := make(map[string]drivers.Profile)
	if !wanted {
		return known
	}
	all, errs := drivers.Profiles(c.Profiles.Directory)
	for _, err := range errs {
		d.fault([]string{"profiles", "directory"}, true, "%v", err)
	}
	for _, p := range all {
		known[p.Name] = p
	}
	return known
}

// applyProfile puts what a device's profile says below what is written.
func (d *document) applyProfile(name string, device map[string]any, lines map[string]map[string]any, known map[string]drivers.Profile) {
	profile, ok := device["profile"].(string)
	if !ok {
		return
	}
	path := []string{"device", name, "profile"}
	p, ok := known[profile]
	if !ok {
		d.fault(path, false, "%s; see gaugeway profile list", gateway.Unknown(profile, "a profile", slices.Sorted(maps.Keys(known))))
		return
	}
	line := lineOf(device, lines)
	if family := protocolOf(line).Family; family != p.Head.Protocol {
		d.fault(path, false, "%q is for lines of the protocol %s, and the device is on one of %s", profile, p.Head.Protocol, family)
		return
	}
	s := &source{file: p.File, text: p.Text, strip: 2}
	d.below(path[:2], device, p.Device, s)
	if lineName, _ := device["line"].(string); line != nil && lines[lineName] != nil {
		d.applyLine([]string{"line", lineName}, line, p, s)
	}
}

// serialKeys belong to a serial line only.
var serialKeys = []string{"baud_rate", "data_bits", "parity", "stop_bits"}

// applyLine gives a line what a profile of one of its devices says of it. Two
// that disagree are a fault, unless the configuration decides.
func (d *document) applyLine(path []string, line map[string]any, p drivers.Profile, s *source) {
	for key, value := range p.Line {
		if slices.Contains(serialKeys, key) && line["serial"] == nil {
			continue
		}
		here := append(slices.Clip(path), key)
		have, given := line[key]
		other := d.origins[joined(here)]
		switch {
		case !given:
			line[key] = value
			d.origins[joined(here)] = s
		case other != nil && other.strip > 0 && !reflect.DeepEqual(have, value):
			d.fault(here, false, "is %s in %s and %s in %s; write it on the line", show(have), other.file, show(value), s.file)
		}
	}
}

// below puts values under those that are there already, table by table.
func (d *document) below(path []string, into, from map[string]any, s *source) {
	for key, value := range from {
		here := append(slices.Clip(path), key)
		have, given := into[key]
		table, isTable := value.(map[string]any)
		haveTable, haveIs := have.(map[string]any)
		switch {
		case given && isTable && haveIs:
			d.below(here, haveTable, table, s)
		case given:
		case isTable:
			inner := make(map[string]any)
			into[key] = inner
			d.origins[joined(here)] = s
			d.below(here, inner, table, s)
		default:
			into[key] = value
			d.origins[joined(here)] = s
		}
	}
}

// ProfileDevice is a device that has nothing but its profile, and the least that
// every configuration adds. The faults are those of the profile.
func ProfileDevice(p drivers.Profile) (drivers.DeviceOptions, Faults) {
	s := &source{file: p.File, text: p.Text, strip: 2}
	d := newDocument(s)
	table := make(map[string]any)
	d.below([]string{"device", p.Name}, table, p.Device, s)
	d.below([]string{"device", p.Name}, table, drivers.Least(p.Head.Protocol), s)
	i := slices.IndexFunc(drivers.Protocols, func(one drivers.Protocol) bool { return one.Family == p.Head.Protocol })
	dev := Device{Driver: drivers.Protocols[i].NewDeviceOptions()}
	d.bind([]string{"device", p.Name}, table, reflect.ValueOf(&dev).Elem())
	if len(d.faults) == 0 {
		d.under([]string{"device", p.Name}, dev.Driver.Validate())
	}
	for i := range d.faults {
		d.faults[i].Key = strings.Replace(d.faults[i].Key, "device."+p.Name, "device", 1)
	}
	return dev.Driver, d.faults.sorted()
}
