package modbus

import (
	"log/slog"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options make a Driver: one line and the devices on it.
type Options struct {
	Line     string // its name
	Protocol string // one of Protocols
	LineOptions
	Devices map[string]DeviceOptions // by name
	Writes  bool                     // whether Driver.Write may write at all
	Asked   bool                     // whether nothing is read but what Driver.Read asks for

	Now func() gateway.Stamp // when a reply came; required
	Log *slog.Logger         // nil for none
}

// LineOptions are of the table [line.x]. Zero values mean the defaults.
type LineOptions struct {
	ResponseTimeout time.Duration `toml:"response_timeout"` // how long an instrument may think; 0 means 500ms
	Retries         *int          `toml:"retries"`          // how often a request without a good reply is sent again; nil means 1

	Echo            string        `toml:"echo"`              // whether the adapter sends requests back: auto (""), on or off
	InterRequestGap time.Duration `toml:"inter_request_gap"` // silence before a request; at least 3.5 characters on a wire
	ConnectDelay    time.Duration `toml:"connect_delay"`     // before the first request on a new connection
	AnyUnitReply    bool          `toml:"any_unit_reply"`    // replies may come from unit 0 or 255, as some gateways have it
}

// DeviceOptions are of the table [device.x]. Zero values mean the defaults.
type DeviceOptions struct {
	SlaveID       *int          `toml:"slave_id"`
	UnitID        *int          `toml:"unit_id"` // the same as SlaveID
	Interval      time.Duration `toml:"interval"`
	Addressing    string        `toml:"addressing"`     // "zero-based" (""), or "modicon" for 40001-style numbers
	AddressOffset int           `toml:"address_offset"` // added to every address: -1 where the sheet counts from 1
	RegisterSize  int           `toml:"register_size"`  // 32 where values of 4 bytes have one address each (Enron, Daniel); 0 means 16
	ByteOrder     string        `toml:"byte_order"`     // of its 32-bit and 64-bit tags that name none; "" means ABCD
	MaxRegisters  int           `toml:"max_registers"`  // in one request; 0 means 125
	MaxGap        *int          `toml:"max_gap"`        // unneeded registers that are read rather than asking twice; nil means 8
	NoMerge       bool          `toml:"no_merge"`       // every tag has a request of its own
	Holes         [][2]int      `toml:"holes"`          // first and last of 0-based addresses that no request may read in passing

	// WriteFunction is "auto" (""): one register by function 6, several by 16, a coil
	// by 5; "multiple": 16 and 15 always, for instruments that know no others;
	// "single": never these.
	WriteFunction string `toml:"write_function"`

	Tags map[string]TagOptions `toml:"tag"`
}

// TagOptions are of the table [device.x.tag.y]. Zero values mean the defaults.
type TagOptions struct {
	Register  string `toml:"register"` // holding ("") | input | coil | discrete
	Address   any    `toml:"address"`  // a number; with addressing = "modicon" also a string
	Type      string `toml:"type"`     // "" means bool for a coil or a discrete input; otherwise it is required
	ByteOrder string `toml:"byte_order"`
	Length    int    `toml:"length"` // of a string, in registers
	Bit       *int   `toml:"bit"`    // of a bool in a register
	Bits      []int  `toml:"bits"`   // lowest and highest bit of a number that shares its registers; empty means all

	gateway.TagOptions
}

const (
	defaultResponseTimeout = 500 * time.Millisecond
	defaultRetries         = 1
	defaultMaxRegisters    = 125

	// A register costs 2 characters, another request 20 and the slave's time to
	// think, so reading 8 that nobody needs is cheaper at every baud rate.
	defaultMaxGap = 8

	maxResponseTimeout = time.Minute
	maxRetries         = 10
)

func (o Options) engine() engineOptions {
	p, _ := protocolOf(o.Protocol)
	e := engineOptions{echo: o.Echo, gap: o.InterRequestGap, anyUnit: o.AnyUnitReply, network: p.network}
	if e.echo == "" {
		e.echo = echoAuto
	}
	return e
}

func (o LineOptions) responseTimeout() time.Duration {
	if o.ResponseTimeout == 0 {
		return defaultResponseTimeout
	}
	return o.ResponseTimeout
}

func (o LineOptions) retries() int {
	if o.Retries == nil {
		return defaultRetries
	}
	return *o.Retries
}

// Unit returns the number that the instrument is set to.
func (o DeviceOptions) Unit() byte {
	if o.SlaveID != nil {
		return byte(*o.SlaveID)
	}
	if o.UnitID != nil {
		return byte(*o.UnitID)
	}
	return 0
}

func (o DeviceOptions) maxRegisters() int {
	if o.MaxRegisters == 0 {
		return defaultMaxRegisters
	}
	return o.MaxRegisters
}

func (o DeviceOptions) maxGap() int {
	if o.MaxGap == nil {
		return defaultMaxGap
	}
	return *o.MaxGap
}

// TagOptions returns the common options of the tags that are read, by name.
func (o DeviceOptions) TagOptions() map[string]gateway.TagOptions {
	tags := make(map[string]gateway.TagOptions)
	for name, t := range o.Tags {
		if t.IsEnabled() {
			tags[name] = t.TagOptions
		}
	}
	return tags
}
