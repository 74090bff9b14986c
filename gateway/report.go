package gateway

import "time"

// ReportOptions say which readings of a tag go up to the servers. On site every
// reading is shown. Without any of them every reading goes up.
type ReportOptions struct {
	Deadband    *Decimal      `toml:"deadband"`     // a value goes up when it is this far from the last that did; 0: when it differs
	MinInterval time.Duration `toml:"min_interval"` // and not sooner than this after the last; a changed quality does not wait
	MaxInterval time.Duration `toml:"max_interval"` // but at least this often
}

// Validate names everything that is wrong.
func (o ReportOptions) Validate() Faults {
	var f Faults
	if o.Deadband != nil && o.Deadband.Cmp(Decimal{}) < 0 {
		f.Add("deadband", "%s is negative; write how far a value must move to be reported", o.Deadband)
	}
	if o.MinInterval > 0 && o.MaxInterval > 0 && o.MinInterval > o.MaxInterval {
		f.Add("min_interval", "%s is longer than max_interval, which is %s", o.MinInterval, o.MaxInterval)
	}
	return f
}
