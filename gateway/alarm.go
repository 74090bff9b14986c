package gateway

import (
	"fmt"
	"strings"
	"time"
)

// AlarmOptions say when a tag is in alarm. A value at the limit is in alarm.
type AlarmOptions struct {
	HighHigh   *Decimal      `toml:"alarm_high_high"`
	High       *Decimal      `toml:"alarm_high"`
	Low        *Decimal      `toml:"alarm_low"`
	LowLow     *Decimal      `toml:"alarm_low_low"`
	Rate       *Rate         `toml:"alarm_rate"`       // rate of change, up or down
	Hysteresis Decimal       `toml:"alarm_hysteresis"` // how far a value must come back for the alarm to clear
	Delay      time.Duration `toml:"alarm_delay"`      // how long a value must stay beyond a limit, or back, to count
}

// Any reports whether the tag can be in alarm at all.
func (o AlarmOptions) Any() bool {
	return o.HighHigh != nil || o.High != nil || o.Low != nil || o.LowLow != nil || o.Rate != nil
}

// Validate names everything that is wrong.
func (o AlarmOptions) Validate() Faults {
	var f Faults
	if o.Hysteresis.Cmp(Decimal{}) < 0 {
		f.Add("alarm_hysteresis", "%s is negative; write how far a value must come back", o.Hysteresis)
	}
	if !o.Any() && (!o.Hysteresis.IsZero() || o.Delay != 0) {
		f.Add("", "alarm_hysteresis and alarm_delay need a limit, such as alarm_high")
	}
	limits := []struct {
		key   string
		limit *Decimal
	}{{"alarm_low_low", o.LowLow}, {"alarm_low", o.Low}, {"alarm_high", o.High}, {"alarm_high_high", o.HighHigh}}
	for i, upper := range limits {
		for _, lower := range limits[:i] {
			if upper.limit != nil && lower.limit != nil && lower.limit.Cmp(*upper.limit) >= 0 {
				f.Add(lower.key, "%s is not below %s, which is %s", lower.limit, upper.key, upper.limit)
			}
		}
	}
	return f
}

// Rate is a rate of change, written "5/min".
type Rate struct {
	By  Decimal
	Per time.Duration
}

var ratePeriods = map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour}

// UnmarshalText reads "5/min"; /s and /h are possible as well.
func (r *Rate) UnmarshalText(text []byte) error {
	number, period, _ := strings.Cut(string(text), "/")
	by, err := ParseDecimal(strings.TrimSpace(number))
	per, ok := ratePeriods[strings.TrimSpace(period)]
	if err != nil || !ok || by.Cmp(Decimal{}) <= 0 {
		return fmt.Errorf(`%q is not a rate of change; write it like "5/min", "0.1/s" or "20/h"`, text)
	}
	*r = Rate{By: by, Per: per}
	return nil
}
