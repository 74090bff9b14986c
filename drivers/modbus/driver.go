package modbus

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

var _ gateway.Driver = (*Driver)(nil)

// Driver polls the devices of one line. Run it once.
type Driver struct {
	line     string
	protocol string
	timeout  time.Duration
	retries  int
	options  engineOptions
	now      func() gateway.Stamp
	log      *slog.Logger

	tags    []*gateway.Tag
	devices []*device
	units   [256]*unit
	sweeps  []*sweep
	publish gateway.Sink

	connectDelay time.Duration

	lonely   bool          // there is one unit on the line
	greeting time.Duration // what a unit may take for its first answer
	wire     time.Duration // of the longest request and its answer
	forceAt  time.Time     // from then on a silent unit may be tried although it makes others wait
	budgetAt time.Time     // from then on dead units have not had their share of the line

	crowdedUntil time.Time     // until then the line is too slow for all that is asked
	served       time.Duration // when, in line time, the unit was due that was served last

	known     bool   // nobody else has asked anything on the line of late
	proved    bool   // the open line has answered
	downKnown bool   // a try to open has failed since it was last open
	lastErr   string // why the line is down, as it was logged
	backoff   time.Duration

	writes    bool
	writing   chan struct{} // held while a person writes
	inquiries chan *inquiry // from errands
	loans     gateway.Lender
	waiting   []*inquiry // for their turn
	tap       *tap       // on the open line
	asked     bool       // the last transaction was of an inquiry
	lent      bool

	traces gateway.Traces

	mu     sync.Mutex // guards what follows, which Status reads
	status gateway.LineStatus
	busy   gateway.Usage
	port   gateway.UARTCounter // nil while there is none that counts
}

// startingReason is why nothing is known yet.
const startingReason = "starting"

// device is one configured instrument.
type device struct {
	name    string
	unit    *unit
	index   int // in Status.Devices
	options DeviceOptions
	tags    map[string]*tag // never read into, so that errands may copy them

	holes   []hole // that it turned out to have
	learned int    // how often holes changed
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
		line: o.Line, protocol: o.Protocol, timeout: o.responseTimeout(), retries: o.retries(), now: o.Now,
		log:     slog.New(slog.DiscardHandler),
		options: o.engine(),

		connectDelay: o.ConnectDelay,
		writes:       o.Writes,
		writing:      make(chan struct{}, 1),
		inquiries:    make(chan *inquiry),
		loans:        gateway.NewLender(),
	}
	if o.Log != nil {
		d.log = o.Log.With("line", o.Line)
	}
	d.status = gateway.LineStatus{Line: o.Line, Since: o.Now(), Reason: startingReason}
	for _, name := range slices.Sorted(maps.Keys(o.Devices)) {
		d.add(name, o.Devices[name])
	}
	d.greeting = greetingOf(len(d.devices))
	if o.Asked {
		d.sweeps = nil
	}
	return d, nil
}

func (d *Driver) add(name string, o DeviceOptions) {
	id := o.Unit()
	if d.units[id] == nil {
		d.units[id] = &unit{id: id}
	}
	dev := &device{name: name, unit: d.units[id], index: len(d.devices), options: o, tags: make(map[string]*tag)}
	d.devices = append(d.devices, dev)
	d.status.Devices = append(d.status.Devices, gateway.DeviceStatus{Device: name, Unit: strconv.Itoa(int(id)), Since: d.status.Since, Cause: gateway.Starting, Reason: startingReason})

	var names []string
	var tags []*tag
	for _, tagName := range slices.Sorted(maps.Keys(o.Tags)) {
		if !o.Tags[tagName].IsEnabled() {
			continue
		}
		t := newTag(name, tagName, o)
		pristine := *t
		dev.tags[tagName] = &pristine
		names, tags = append(names, tagName), append(tags, t)
		d.tags = append(d.tags, t.tag)
	}
	d.lonely = !slices.ContainsFunc(d.devices, func(other *device) bool { return other.unit != dev.unit })
	groups := group(o, names, tags)
	for _, interval := range slices.Sorted(maps.Keys(groups)) {
		d.sweeps = append(d.sweeps, newSweep(dev, o, interval, groups[interval]))
	}
}

// Tags returns the tags that the driver publishes readings of, by device and
// name. The Readings carry the same pointers.
func (d *Driver) Tags() []*gateway.Tag { return slices.Clone(d.tags) }

// String names the line and its protocol.
func (d *Driver) String() string { return fmt.Sprintf("%s on line %s", d.protocol, d.line) }
