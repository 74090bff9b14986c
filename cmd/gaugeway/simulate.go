package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/config"
)

func newSimulate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate FILE",
		Short: "Play the instruments of a configuration, a profile or a CSV history, with faults by seed",
		Example: "  gaugeway simulate site.toml                    # every line of it on a pseudo-terminal or a TCP port\n" +
			"  gaugeway simulate keller-30x --path /tmp/port   # one instrument\n" +
			"  gaugeway simulate history.csv                   # what was recorded, over Modbus TCP",
		Args: oneArgument("a configuration, a profile or a CSV history"),
	}
	var s stageOptions
	f := cmd.Flags()
	f.StringVar(&s.path, "path", "", "symbolic `link` to keep at the pseudo-terminal of a profile")
	f.StringVar(&s.address, "address", "", "`host:port` where a profile or a history listens")
	f.Float64Var(&s.speed, "speed", 0, "play a history so many times as fast")
	f.Uint64Var(&s.seed, "seed", 0, "of everything that goes wrong")
	f.DurationVar(&s.length, "for", 0, "end after so long (0: with Ctrl-C)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, exchanges, err := s.configuration(cmd.ErrOrStderr(), args[0])
		if err != nil {
			return err
		}
		t, err := newStage(c, exchanges)
		if err != nil {
			return err
		}
		t.describe(cmd.OutOrStdout())
		ctx := cmd.Context()
		if s.length > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, s.length)
			defer stop()
		}
		return t.run(ctx)
	}
	return cmd
}

// stageOptions are the flags of simulate.
type stageOptions struct {
	path, address string
	speed         float64
	seed          uint64
	length        time.Duration
}

// configuration makes a configuration of whatever the file is. What a text
// instrument says stands in the exchanges of its profile, by device.
func (s stageOptions) configuration(errOut io.Writer, file string) (*config.Config, map[string]drivers.Profile, error) {
	text, err := os.ReadFile(file)
	var c *config.Config
	switch {
	case strings.HasSuffix(file, ".csv"):
		c, err = s.ofHistory(file)
	case err != nil && !strings.ContainsAny(file, "/."), strings.Contains(string(text), "\n[profile]\n"), strings.HasPrefix(string(text), "[profile]\n"):
		c, err = s.ofProfile(file)
	default:
		c, err = load(errOut, []string{file})
	}
	if err != nil {
		return nil, nil, err
	}
	if s.seed != 0 {
		c.Simulate.Seed = s.seed
	}
	if s.speed != 0 {
		c.Simulate.Speed = s.speed
	}
	profiles := make(map[string]drivers.Profile)
	for name, dev := range c.Devices {
		if dev.Profile == "" {
			continue
		}
		if profiles[name], err = drivers.FindProfile(dev.Profile, c.Profiles.Directory); err != nil {
			return nil, nil, err
		}
	}
	return c, profiles, nil
}

// anywhere is a path or an address that a configuration must have and a
// simulator does not look at.
const anywhere = "/dev/simulated"

// ofProfile is one instrument on one line. The profile's directory becomes the
// site's own, so that a file is found as well as a name.
func (s stageOptions) ofProfile(name string) (*config.Config, error) {
	p, err := findProfile(name, drivers.DefaultProfileDirectory)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "site = \"simulated\"\n[profiles]\ndirectory = %q\n", directoryOf(p.File))
	protocol, place := firstProtocol(p.Head.Protocol, false), fmt.Sprintf("serial = %q", anywhere)
	if s.address != "" {
		protocol, place = firstProtocol(p.Head.Protocol, true), fmt.Sprintf("address = %q", s.address)
	}
	fmt.Fprintf(&b, "[line.line]\nprotocol = %q\n%s\n", protocol, place)
	fmt.Fprintf(&b, "[simulate.line.line]\npath = %q\naddress = %q\n", s.path, s.address)
	fmt.Fprintf(&b, "[device.%s]\nline = \"line\"\nprofile = %q\n", p.Name, p.Name)
	least := drivers.Least(p.Head.Protocol)
	for _, key := range slices.Sorted(maps.Keys(least)) {
		if p.Device[key] == nil {
			fmt.Fprintf(&b, "%s = %#v\n", key, least[key])
		}
	}
	return parsed(p.File, b.String())
}

