package gateway

import (
	"fmt"
	"strconv"
)

// Tag is one value of a device as it was configured when its readings were
// made. Tags are immutable and told apart by content: a changed unit or scale
// makes another tag, and readings of the old one keep their meaning. The
// Readings of one tag share one *Tag.
type Tag struct {
	Device string
	Name   string
	Type   string // as configured: "float32"; "" for a message of another client
	Unit   string
	Scale  Decimal // already applied to the values; part of the tag's identity
	Offset Decimal
}

// String returns "device/tag".
func (t *Tag) String() string { return t.Device + "/" + t.Name }

// Foreign is the tag of every message that another client on the site published.
var Foreign = &Tag{}

// Quality says how far a value can be trusted. The numbers are on disk.
type Quality uint8

// The qualities.
const (
	Good      Quality = 0
	Uncertain Quality = 1
	Bad       Quality = 2
)

// String returns the quality's word.
func (q Quality) String() string {
	switch q {
	case Good:
		return "good"
	case Uncertain:
		return "uncertain"
	default:
		return "bad"
	}
}

// Reason says why a quality is not good. The numbers are on disk; the list is
// closed, so that receivers can decide on it.
type Reason uint8

// The reasons.
const (
	NoReason    Reason = 0
	Timeout     Reason = 1  // no answer in time
	CRC         Reason = 2  // an answer with a wrong checksum
	Exception   Reason = 3  // the instrument answered that it cannot
	LineDown    Reason = 4  // the port or connection could not be used
	DeviceFault Reason = 5  // the instrument says of itself that it is faulty, or what it sent makes no sense
	Sentinel    Reason = 6  // one of bad_values
	NaN         Reason = 7  // not a number, or infinite
	Range       Reason = 8  // outside valid_range
	WrongUnit   Reason = 9  // the instrument shows another unit than configured
	Starting    Reason = 10 // nothing read yet
	Maintenance Reason = 11 // held by a person
	ClockReason Reason = 12 // the time is not to be trusted
)

var reasonNames = [...]string{"", "timeout", "crc", "exception", "line", "device", "sentinel", "nan", "range", "unit", "starting", "maintenance", "clock"}

// String returns the reason's word.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "reason " + strconv.Itoa(int(r))
}

// Class says who goes first and who is dropped last. The numbers are on disk.
type Class uint8

// The classes, most urgent first.
const (
	Alarm  Class = 0
	Normal Class = 1
	Bulk   Class = 2

	Classes = 3 // how many there are
)

var classNames = [Classes]string{"alarm", "normal", "bulk"}

// String returns the class's word.
func (c Class) String() string {
	if c < Classes {
		return classNames[c]
	}
	return "class " + strconv.Itoa(int(c))
}

// ParseClass reads a class's word.
func ParseClass(s string) (Class, error) {
	for i, name := range classNames {
		if s == name {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("%q is not a class; use alarm, normal or bulk", s)
}

// Reading is one value of one tag at one instant. A message from another client
// on the site is a Reading too: its Tag is Foreign and its Value the message.
type Reading struct {
	Tag     *Tag
	Stamp   Stamp
	Value   Value
	Quality Quality
	Reason  Reason
	Class   Class
	Alarm   AlarmState // of a reading of class alarm: what the tag's alarm became with it
}

// Epoch names one life of a buffer; it is random, so no two are ever the same.
type Epoch uint64

// String returns the epoch as 16 hexadecimal digits, as it is sent.
func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// ParseEpoch reads what String writes.
func ParseEpoch(s string) (Epoch, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		return 0, fmt.Errorf("%q is not an epoch (16 hexadecimal digits)", s)
	}
	return Epoch(n), nil
}

// Seq counts the readings of one class in one epoch, from 1, without holes.
// (Epoch, Class, Seq) is a reading's identity for ever.
type Seq uint64

// Gap is a range of readings that were given up and will never come.
type Gap struct {
	Class    Class
	From, To Seq // both included
	Count    int // how many readings: To-From+1 unless some were delivered
	First    Stamp
	Last     Stamp
	Reason   string // for people: "buffer full"
}

// Batch is readings of one epoch and one class that are sent as one message.
// They have consecutive seqs from First; gaps adjoin them, so that a batch
// covers one range without holes.
type Batch struct {
	Epoch    Epoch
	Class    Class
	First    Seq // of Readings[0]
	Readings []Reading
	Gaps     []Gap
}

// Range returns the first and the last seq that the batch covers.
func (b Batch) Range() (from, to Seq) {
	if len(b.Readings) > 0 {
		from, to = b.First, b.First+Seq(len(b.Readings))-1
	}
	for i, g := range b.Gaps {
		if len(b.Readings) == 0 && i == 0 {
			from, to = g.From, g.To
		}
		from, to = min(from, g.From), max(to, g.To)
	}
	return from, to
}
