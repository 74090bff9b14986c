package gateway

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// AlarmState is what a tag's alarm is. The numbers are on disk.
type AlarmState uint8

// The states of an alarm.
const (
	NoAlarm       AlarmState = 0 // the reading is not about an alarm
	AlarmClear    AlarmState = 1
	AlarmLowLow   AlarmState = 2
	AlarmLow      AlarmState = 3
	AlarmHigh     AlarmState = 4
	AlarmHighHigh AlarmState = 5
	AlarmRate     AlarmState = 6 // the value changes too fast
)

var alarmNames = [...]string{"", "clear", "low_low", "low", "high", "high_high", "rate"}

// String returns the state's word.
func (s AlarmState) String() string {
	if int(s) < len(alarmNames) {
		return alarmNames[s]
	}
	return "alarm " + strconv.Itoa(int(s))
}

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

// alarm is the alarm of one tag.
//
//	unknown ─first value─► clear ◄─► low_low, low, high, high_high, rate
type alarm struct {
	options AlarmOptions
	levels  []level // the most severe first
	rate    float64 // per millisecond; 0 for none

	state AlarmState // NoAlarm before the first value
	next  AlarmState // what it becomes if it stays so
	since Stamp      // since when it has been so
	last  Value      // the last good value
	at    Stamp      // and its time
}

// level is one limit: reached at the limit, and left beyond back.
type level struct {
	state       AlarmState
	above       bool
	limit, back limit
}

func newAlarm(o AlarmOptions) *alarm {
	a := &alarm{options: o}
	for _, l := range []struct {
		at    *Decimal
		state AlarmState
		above bool
	}{{o.HighHigh, AlarmHighHigh, true}, {o.LowLow, AlarmLowLow, false}, {o.High, AlarmHigh, true}, {o.Low, AlarmLow, false}} {
		if l.at != nil {
			a.levels = append(a.levels, newLevel(l.state, *l.at, o.Hysteresis, l.above))
		}
	}
	if o.Rate != nil {
		a.rate = o.Rate.By.Float64() / float64(o.Rate.Per.Milliseconds())
	}
	return a
}

func newLevel(state AlarmState, at, hysteresis Decimal, above bool) level {
	if above {
		hysteresis.neg = !hysteresis.neg && !hysteresis.IsZero()
	}
	back, _ := Number(at).Scaled(One, hysteresis).decimal()
	return level{state: state, above: above, limit: newLimit(at), back: newLimit(back)}
}

// holds reports whether v is beyond the level; in says that it was before.
func (l level) holds(v Value, in bool) bool {
	c := l.limit.cmp(v)
	if !l.above {
		c = -c
	}
	if c >= 0 || !in {
		return c >= 0
	}
	if c = l.back.cmp(v); !l.above {
		c = -c
	}
	return c > 0 // where it is equal, the value has come back far enough
}

// take takes the next reading and reports whether the state has changed.
func (a *alarm) take(r *Reading) bool {
	if r.Quality == Bad || r.Reason == Maintenance {
		a.next, a.last = NoAlarm, Value{} // nothing is known of the time between
		return false
	}
	now := a.judge(r)
	a.last, a.at = r.Value, r.Stamp
	if now == a.state {
		a.next = NoAlarm
		return false
	}
	if now != a.next || r.Stamp.Boot != a.since.Boot {
		a.next, a.since = now, r.Stamp
	}
	if a.state != NoAlarm && r.Stamp.At-a.since.At < a.options.Delay.Milliseconds() {
		return false
	}
	a.state, a.next = now, NoAlarm
	return true
}

// judge says what the state is by this reading alone, delay aside.
func (a *alarm) judge(r *Reading) AlarmState {
	for _, l := range a.levels {
		if l.holds(r.Value, a.beyond(l)) {
			return l.state
		}
	}
	if a.rate > 0 && !a.last.IsNone() && a.at.Boot == r.Stamp.Boot && r.Stamp.At > a.at.At {
		moved := math.Abs(r.Value.Float64() - a.last.Float64())
		if moved >= a.rate*float64(r.Stamp.At-a.at.At)*(1-1e-9) {
			return AlarmRate
		}
	}
	return AlarmClear
}

// beyond reports whether the state, or what it is about to become, is at or
// beyond the level, so that hysteresis counts: high_high is beyond high.
func (a *alarm) beyond(l level) bool {
	for _, s := range [...]AlarmState{a.state, a.next} {
		switch {
		case s == l.state, l.state == AlarmHigh && s == AlarmHighHigh, l.state == AlarmLow && s == AlarmLowLow:
			return true
		}
	}
	return false
}

// limitOf returns the limit that a state is about, and false where it has none.
func (a *alarm) limitOf(s AlarmState) (Decimal, bool) {
	for _, l := range a.levels {
		if l.state == s {
			return l.limit.exact, true
		}
	}
	return Decimal{}, false
}
