package gateway

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kept is a Sink that keeps what it is given.
type kept struct {
	mu   sync.Mutex
	got  []Reading
	done int
}

func (k *kept) Append(rs []Reading, done func(error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, rs...)
	if done != nil {
		k.done++
		done(nil)
	}
}

func mustDecimal(t *testing.T, s string) Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func some(t *testing.T, s string) *Decimal {
	d := mustDecimal(t, s)
	return &d
}

// play feeds values to a tag with these options and tells what went up. A step
// is "12.5@3s": a value and its time; "-" a failed read, "~7" an uncertain value.
func play(t *testing.T, o TagOptions, steps string) string {
	t.Helper()
	boot, tag, store := NewBoot("b"), &Tag{Device: "d", Name: "t"}, &kept{}
	var told []string
	p := NewReport(store, map[*Tag]TagOptions{tag: o}, func(c AlarmChange) {
		told = append(told, c.Reading.Alarm.String())
	})
	var out []string
	for step := range strings.FieldsSeq(steps) {
		value, when, _ := strings.Cut(step, "@")
		at, err := time.ParseDuration(when)
		if err != nil {
			t.Fatal(err)
		}
		r := Reading{Tag: tag, Stamp: Stamp{boot, at.Milliseconds()}, Class: Normal}
		text, uncertain := strings.CutPrefix(value, "~")
		switch {
		case value == "-":
			r.Fail(Timeout)
		case text == "true" || text == "false":
			r.Value = Bool(text == "true")
		default:
			r.Value = Number(mustDecimal(t, text))
		}
		if uncertain {
			r.Quality, r.Reason = Uncertain, Maintenance
		}
		before := len(store.got)
		p.Append([]Reading{r}, nil)
		for _, up := range store.got[before:] {
			word := strings.TrimSuffix(value+":"+up.Alarm.String(), ":")
			if up.Class == Alarm != (up.Alarm != NoAlarm) || up.Stamp != r.Stamp || up.Value != r.Value {
				t.Errorf("%s: %+v went up", step, up)
			}
			out = append(out, word)
		}
	}
	var alarms []string
	for _, up := range store.got {
		if up.Alarm != NoAlarm {
			alarms = append(alarms, up.Alarm.String())
		}
	}
	if fmt.Sprint(alarms) != fmt.Sprint(told) {
		t.Errorf("alarms %v went up, and %v were told", alarms, told)
	}
	return strings.Join(out, " ")
}

func TestReportByException(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     ReportOptions
		steps string
		want  string
	}{
		{"nothing asked for", ReportOptions{}, "1@1s 1@2s 1@3s", "1 1 1"},
		{"deadband from the last that went up", ReportOptions{Deadband: some(t, "0.5")}, "1@1s 1.3@2s 1.4@3s 1.5@4s 1.9@5s 2.0@6s", "1 1.5 2.0"},
		{"a step of exactly the deadband", ReportOptions{Deadband: some(t, "0.1")}, "12.3@1s 12.4@2s 12.5@3s", "12.3 12.4 12.5"},
		{"a slow drift is not lost", ReportOptions{Deadband: some(t, "1")}, "0@1s 0.4@2s 0.8@3s 1.2@4s 1.6@5s 2.0@6s 2.4@7s", "0 1.2 2.4"},
		{"deadband 0 is change", ReportOptions{Deadband: some(t, "0")}, "1@1s 1@2s 2@3s 2@4s 1@5s", "1 2 1"},
		{"at least each max_interval", ReportOptions{Deadband: some(t, "1"), MaxInterval: 3 * time.Second}, "1@1s 1@2s 1@3s 1@4s 1@5s", "1 1"},
		{"max_interval alone is change too", ReportOptions{MaxInterval: time.Hour}, "1@1s 1@2s 2@3s", "1 2"},
		{"not sooner than min_interval", ReportOptions{Deadband: some(t, "0"), MinInterval: 3 * time.Second}, "1@1s 2@2s 3@3s 4@4s 5@5s", "1 4"},
		{"min_interval alone thins", ReportOptions{MinInterval: 2 * time.Second}, "1@1s 1@2s 1@3s 1@4s 1@5s", "1 1 1"},
		{"a changed quality does not wait", ReportOptions{Deadband: some(t, "9"), MinInterval: time.Hour}, "1@1s -@2s -@3s 1@4s ~1@5s", "1 - 1 ~1"},
		{"bools by change", ReportOptions{Deadband: some(t, "0")}, "true@1s true@2s false@3s", "true false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, TagOptions{ReportOptions: c.o}, c.steps); got != c.want {
				t.Errorf("%s went up, want %s", got, c.want)
			}
		})
	}
}

