package text

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options make a Driver: one line and the devices on it.
type Options struct {
	Line string // its name
	LineOptions
	Devices map[string]DeviceOptions // by name
	Writes  bool                     // whether anything may ever be written
	Asked   bool                     // whether nothing is read but what Read is asked for

	Now func() gateway.Stamp // when a reply came; required
	Log *slog.Logger         // nil for none
}

// LineOptions are of the table [line.x]. Zero values mean the defaults.
type LineOptions struct {
	ResponseTimeout time.Duration `toml:"response_timeout"` // how long an instrument may think; 0 means 500ms
	Retries         *int          `toml:"retries"`          // how often a request without a good reply is sent again; nil means 1
}

// Address is what an instrument is set to: a text, since "01" is not "1" to all
// of them, or a number.
type Address string

// UnmarshalText takes a text as it is.
func (a *Address) UnmarshalText(text []byte) error {
	*a = Address(text)
	return nil
}

// SetNumber takes a number as it is written.
func (a *Address) SetNumber(n int64) { *a = Address(strconv.FormatInt(n, 10)) }

// DeviceOptions are of the table [device.x]. Zero values mean the defaults.
type DeviceOptions struct {
	Address  Address       `toml:"address"` // as the instrument is set to; {address} in what is sent
	Interval time.Duration `toml:"interval"`
	Mode     string        `toml:"mode"` // poll ("") | listen: it talks by itself | stream: it does once init was sent

	ResponseTimeout time.Duration `toml:"response_timeout"` // 0 means the line's
	Retries         *int          `toml:"retries"`          // nil means the line's
	Gap             time.Duration `toml:"gap"`              // silence before each request, at least
	CharacterDelay  time.Duration `toml:"character_delay"`  // between the characters that are sent
	StaleAfter      time.Duration `toml:"stale_after"`      // how long a listener waits for a frame; 0 means its interval
	Mask7           bool          `toml:"mask7"`            // the eighth bit of what comes is noise or parity
	Skip            string        `toml:"skip"`             // bytes that are passed over wherever they come: '\x00\x11\x13'

	Frame    FrameOptions    `toml:"frame"`    // of replies whose poll has none of its own
	Checksum ChecksumOptions `toml:"checksum"` // in what is sent and what comes
	Error    string          `toml:"error"`    // pattern of a reply that refuses
	Null     []string        `toml:"null"`     // texts that mean "no value", of every tag

	Stop  *StepOptions           `toml:"stop"` // sent after opening, so that an instrument which talks by itself is quiet
	Wake  *StepOptions           `toml:"wake"` // sent before each poll
	Init  map[string]StepOptions `toml:"init"` // sent in the order of their names, after opening and after a timeout
	Polls map[string]PollOptions `toml:"poll"`
	Tags  map[string]TagOptions  `toml:"tag"`
}

// PollOptions are of the table [device.x.poll.y]: what is sent each interval,
// what comes back, and how it is taken apart. A listener's has nothing to send.
type PollOptions struct {
	StepOptions
	Interval time.Duration          `toml:"interval"` // 0 means the device's
	Steps    map[string]StepOptions `toml:"step"`     // in the order of their names, instead of a send of its own

	Split   *SplitOptions   `toml:"split"`
	Columns *ColumnsOptions `toml:"columns"`
	Pairs   *PairsOptions   `toml:"pairs"`
	Groups  *GroupsOptions  `toml:"groups"`
}

// StepOptions are one command and its reply.
type StepOptions struct {
	Break      time.Duration      `toml:"break"` // the line is held down for so long first
	Send       string             `toml:"send"`
	NoReply    bool               `toml:"no_reply"` // nothing comes back
	Frame      *FrameOptions      `toml:"frame"`    // nil means the device's
	Checksum   *ChecksumOptions   `toml:"checksum"` // nil means the device's
	Begins     string             `toml:"begins"`   // with which a reply begins, or it is not ours
	Match      string             `toml:"match"`    // pattern of the whole reply; its named groups are the fields
	Error      string             `toml:"error"`    // "" means the device's
	ErrorFrame *ErrorFrameOptions `toml:"error_frame"`
	Wait       string             `toml:"wait"`  // the field that says how many seconds to wait before the next step
	Until      string             `toml:"until"` // pattern of a frame that ends the wait
	Pause      time.Duration      `toml:"pause"` // silence after the reply

	ResponseTimeout time.Duration `toml:"response_timeout"` // 0 means the device's
}

// FrameOptions say where a reply begins and ends.
type FrameOptions struct {
	Start   string        `toml:"start"`
	End     any           `toml:"end"`     // one terminator, or a list of which any will do
	Length  int           `toml:"length"`  // in bytes, of replies that always have as many
	Idle    time.Duration `toml:"idle"`    // of replies that end with silence
	Trailer int           `toml:"trailer"` // bytes after the end: a checksum
	Max     int           `toml:"max"`     // in bytes; 0 means 256
}

