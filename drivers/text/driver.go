package text

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/gateway"
)

var _ gateway.Driver = (*Driver)(nil)

// Driver reads the devices of one line. Run it once.
type Driver struct {
	keep    *keeper.Keeper
	timeout time.Duration
	retries int
	writes  bool
	mute    bool // nothing is published

	tags    []*gateway.Tag
	devices []*device
	units   []*unit
	sweeps  []*sweep
	publish gateway.Sink

	x            *engine   // on the open line
	catch        catch     // of the poll that is asked
	scratch      []byte    // its frame
	blockedUntil time.Time // quarantine of the whole line: a reply that does not say whose it is may still come
	budgetAt     time.Time // from then on silent units have not had their share of the line
	wasSilent    bool      // the last try was of one that does not answer
	noBreak      bool      // it was told that the line cannot send a break
}

// device is one configured instrument.
type device struct {
	name  string
	in    *instrument
	unit  *unit
	index int  // in Status.Devices
	ready bool // its init was answered
}

// New returns a driver for one line. The error names every fault of the options.
func New(o Options) (*Driver, error) {
	if faults := o.Validate(); len(faults) > 0 {
		var all []error
		for _, f := range faults {
			all = append(all, fmt.Errorf("%s: %s", f.Key, f.Text))
		}
		return nil, fmt.Errorf("line %s: %w", o.Line, errors.Join(all...))
	}
	if o.Now == nil {
		return nil, fmt.Errorf("line %s: Options.Now is missing", o.Line)
	}
	d := &Driver{
		keep: keeper.New(o.Line, o.Now, o.Log), timeout: o.responseTimeout(), retries: o.retries(), writes: o.Writes, mute: o.Asked,
	}
	for _, name := range slices.Sorted(maps.Keys(o.Devices)) {
		d.add(name, o.Devices[name], o.Asked)
	}
	return d, nil
}

func (d *Driver) add(name string, o DeviceOptions, asked bool) {
	in, _ := compile(name, o)
	dev := &device{name: name, in: in, unit: d.unitOf(string(o.Address)), index: len(d.devices)}
	d.devices = append(d.devices, dev)
	d.keep.Add(name, string(o.Address))
	for _, tagName := range slices.Sorted(maps.Keys(o.Tags)) {
		if t := in.tagNamed(tagName); t != nil {
			d.tags = append(d.tags, t.tag)
		}
	}
	if asked && !o.listens() {
		return
	}
	for _, p := range in.polls {
		groups := make(map[time.Duration][]*tag)
		for _, t := range p.tags {
			interval := o.intervalOf(o.Tags[t.name])
			groups[interval] = append(groups[interval], t)
		}
		for _, interval := range slices.Sorted(maps.Keys(groups)) {
			d.sweeps = append(d.sweeps, newSweep(dev, p, interval, groups[interval]))
		}
	}
}

func (d *Driver) unitOf(address string) *unit {
	i := slices.IndexFunc(d.units, func(u *unit) bool { return u.address == address })
	if i >= 0 {
		return d.units[i]
	}
	u := &unit{address: address}
	d.units = append(d.units, u)
	return u
}

// tagNamed returns an enabled tag, or nil.
func (in *instrument) tagNamed(name string) *tag {
	for _, p := range in.polls {
		for _, t := range p.tags {
			if t.name == name {
				return t
			}
		}
	}
	return nil
}

// listener returns the device that talks by itself, or nil. It has its line for itself.
func (d *Driver) listener() *device {
	if len(d.devices) == 1 && d.devices[0].in.options.listens() {
		return d.devices[0]
	}
	return nil
}

// Tags returns the tags that the driver publishes readings of, by device and
// name. The Readings carry the same pointers.
func (d *Driver) Tags() []*gateway.Tag { return slices.Clone(d.tags) }

// String names the line and its protocol.
func (d *Driver) String() string { return "text on line " + d.keep.Line }