func TestAlarms(t *testing.T) {
	quiet := ReportOptions{Deadband: some(t, "1000000")} // so that only alarms are seen, and the first
	levels := AlarmOptions{HighHigh: some(t, "100"), High: some(t, "90"), Low: some(t, "10"), LowLow: some(t, "5")}
	hysteresis := levels
	hysteresis.Hysteresis = mustDecimal(t, "2")
	delayed := AlarmOptions{High: some(t, "90"), Delay: 3 * time.Second}
	rate := AlarmOptions{Rate: &Rate{By: mustDecimal(t, "5"), Per: time.Minute}}
	for _, c := range []struct {
		name  string
		o     AlarmOptions
		steps string
		want  string
	}{
		{"the first value tells the state", levels, "50@1s 50@2s", "50 50:clear"},
		{"up and back", levels, "50@1s 90@2s 95@3s 100@4s 99@5s 89.9@6s", "50 50:clear 90:high 100:high_high 99:high 89.9:clear"},
		{"down and back", levels, "50@1s 10@2s 5@3s 6@4s 10.1@5s", "50 50:clear 10:low 5:low_low 6:low 10.1:clear"},
		{"from one end to the other", levels, "50@1s 120@2s 1@3s", "50 50:clear 120:high_high 1:low_low"},
		{"hysteresis", hysteresis, "50@1s 90@2s 89@3s 88.1@4s 88@5s 89@6s", "50 50:clear 90:high 88:clear"},
		{"hysteresis between levels", hysteresis, "50@1s 101@2s 99@3s 98@4s 89@5s 87@6s", "50 50:clear 101:high_high 98:high 87:clear"},
		{"hysteresis below", hysteresis, "50@1s 10@2s 11.9@3s 12@4s 5@5s 6.9@6s 7@7s", "50 50:clear 10:low 12:clear 5:low_low 7:low"},
		{"a spike is shorter than the delay", delayed, "50@0s 95@1s 50@2s 95@3s 95@5s 95@6s", "50 50:clear 95:high"},
		{"and so is a dip", delayed, "95@0s 50@1s 95@2s 50@3s 50@5900ms 50@6s", "95 95:high 50:clear"},
		{"a failed read decides nothing", levels, "50@1s 95@2s -@3s 95@4s 50@5s", "50 50:clear 95:high - 95 50:clear"},
		{"a failed read interrupts a delay", delayed, "50@0s 95@1s -@2s 95@3s 95@5s 95@6s", "50 50:clear - 95 95:high"},
		{"maintenance is silent", levels, "50@1s ~95@2s ~99@3s 95@4s", "50 50:clear ~95 95 95:high"},
		{"rate of change", rate, "50@0s 50.4@6s 50.9@12s 51.3@18s 50@24s", "50 50:clear 50.9:rate 51.3:clear 50:rate"},
		{"no rate over a failed read", rate, "50@0s -@6s 90@12s", "50 50:clear - 90"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := play(t, TagOptions{ReportOptions: quiet, AlarmOptions: c.o}, c.steps); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// TestAlarmLimitsAreWhatIsPrinted has the float32 nearest to a limit, which lies
// below it as a binary number, in alarm: people see 96.1.
func TestAlarmLimitsAreWhatIsPrinted(t *testing.T) {
	a := newAlarm(AlarmOptions{High: some(t, "96.1")})
	r := Reading{Tag: &Tag{}, Stamp: Stamp{NewBoot("b"), 1}, Value: Float32(96.1)}
	if !a.take(&r) || a.state != AlarmHigh {
		t.Errorf("96.1 as float32 is %v at a limit of 96.1", a.state)
	}
	r.Value = Bool(true)
	b := newAlarm(AlarmOptions{High: some(t, "1")})
	if !b.take(&r) || b.state != AlarmHigh {
		t.Errorf("true is %v at a limit of 1", b.state)
	}
}

// TestAlarmsNeverMissALevel compares random walks with the plain definition.
func TestAlarmsNeverMissALevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	a := newAlarm(AlarmOptions{HighHigh: some(t, "100"), High: some(t, "90"), Low: some(t, "10"), LowLow: some(t, "5")})
	boot := NewBoot("b")
	for i := range 10_000 {
		n := int64(rng.IntN(1100))
		a.take(&Reading{Stamp: Stamp{boot, int64(i)}, Value: Number(NewDecimal(n, -1))})
		want := AlarmClear
		switch {
		case n >= 1000:
			want = AlarmHighHigh
		case n >= 900:
			want = AlarmHigh
		case n <= 50:
			want = AlarmLowLow
		case n <= 100:
			want = AlarmLow
		}
		if a.state != want {
			t.Fatalf("%d tenths are %v, want %v", n, a.state, want)
		}
	}
}

func TestReportLetsOthersThrough(t *testing.T) {
	store, ruled, free := &kept{}, &Tag{Name: "ruled"}, &Tag{Name: "free"}
	p := NewReport(store, map[*Tag]TagOptions{ruled: {ReportOptions: ReportOptions{Deadband: some(t, "1")}}}, nil)
	boot, done := NewBoot("b"), 0
	for i := range 3 {
		at := Stamp{boot, int64(i)}
		p.Append([]Reading{{Tag: ruled, Stamp: at, Value: Int(5)}, {Tag: free, Stamp: at, Value: Int(5)}}, func(error) { done++ })
	}
	p.Append([]Reading{{Tag: ruled, Stamp: Stamp{boot, 9}, Value: Int(5)}}, func(error) { done++ })
	p.Append([]Reading{{Tag: Foreign, Value: Message("a", nil)}}, nil)
	if len(store.got) != 5 || done != 4 {
		t.Errorf("%d went up, %d were answered: %+v", len(store.got), done, store.got)
	}
}

func TestReportDoesNotAllocate(t *testing.T) {
	tag := &Tag{Name: "t"}
	p := NewReport(discard{}, map[*Tag]TagOptions{tag: {
		ReportOptions: ReportOptions{Deadband: some(t, "1")}, AlarmOptions: AlarmOptions{High: some(t, "90")},
	}}, nil)
	rs := []Reading{{Tag: tag, Stamp: Stamp{NewBoot("b"), 0}, Value: Number(NewDecimal(123, -1))}}
	if n := testing.AllocsPerRun(1000, func() { rs[0].Stamp.At++; p.Append(rs, nil) }); n > 0 {
		t.Errorf("%v allocations a reading", n)
	}
}

type discard struct{}

func (discard) Append([]Reading, func(error)) {}

func TestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := &kept{}
		h := NewHolds(next)
		rs := []Reading{
			{Tag: &Tag{Device: "a"}, Value: Int(1)}, {Tag: &Tag{Device: "a"}, Quality: Bad, Reason: Timeout}, {Tag: &Tag{Device: "b"}, Value: Int(1)},
		}
		look := func() string {
			next.got = nil
			h.Append(rs, nil)
			var words []string
			for _, r := range next.got {
				words = append(words, strings.TrimSpace(r.Quality.String()+" "+r.Reason.String()))
			}
			return strings.Join(words, ", ")
		}
		const free, held = "good, bad timeout, good", "uncertain maintenance, bad timeout, good"
		if got := look(); got != free {
			t.Errorf("before: %s", got)
		}
		h.Hold("a", time.Now().Add(time.Hour))
		if got := look(); got != held || len(h.Held()) != 1 || rs[0].Quality != Good {
			t.Errorf("held: %s, %v", got, h.Held())
		}
		time.Sleep(time.Hour)
		if got := look(); got != free || len(h.Held()) != 0 {
			t.Errorf("after an hour: %s, %v", got, h.Held())
		}
		h.Hold("a", time.Now().Add(time.Hour))
		h.Hold("a", time.Now())
		if got := look(); got != free {
			t.Errorf("let go of: %s", got)
		}
	})
}

