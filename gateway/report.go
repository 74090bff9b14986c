package gateway

import (
	"math"
	"sync"
	"time"
)

// ReportOptions say which readings of a tag go up to the servers. On site every
// reading is shown. Without any of them every reading goes up.
type ReportOptions struct {
	Deadband    *Decimal      `toml:"deadband"`     // a value goes up when it is this far from the last that did; 0: when it differs
	MinInterval time.Duration `toml:"min_interval"` // and not sooner than this after the last; a changed quality does not wait
	MaxInterval time.Duration `toml:"max_interval"` // but at least this often
}

// Any reports whether anything is kept back at all.
func (o ReportOptions) Any() bool { return o.Deadband != nil || o.MinInterval > 0 || o.MaxInterval > 0 }

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

// AlarmChange is one transition of an alarm.
type AlarmChange struct {
	Reading  Reading // of class alarm
	Limit    Decimal // that was crossed
	HasLimit bool
}

// Report is the Sink before the store: it keeps back what report by exception
// does not want, and adds a reading of class alarm for every transition of an
// alarm. It is safe for concurrent use as long as the readings of one tag come
// from one goroutine at a time.
type Report struct {
	store   Sink
	changed func(AlarmChange)
	rules   map[*Tag]*rule // not changed after NewReport
	scratch sync.Pool      // of *[]Reading
}

var _ Sink = (*Report)(nil)

// NewReport returns the Report of these tags; readings of others go through.
// changed, which may be nil, is told of every transition and must not block.
func NewReport(store Sink, tags map[*Tag]TagOptions, changed func(AlarmChange)) *Report {
	p := &Report{store: store, changed: changed, rules: make(map[*Tag]*rule)}
	p.scratch.New = func() any { return new([]Reading) }
	for tag, o := range tags {
		if o.ReportOptions.Any() || o.AlarmOptions.Any() {
			p.rules[tag] = newRule(o)
		}
	}
	return p
}

// Append hands on what goes up.
func (p *Report) Append(rs []Reading, done func(error)) {
	if !p.concerns(rs) {
		p.store.Append(rs, done)
		return
	}
	out := p.scratch.Get().(*[]Reading)
	*out = (*out)[:0]
	for i := range rs {
		rule := p.rules[rs[i].Tag]
		if rule == nil || rule.report.wants(&rs[i]) {
			*out = append(*out, rs[i])
		}
		if rule != nil && rule.alarm != nil && rule.alarm.take(&rs[i]) {
			*out = append(*out, p.transition(rule.alarm, rs[i]))
		}
	}
	if len(*out) > 0 || done != nil {
		p.store.Append(*out, done)
	}
	clear(*out)
	p.scratch.Put(out)
}

func (p *Report) concerns(rs []Reading) bool {
	for i := range rs {
		if p.rules[rs[i].Tag] != nil {
			return true
		}
	}
	return false
}

func (p *Report) transition(a *alarm, r Reading) Reading {
	r.Class, r.Alarm = Alarm, a.state
	if p.changed != nil {
		limit, has := a.limitOf(a.state)
		p.changed(AlarmChange{Reading: r, Limit: limit, HasLimit: has})
	}
	return r
}

// rule is what one tag's readings are judged by.
type rule struct {
	report filter
	alarm  *alarm // nil for none
}

func newRule(o TagOptions) *rule {
	r := &rule{report: filter{options: o.ReportOptions}}
	if o.Deadband != nil {
		r.report.deadband = o.Deadband.Float64()
	}
	if o.AlarmOptions.Any() {
		r.alarm = newAlarm(o.AlarmOptions)
	}
	return r
}

// filter is report by exception of one tag.
type filter struct {
	options  ReportOptions
	deadband float64
	sent     bool
	last     Reading // the last that went up
}

// wants reports whether r goes up, and then remembers it as the last that did.
func (f *filter) wants(r *Reading) bool {
	if f.sent && f.options.Any() && !f.due(r) {
		return false
	}
	f.sent, f.last = true, *r
	return true
}

func (f *filter) due(r *Reading) bool {
	age := time.Duration(r.Stamp.At-f.last.Stamp.At) * time.Millisecond
	switch {
	case r.Quality != f.last.Quality, r.Reason != f.last.Reason, r.Stamp.Boot != f.last.Stamp.Boot:
		return true
	case f.options.MaxInterval > 0 && age >= f.options.MaxInterval:
		return true
	case age < f.options.MinInterval:
		return false
	case f.options.Deadband == nil && f.options.MaxInterval == 0: // min_interval alone
		return true
	default:
		return f.moved(r.Value)
	}
}

// moved reports whether the value is a deadband away from the last that went
// up; what is no number, or has no deadband, moves with every change.
func (f *filter) moved(v Value) bool {
	if f.deadband == 0 || v.Kind() == KindText || v.Kind() == KindNone {
		return v != f.last.Value
	}
	// The tolerance lets a step of exactly the deadband count, as decimals do and
	// floats may not.
	return !(math.Abs(v.Float64()-f.last.Value.Float64()) < f.deadband*(1-1e-9))
}
