// Package status tells what a gateway knows of itself. There is one Snapshot,
// and everything that shows the gateway shows that.
package status

import "time"

// Snapshot is the gateway at one moment.
type Snapshot struct {
	Site    string            `json:"site"`
	Version string            `json:"version"`
	Time    time.Time         `json:"time"`
	Uptime  float64           `json:"uptime_s"`
	Clock   string            `json:"clock"` // synced, corrected or estimated
	Lines   map[string]Line   `json:"lines"`
	Devices map[string]Device `json:"devices"`
	Uplinks map[string]Uplink `json:"uplinks"`
	Buffer  Buffer            `json:"buffer"`
	Broker  Broker            `json:"broker"`
}

// Line is a physical wire or a TCP endpoint.
type Line struct {
	State       string    `json:"state"` // open or closed
	Since       time.Time `json:"since"`
	Error       string    `json:"error,omitempty"` // why it is closed
	Requests    uint64    `json:"requests"`
	Replies     uint64    `json:"replies"`
	Timeouts    uint64    `json:"timeouts"`
	CRCErrors   uint64    `json:"crc_errors"`
	Exceptions  uint64    `json:"exceptions"`
	LateFrames  uint64    `json:"late_frames"`
	Unsolicited uint64    `json:"unsolicited_bytes"`
	Use         float64   `json:"use"`            // share of the time that the line was busy, 0 to 1
	UART        *UART     `json:"uart,omitempty"` // what the serial hardware counted itself; nil where it does not tell
}

// UART is what serial hardware counts.
type UART struct {
	Framing  uint64 `json:"framing"`
	Parity   uint64 `json:"parity"`
	Overruns uint64 `json:"overruns"`
	Breaks   uint64 `json:"breaks"`
}

// Device is one instrument.
type Device struct {
	State   string    `json:"state"` // online or offline
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason,omitempty"`  // why it is offline, of the closed list
	Detail  string    `json:"detail,omitempty"`  // the same for people
	Refused string    `json:"refused,omitempty"` // what it answered last instead of values
	Line    string    `json:"line"`
	Missed  uint64    `json:"missed_intervals"`
	Held    time.Time `json:"held_until,omitzero"` // under maintenance until then
	Alarms  []string  `json:"alarms,omitempty"`    // "pressure high", of tags that are in alarm
}

// Uplink is one remote destination.
type Uplink struct {
	State     string    `json:"state"` // connected or down
	Since     time.Time `json:"since"`
	Server    string    `json:"server,omitempty"`
	Error     string    `json:"error,omitempty"`
	Backlog   int64     `json:"backlog"` // readings that it has not acknowledged
	Readings  uint64    `json:"readings"`
	BytesUp   uint64    `json:"bytes_up"`
	BytesDown uint64    `json:"bytes_down"`
}

// Buffer is the store on flash.
type Buffer struct {
	Epoch    string            `json:"epoch"`
	Memory   bool              `json:"memory,omitempty"` // true when the disk cannot be used
	Bytes    int64             `json:"bytes"`
	MaxBytes int64             `json:"max_bytes"`
	Waiting  int               `json:"waiting"`           // readings that are not committed yet
	Trouble  string            `json:"trouble,omitempty"` // why the disk is not, or not fully, usable
	Commits  uint64            `json:"commits"`
	Seqs     map[string]uint64 `json:"committed_seq"` // by class
	GivenUp  uint64            `json:"given_up"`      // readings that became gaps
}

// Broker is the on-box MQTT broker.
type Broker struct {
	Clients  int    `json:"clients"`
	Sessions int    `json:"sessions"`
	Retained int    `json:"retained"`
	Queued   int    `json:"queued"`
	In       uint64 `json:"messages_in"`
	Out      uint64 `json:"messages_out"`
	Dropped  uint64 `json:"messages_dropped"` // as a session was full, or its client too slow
	Refused  uint64 `json:"messages_refused"` // not allowed to publish there
}