// ErrorFrameOptions describe a shorter binary reply that refuses: its byte at a
// place has one of the bits of a mask.
type ErrorFrameOptions struct {
	Length int `toml:"length"`
	At     int `toml:"at"`
	Mask   int `toml:"mask"`
}

// ChecksumOptions say how frames are protected.
type ChecksumOptions struct {
	Kind  string `toml:"kind"`  // "" means none
	After string `toml:"after"` // the marker that comes before it: '*'
	Over  string `toml:"over"`  // between ("") | from_start | to_end | all
	Case  string `toml:"case"`  // upper ("") | lower, of hexadecimal digits that are sent; either is taken
	TX    *bool  `toml:"tx"`    // whether {checksum} stands for anything; nil means true
	RX    *bool  `toml:"rx"`    // whether replies have one; nil means true
}

// SplitOptions part a reply at a separator; a tag names its part by index.
type SplitOptions struct {
	Field     string `toml:"field"` // "" means the whole reply
	Separator string `toml:"separator"`
}

// ColumnsOptions part a reply into pieces of one width; a tag names its column.
type ColumnsOptions struct {
	Field string `toml:"field"`
	Skip  int    `toml:"skip"` // bytes before the first
	Width int    `toml:"width"`
}

// PairsOptions part a reply into key=value; a tag names its key.
type PairsOptions struct {
	Field     string `toml:"field"`
	Separator string `toml:"separator"`
	Equals    string `toml:"equals"` // "" means '='
}

// GroupsOptions part a reply into groups of some parts each, as in NMEA 0183
// XDR; a tag names its key, which is some parts of its group.
type GroupsOptions struct {
	Field     string `toml:"field"`
	Separator string `toml:"separator"`
	Size      int    `toml:"size"`  // parts of a group
	Key       []int  `toml:"key"`   // which of them are the key, joined by ","
	Value     int    `toml:"value"` // and which the value
	Unit      *int   `toml:"unit"`  // and which the unit
}

// TagOptions are of the table [device.x.tag.y]. One of Field, Column, Index, Key
// and At says where the value stands.
type TagOptions struct {
	Poll string `toml:"poll"` // "" means the device's only one

	Field  string `toml:"field"`
	Column *int   `toml:"column"`
	Index  *int   `toml:"index"`
	Key    string `toml:"key"`
	At     *int   `toml:"at"` // in bytes from the beginning of the frame

	Type      string `toml:"type"`       // number ("") | string | those of Modbus: binary with at, hexadecimal digits otherwise
	ByteOrder string `toml:"byte_order"` // "" means the big end first
	Length    int    `toml:"length"`     // of a string at a place, in bytes

	Decimals     int  `toml:"decimals"`      // implied: 01234 with 2 is 12.34
	DecimalComma bool `toml:"decimal_comma"` // 12,34 is 12.34

	UnitField string   `toml:"unit_field"` // the field that holds the instrument's unit
	UnitIndex *int     `toml:"unit_index"` // or the part
	UnitIs    []string `toml:"unit_is"`    // what stands there when all is well; empty means unit itself

	StatusField     string   `toml:"status_field"`
	StatusIndex     *int     `toml:"status_index"`
	StatusAt        *int     `toml:"status_at"`   // a byte, as a decimal number
	StatusMask      int      `toml:"status_mask"` // the bits of it that count; 0 means all
	StatusGood      []string `toml:"status_good"` // what stands there when all is well
	StatusUncertain []string `toml:"status_uncertain"`

	Write      string `toml:"write"`       // the command that sets it, with {value}
	WriteMatch string `toml:"write_match"` // pattern of the reply to it; "" means that none comes

	gateway.TagOptions
}

// The modes of a device.
const (
	modePoll   = "poll"
	modeListen = "listen"
	modeStream = "stream"
)

const (
	defaultResponseTimeout = 500 * time.Millisecond
	defaultRetries         = 1
	defaultMaxFrame        = 256

	maxResponseTimeout = time.Minute
	maxRetries         = 10
	maxFrame           = 4096
	maxPause           = time.Minute
)

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

// listens reports whether the instrument talks by itself.
func (o DeviceOptions) listens() bool { return o.Mode == modeListen || o.Mode == modeStream }

// pollOf returns the name of the poll that a tag is read with.
func (o DeviceOptions) pollOf(t TagOptions) string {
	if t.Poll == "" && len(o.Polls) == 1 {
		for name := range o.Polls {
			return name
		}
	}
	return t.Poll
}

// intervalOf returns how often a tag is read; 0 where nothing says so.
func (o DeviceOptions) intervalOf(t TagOptions) time.Duration {
	for _, d := range []time.Duration{t.Interval, o.Polls[o.pollOf(t)].Interval, o.Interval} {
		if d != 0 {
			return d
		}
	}
	return 0
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
