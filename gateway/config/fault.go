package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration, and where.
type Fault struct {
	File    string
	Line    int    // 0 where no line can be named
	Key     string // "device.pump3.tag.pressure.type"; "" for the whole file
	Text    string
	Warning bool // the configuration can be used all the same
}

// String is the fault as a person reads it: "plant.toml:12: device.pump3.slave_id: …".
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Warning {
		b.WriteString("warning: ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Faults are all that is wrong with a configuration, in the order of the files.
type Faults []Fault

// Error lists the faults, one to a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Fatal reports whether any fault is more than a warning.
func (f Faults) Fatal() bool {
	return slices.ContainsFunc(f, func(one Fault) bool { return !one.Warning })
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return f
}