func directoryOf(file string) string {
	i := strings.LastIndexByte(file, '/')
	if i < 0 {
		return "."
	}
	return file[:i]
}

// firstProtocol is the first of a family that goes over a network, or a port.
func firstProtocol(family string, network bool) string {
	i := slices.IndexFunc(drivers.Protocols, func(p drivers.Protocol) bool {
		return p.Family == family && (network && p.Network || !network && p.Serial)
	})
	return drivers.Protocols[i].Name
}

// ofHistory is one Modbus TCP instrument with a float64 for each tag.
func (s stageOptions) ofHistory(file string) (*config.Config, error) {
	h, err := simulate.ReadHistory(file)
	if err != nil {
		return nil, err
	}
	address := s.address
	if address == "" {
		address = "127.0.0.1:5020"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "site = \"simulated\"\n[line.line]\nprotocol = \"modbus-tcp\"\naddress = %q\n", address)
	fmt.Fprintf(&b, "[simulate]\nhistory = %q\n[simulate.line.line]\naddress = %q\n", file, address)
	fmt.Fprintf(&b, "[device.history]\nline = \"line\"\nslave_id = 1\ninterval = \"1s\"\n")
	for i, tag := range h.Tags() {
		fmt.Fprintf(&b, "[device.history.tag.%s]\naddress = %d\ntype = \"float64\"\n", tagName(tag), 4*i)
		fmt.Fprintf(&b, "[simulate.device.history.tag.%s]\nhistory = %q\n", tagName(tag), tag)
	}
	return parsed(file, b.String())
}

// tagName makes a name of a configuration of one that a historian has.
func tagName(s string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, s)
	if gateway.ValidName(name) != nil {
		name = "t" + name
	}
	return name[:min(len(name), 64)]
}

func parsed(name, text string) (*config.Config, error) {
	c, faults := config.Parse(name, text)
	if faults.Fatal() {
		return nil, usageError{faults}
	}
	return c, nil
}

// stage is the lines that are played, by name.
type stage struct {
	config     *config.Config
	simulators map[string]*simulate.Simulator
	history    *simulate.History // nil for none
	started    time.Time
}

func newStage(c *config.Config, profiles map[string]drivers.Profile) (*stage, error) {
	t := &stage{config: c, simulators: make(map[string]*simulate.Simulator)}
	if c.Simulate.History != "" {
		var err error
		if t.history, err = simulate.ReadHistory(c.Simulate.History); err != nil {
			return nil, err
		}
	}
	for _, name := range sortedKeys(c.Lines) {
		sim, err := simulate.New(t.options(name))
		if err != nil {
			return nil, err
		}
		sim.Fault(c.Simulate.Lines[name].Fault(c.Simulate.Seed))
		t.simulators[name] = sim
	}
	for _, name := range sortedKeys(c.Devices) {
		if err := t.play(name, profiles[name]); err != nil {
			return nil, fmt.Errorf("device %s: %w", name, err)
		}
	}
	return t, nil
}

// options says where a line is played: as the scenario says, else as the line
// itself is reached.
func (t *stage) options(name string) simulate.Options {
	l, s := t.config.Lines[name], t.config.Simulate.Lines[name]
	o := simulate.Options{Protocol: l.Protocol, Path: s.Path, UnplugEvery: s.UnplugEvery, UnplugFor: s.UnplugFor}
	if l.Serial == "" {
		o.Address = s.Address
		if o.Address == "" {
			o.Address = l.Address
		}
	}
	if s.Paced == nil || *s.Paced {
		o.CharTime = l.CharTime()
	}
	for device, dev := range t.config.Devices {
		if dev.Line == name {
			o.Think = max(o.Think, t.config.Simulate.Devices[device].Think)
		}
	}
	return o
}

// play puts an instrument on its line.
func (t *stage) play(name string, profile drivers.Profile) error {
	dev := t.config.Devices[name]
	sim := t.simulators[dev.Line]
	switch o := dev.Driver.(type) {
	case *modbus.DeviceOptions:
		unit := sim.Unit(o.Unit())
		parts, err := t.parts(name, *o)
		if err != nil {
			return err
		}
		unit.Play(parts)
		for _, tag := range o.Tags {
			if tag.Writable && tag.IsEnabled() {
				at := modbus.Locate(*o, tag)
				unit.Writable(at.Function, at.Address, at.Layout.Registers())
			}
		}
		unit.Silence(t.config.Simulate.Devices[name].Silent)
		return nil
	default:
		return t.playExchanges(sim, profile)
	}
}

