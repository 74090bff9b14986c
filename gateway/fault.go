package gateway

import "fmt"

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Key  string // the path below the table that was validated: "tag.pressure.type"; "" for the table itself
	Text string // what is wrong and what to write instead
}

// Faults collects everything that is wrong, so that a person can mend it at once.
// The zero value is ready to use.
type Faults []Fault

// Add notes that the value at key is wrong.
func (f *Faults) Add(key, format string, args ...any) {
	*f = append(*f, Fault{Key: key, Text: fmt.Sprintf(format, args...)})
}

// Under adds the faults of a table that lies below key.
func (f *Faults) Under(key string, below Faults) {
	for _, b := range below {
		path := key
		if b.Key != "" {
			path += "." + b.Key
		}
		*f = append(*f, Fault{Key: path, Text: b.Text})
	}
}
