// Package config turns the TOML files of an installation into one checked
// Config, or into the list of everything that is wrong with them.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/broker"
	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/uplink"
)

// Config is a whole installation. It is not changed after Load returned it.
type Config struct {
	Site    string                    `toml:"site"`
	Writes  string                    `toml:"writes"`
	Clock   string                    `toml:"clock"`
	Lines   map[string]Line           `toml:"-"` // by name; bound by protocol
	Devices map[string]Device         `toml:"-"`
	Broker  broker.Options            `toml:"broker"`
	Buffer  buffer.Options            `toml:"buffer"`
	Uplinks map[string]uplink.Options `toml:"uplink"`
	Control Control                   `toml:"control"`

	Profiles ProfileDirectory  `toml:"profiles"`
	Simulate simulate.Scenario `toml:"simulate"` // for gaugeway simulate; a gateway does not look at it

	Hash string // of what was read, to tell configurations apart
}

// ProfileDirectory says where a site keeps profiles of its own.
type ProfileDirectory struct {
	Directory string `toml:"directory"`
}

// Control is the socket on which a running gateway is asked.
type Control struct {
	Socket string `toml:"socket"`
}

// DefaultFile is read when no file is named.
const DefaultFile = "/etc/gaugeway/gaugeway.toml"

// DefaultSocket is the control socket of a gateway that the system runs, and
// for an ordinary user the one in the user's own run-time directory.
func DefaultSocket() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "gaugeway", "control.sock")
	}
	return "/run/gaugeway/control.sock"
}

// Load reads and checks the files. The faults may be warnings only; when any is
// more (Faults.Fatal), the Config must not be used. Nothing is opened but the files.
func Load(files ...string) (*Config, Faults) { return load(read(files)) }

// Parse checks a configuration that stands in no file; name is what faults call it.
func Parse(name, text string) (*Config, Faults) {
	d := newDocument(&source{file: name, text: text})
	d.addText(name, text)
	return load(d)
}

func load(d *document) (*Config, Faults) {
	c := &Config{
		Writes: "never", Clock: "auto", Control: Control{Socket: DefaultSocket()},
		Profiles: ProfileDirectory{drivers.DefaultProfileDirectory},
	}
	c.Broker, c.Buffer = broker.Defaults(), buffer.Defaults()
	if len(d.faults) > 0 {
		return c, d.faults.sorted() // what could not be read would make false faults below
	}
	rest := maps.Clone(d.values)
	delete(rest, "line")
	delete(rest, "device")
	d.bind(nil, rest, reflect.ValueOf(c).Elem())
	c.bindLines(d)
	c.complete()
	c.validate(d)
	c.Hash = hash(d.values)
	return c, d.faults.sorted()
}

func hash(values map[string]any) string {
	text, err := json.Marshal(values) // maps in the order of their keys
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// complete fills in what depends on another key.
func (c *Config) complete() {
	for name, u := range c.Uplinks {
		if u.ClientID == "" {
			u.ClientID = "gaugeway-" + c.Site
			c.Uplinks[name] = u
		}
	}
}

func (c *Config) validate(d *document) {
	if c.Site == "" {
		d.fault([]string{"site"}, false, `is missing; write the name of this installation, like site = "pad-7"`)
	} else if err := gateway.ValidName(c.Site); err != nil {
		d.fault([]string{"site"}, false, "%v", err)
	}
	if c.Writes != "never" && c.Writes != "allowed" {
		d.fault([]string{"writes"}, false, `%q is neither "never" nor "allowed"`, c.Writes)
	}
	if c.Clock != "auto" && c.Clock != "trusted" {
		d.fault([]string{"clock"}, false, `%q is neither "auto" nor "trusted"`, c.Clock)
	}
	c.validateLines(d)
	c.validateUplinks(d)
	d.under([]string{"broker"}, c.Broker.Validate())
	d.under([]string{"buffer"}, c.Buffer.Validate())
	d.under([]string{"simulate"}, c.Simulate.Validate())
	if c.Control.Socket == "" || len(c.Control.Socket) > 100 {
		d.fault([]string{"control", "socket"}, false, "must be a path of 1 to 100 characters")
	}
}

// under adds the faults that a package found in its own options.
func (d *document) under(path []string, faults gateway.Faults) {
	for _, f := range faults {
		here := slices.Clip(path)
		if f.Key != "" {
			here = append(here, strings.Split(f.Key, ".")...)
		}
		if !d.faulty(here) {
			d.fault(here, false, "%s", f.Text)
		}
	}
}

// faulty reports whether the value at path was refused already: that it is then
// missing is no second fault.
func (d *document) faulty(path []string) bool {
	key := strings.Join(path, ".")
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return !f.Warning && f.Key == key })
}

func (c *Config) validateUplinks(d *document) {
	claimed := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.Uplinks)) {
		u, path := c.Uplinks[name], []string{"uplink", name}
		d.under(path, u.Validate())
		for _, f := range u.CheckFiles() {
			d.fault(append(path, f.Key), true, "%s", f.Text)
		}
		for _, server := range u.Servers {
			id := server + "\x00" + u.ClientID
			if other, taken := claimed[id]; taken {
				d.fault(append(path, "client_id"), false, "%q is used by uplink %s on %s too; the server would cut one off for the other", u.ClientID, other, server)
			}
			claimed[id] = name
		}
		if u.Interval < c.Buffer.CommitInterval {
			d.fault(append(path, "batch_interval"), true, "%v is shorter than buffer.commit_interval (%v), which readings wait for", u.Interval, c.Buffer.CommitInterval)
		}
	}
}

// Forward returns the topics that any uplink forwards.
func (c *Config) Forward() []string {
	var filters []string
	for _, u := range c.Uplinks {
		filters = append(filters, u.Forward...)
	}
	slices.Sort(filters)
	return slices.Compact(filters)
}