// playExchanges has a text instrument answer as its profile has it written down.
func (t *stage) playExchanges(sim *simulate.Simulator, p drivers.Profile) error {
	if len(p.Exchanges) == 0 {
		return errors.New("a text instrument is played from the exchanges of its profile, and this device has none")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Exchanges)) {
		if !p.Exchanges[name].Good() {
			continue // how it is when something is wrong
		}
		request, reply, err := p.Bytes(name)
		if err != nil {
			return err
		}
		sim.Script(request, reply)
	}
	return nil
}

// parts returns the values of a Modbus instrument.
func (t *stage) parts(device string, o modbus.DeviceOptions) ([]simulate.Part, error) {
	var parts []simulate.Part
	for _, name := range sortedKeys(o.Tags) {
		tag := o.Tags[name]
		if !tag.IsEnabled() {
			continue
		}
		at := modbus.Locate(o, tag)
		if o.RegisterSize == 32 && at.Layout.Type.Size >= 4 {
			return nil, fmt.Errorf("tag %s: registers of 32 bits cannot be simulated in this version; remove register_size", name)
		}
		signal, err := t.signal(device, name, tag.TagOptions)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", name, err)
		}
		parts = append(parts, simulate.Part{
			Table: at.Function, Address: at.Address, Layout: at.Layout, Signal: signal, Text: name,
			Scale: tag.ScaleOrOne().Float64(), Offset: tag.Offset.Float64(), None: modbus.NoValue(at.Layout, tag),
		})
	}
	return parts, nil
}

// signal is what a tag shows: as the scenario says, else as the history has it
// under its own name, else a wave in its valid range.
func (t *stage) signal(device, tag string, o gateway.TagOptions) (simulate.Signal, error) {
	s := t.config.Simulate.Devices[device].Tags[tag]
	speed := t.config.Simulate.Speed
	if speed == 0 {
		speed = 1
	}
	switch {
	case s.Value != nil:
		return simulate.Constant(*s.Value), nil
	case s.Count > 0:
		return simulate.Count(s.Count), nil
	case s.Period > 0:
		return simulate.Wave(s.Mean, s.Amplitude, s.Period), nil
	case s.History != "" && t.history == nil:
		return nil, errors.New("has a history, and simulate.history names no file")
	case s.History != "":
		return t.history.Signal(s.History, speed)
	case t.history != nil && slices.Contains(t.history.Tags(), tag):
		return t.history.Signal(tag, speed)
	}
	low, high := 0.0, 100.0
	if len(o.ValidRange) == 2 {
		low, high = o.ValidRange[0].Float64(), o.ValidRange[1].Float64()
	}
	return simulate.Wave((low+high)/2, (high-low)/4, defaultPeriod), nil
}

const defaultPeriod = time.Minute

// describe says where the lines can be reached.
func (t *stage) describe(w io.Writer) {
	for _, name := range sortedKeys(t.simulators) {
		sim, l := t.simulators[name], t.config.Lines[name]
		if sim.Addr() != "" {
			fmt.Fprintf(w, "line %s: protocol = %q, address = %q\n", name, l.Protocol, sim.Addr())
		} else {
			fmt.Fprintf(w, "line %s: protocol = %q, serial = %q, baud_rate = %d, parity = %q\n", name, l.Protocol, sim.Path(), l.BaudRate, l.Parity)
		}
		for _, device := range sortedKeys(t.config.Devices) {
			if dev := t.config.Devices[device]; dev.Line == name {
				fmt.Fprintf(w, "  device %s: %s\n", device, strings.Join(sortedKeys(dev.Driver.TagOptions()), ", "))
			}
		}
	}
	fmt.Fprintln(w, "playing; Ctrl-C ends it")
}

// run plays until ctx ends.
func (t *stage) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, sim := range t.simulators {
		work.Go(func() error { return sim.Run(ctx) })
	}
	return work.Wait()
}
