package buffer

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// Options says where readings are kept, for how long, and what a power cut may cost.
type Options struct {
	Directory      string        `toml:"directory"`
	CommitInterval time.Duration `toml:"commit_interval"` // readings younger than this may be lost with the power
	MaxSize        gateway.Size  `toml:"max_size"`
	KeepDelivered  time.Duration `toml:"keep_delivered"` // while there is room

	// For tests and simulations.
	Fast  time.Duration          `toml:"-"` // a commit interval below what Validate allows
	Fault func(flash.Step) error `toml:"-"` // breaks the disk, see flash.Options
	Now   func() gateway.Stamp   `toml:"-"` // what history is aged by; the running boot if nil
}

// Below this an alarm and a long message would not fit beside each other.
const minMaxSize = 8 << 20

// Defaults returns the options of a configuration without a [buffer] table.
func Defaults() Options {
	return Options{
		Directory:      "/var/lib/gaugeway",
		CommitInterval: 5 * time.Second,
		MaxSize:        256e6,
		KeepDelivered:  7 * 24 * time.Hour,
	}
}

// Defaults fills the fields that must not be zero. A KeepDelivered of 0 stands: it
// keeps nothing for longer than it takes to deliver.
func (o *Options) Defaults() {
	d := Defaults()
	if o.Directory == "" {
		o.Directory = d.Directory
	}
	if o.CommitInterval == 0 {
		o.CommitInterval = d.CommitInterval
	}
	if o.MaxSize == 0 {
		o.MaxSize = d.MaxSize
	}
}

// Validate names everything that is wrong.
func (o Options) Validate() gateway.Faults {
	var f gateway.Faults
	if o.Directory == "" {
		f.Add("directory", "is empty; name the directory that readings are kept in, like %q", Defaults().Directory)
	}
	if o.CommitInterval < time.Second || o.CommitInterval > time.Minute {
		f.Add("commit_interval", "%v must lie between 1s and 60s; longer wears the flash less, and a power cut costs more", o.CommitInterval)
	}
	if o.MaxSize < minMaxSize {
		f.Add("max_size", "%v is too small for a buffer; give it 8MiB or more", o.MaxSize)
	}
	if o.KeepDelivered < 0 {
		f.Add("keep_delivered", "%v must not be negative; \"0s\" keeps nothing longer than needed", o.KeepDelivered)
	}
	return f
}

func (o Options) interval() time.Duration {
	if o.Fast > 0 {
		return o.Fast
	}
	return o.CommitInterval
}
