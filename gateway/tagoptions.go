package gateway

import (
	"fmt"
	"strings"
	"time"
)

// TagOptions are the keys of a tag that mean the same in every protocol. Zero
// values mean the defaults.
type TagOptions struct {
	Unit       string    `toml:"unit"`
	Scale      *Decimal  `toml:"scale"` // nil means 1
	Offset     Decimal   `toml:"offset"`
	BadValues  []any     `toml:"bad_values"`  // as they stand in the instrument, before scale and offset
	ValidRange []Decimal `toml:"valid_range"` // after scale and offset

	Class       string        `toml:"class"` // normal ("") | bulk
	Label       string        `toml:"label"`
	Description string        `toml:"description"`
	Interval    time.Duration `toml:"interval"` // 0 means the device's
	Enabled     *bool         `toml:"enabled"`  // nil means true

	Writable bool     `toml:"writable"` // whether a person or a command may set it
	Min      *Decimal `toml:"min"`      // the least and the most that may be written; both are required then
	Max      *Decimal `toml:"max"`

	ReportOptions
	AlarmOptions
}

// The intervals that make sense.
const (
	MinInterval = 10 * time.Millisecond
	MaxInterval = 24 * time.Hour
)

// IsEnabled reports whether the tag is read at all.
func (o TagOptions) IsEnabled() bool { return o.Enabled == nil || *o.Enabled }

// ScaleOrOne returns the scale.
func (o TagOptions) ScaleOrOne() Decimal {
	if o.Scale == nil {
		return One
	}
	return *o.Scale
}

// ClassOf returns the class of the tag's readings.
func (o TagOptions) ClassOf() Class {
	if o.Class == Bulk.String() {
		return Bulk
	}
	return Normal
}

// Validate names everything that is wrong with the tag alone.
func (o TagOptions) Validate() Faults {
	var f Faults
	if o.Interval != 0 {
		CheckInterval(&f, o.Interval)
	}
	if o.Scale != nil && o.Scale.IsZero() {
		f.Add("scale", "0 would make every value the same; write scale = 1 for none")
	}
	switch o.Class {
	case "", Normal.String(), Bulk.String():
	case Alarm.String():
		f.Add("class", "a tag is normal or bulk; its readings become alarms by alarm_high and its fellows")
	default:
		f.Add("class", "%q is not a class; use normal or bulk", o.Class)
	}
	if n := len(o.ValidRange); n != 0 && n != 2 {
		f.Add("valid_range", "has %d numbers; write the lowest and the highest, e.g. [0, 250]", n)
	} else if n == 2 && o.ValidRange[0].Cmp(o.ValidRange[1]) > 0 {
		f.Add("valid_range", "begins with the higher number; write [%s, %s]", o.ValidRange[1], o.ValidRange[0])
	}
	switch {
	case o.Writable && (o.Min == nil || o.Max == nil):
		f.Add("writable", "needs min and max, the least and the most that may ever be written")
	case !o.Writable && (o.Min != nil || o.Max != nil):
		f.Add("writable", "is missing; min and max are for writable = true")
	case o.Writable && o.Min.Cmp(*o.Max) > 0:
		f.Add("min", "%s is above max, which is %s", o.Min, o.Max)
	}
	f = append(f, o.ReportOptions.Validate()...)
	return append(f, o.AlarmOptions.Validate()...)
}

// ValidateText names what a tag whose values are no numbers cannot have. kind is what it is.
func (o TagOptions) ValidateText(kind string) Faults {
	var f Faults
	if o.ScaleOrOne() != One || !o.Offset.IsZero() {
		f.Add("scale", "a %s cannot be scaled; remove scale and offset", kind)
	}
	if len(o.ValidRange) > 0 {
		f.Add("valid_range", "a %s has no range; remove valid_range", kind)
	}
	if o.Deadband != nil && !o.Deadband.IsZero() {
		f.Add("deadband", "a %s has no size; use deadband = 0, which reports each change", kind)
	}
	return f
}

// CheckInterval names what is wrong with the interval of a device or tag.
func CheckInterval(f *Faults, d time.Duration) {
	if d < MinInterval || d > MaxInterval {
		f.Add("interval", "%s is not sensible; use %s to %s", d, MinInterval, MaxInterval)
	}
}

// Unknown says that a word is none of those there are, and which was meant.
// what has its article: "a type".
func Unknown(word, what string, words []string) string {
	if near := Nearest(word, words); near != "" {
		return fmt.Sprintf("%q is not %s; did you mean %q?", word, what, near)
	}
	return fmt.Sprintf("%q is not %s; use %s", word, what, strings.Join(words, ", "))
}

// Nearest returns the word that was probably meant, or "".
func Nearest(word string, words []string) string {
	best, found := min(len(word)/2+2, 4), ""
	for _, w := range words {
		if d := slips(strings.ToLower(word), strings.ToLower(w)); d < best && d < len(w) {
			best, found = d, w
		}
	}
	return found
}

// slips counts insertions, deletions, replacements and swaps of neighbours that
// lead from a to b (optimal string alignment).
func slips(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