func TestConversionBack(t *testing.T) {
	for _, c := range []struct{ scale, offset, value, want string }{
		{"0.1", "0", "12.3", "123"}, {"0.1", "-40", "0", "400"}, {"2", "1", "2", "0.5"}, {"1", "0", "7", "7"}, {"3", "0", "1", "not exact"},
	} {
		conversion := NewConversion(TagOptions{Scale: some(t, c.scale), Offset: mustDecimal(t, c.offset)})
		raw, ok := conversion.Raw(mustDecimal(t, c.value))
		got := raw.String()
		if !ok {
			got = "not exact"
		}
		if got != c.want {
			t.Errorf("%s of scale %s and offset %s is raw %s, want %s", c.value, c.scale, c.offset, got, c.want)
		}
	}
}

func TestTagOptionsFaults(t *testing.T) {
	for want, o := range map[string]TagOptions{
		"scale: 0 would":                             {Scale: some(t, "0")},
		"writable: needs min and max":                {Writable: true},
		"writable: is missing":                       {Min: some(t, "1")},
		"min: 5 is above max":                        {Writable: true, Min: some(t, "5"), Max: some(t, "1")},
		"deadband: -1 is negative":                   {ReportOptions: ReportOptions{Deadband: some(t, "-1")}},
		"min_interval: 2s is longer":                 {ReportOptions: ReportOptions{MinInterval: 2 * time.Second, MaxInterval: time.Second}},
		"alarm_low: 9 is not below alarm_high":       {AlarmOptions: AlarmOptions{Low: some(t, "9"), High: some(t, "9")}},
		"alarm_high: 9 is not below alarm_high_high": {AlarmOptions: AlarmOptions{HighHigh: some(t, "8"), High: some(t, "9")}},
		": alarm_hysteresis and alarm_delay need":    {AlarmOptions: AlarmOptions{Delay: 1}},
		"alarm_hysteresis: -1 is negative":           {AlarmOptions: AlarmOptions{High: some(t, "9"), Hysteresis: mustDecimal(t, "-1")}},
	} {
		f := o.Validate()
		if len(f) != 1 || !strings.HasPrefix(f[0].Key+": "+f[0].Text, want) {
			t.Errorf("%+v, want %s", f, want)
		}
	}
	if f := (TagOptions{Writable: true, Min: some(t, "0"), Max: some(t, "5"), AlarmOptions: AlarmOptions{High: some(t, "9"), Delay: 1}}).Validate(); len(f) != 0 {
		t.Error(f)
	}
	var r Rate
	for text, good := range map[string]bool{"5/min": true, "0.1 / s": true, "20/h": true, "5": false, "5/d": false, "x/min": false, "-5/min": false, "0/min": false} {
		if err := r.UnmarshalText([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
