package gateway

import "time"

// LineStatus is what a driver knows of its line.
type LineStatus struct {
	Line   string
	Open   bool
	Since  Stamp  // when Open became what it is
	Reason string // why it is not open

	Requests         uint64
	Replies          uint64 // refusals included
	Timeouts         uint64
	CRCErrors        uint64 // answers with a wrong checksum
	Exceptions       uint64 // answers that refuse
	LateFrames       uint64 // answers that came when nobody waited for them any more
	UnsolicitedBytes uint64 // bytes that were no part of an awaited answer
	Echoes           uint64 // requests that the adapter sent back

	UART UARTErrors // since the port was opened
	Busy float64    // share of the last minute or so in which the line was in use, 0 to 1

	Devices []DeviceStatus // by name
}

// UARTErrors are what the serial hardware itself counted (TIOCGICOUNT of
// tty_ioctl(4)). Known is false where the hardware does not tell.
type UARTErrors struct {
	Known    bool
	Framing  uint64 // stop bits that were none: wrong baud rate, or noise
	Parity   uint64
	Overruns uint64 // bytes lost as the kernel came too late
	Breaks   uint64
}

// UARTCounter is a Line whose hardware counts errors. UART is safe for
// concurrent use with everything.
type UARTCounter interface{ UART() UARTErrors }

// DeviceStatus is what a driver knows of one device.
type DeviceStatus struct {
	Device    string
	Unit      string // its address on the line, as configured
	Online    bool
	Since     Stamp  // when Online became what it is
	Cause     Reason // why it is not online, of the closed list
	Reason    string // the same for people
	Refused   string // what it refused last
	LastReply Stamp  // its Boot is nil before the first
	Missed    uint64 // intervals that passed without a try to read
}

// Frame is bytes that passed on a line. Bytes is valid only during the call that
// hands it over.
type Frame struct {
	At    time.Time
	Sent  bool // by us
	Bytes []byte
	Text  string // what they mean, for people
}

// Answer is one read that a person asked for.
type Answer struct {
	Reading Reading
	Request []byte // as it went on the wire; nil where nothing was sent
	Reply   []byte // and as it came; nil where nothing did
	Took    time.Duration
}

// LinePlan is what a line has to carry, worked out without opening it.
type LinePlan struct {
	Line     string
	Requests []PlannedRequest // by device, interval and place
	Use      float64          // share of the time that the line is in use; above 1 it cannot be done
}

// PlannedRequest is one request that is sent each interval.
type PlannedRequest struct {
	Device   string
	Interval time.Duration
	Text     string // for people: "holding 100 to 119"
	Tags     int    // how many tags its answer holds
	Wire     time.Duration
	Cycle    time.Duration // with the silence around the frames and the instrument's time to think
}
