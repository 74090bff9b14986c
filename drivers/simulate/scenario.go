package simulate

import (
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Scenario is the table [simulate]: how the instruments of a configuration are
// played. What it does not name is played with defaults.
type Scenario struct {
	Seed    uint64                    `toml:"seed"` // of everything that goes wrong
	History string                    `toml:"history"`
	Speed   float64                   `toml:"speed"` // of the history; 0 means 1
	Lines   map[string]LineScenario   `toml:"line"`
	Devices map[string]DeviceScenario `toml:"device"`
}

// LineScenario is the table [simulate.line.x]. The shares are of the answers,
// from 0 to 1.
type LineScenario struct {
	Path    string `toml:"path"`    // a symbolic link to keep at the pseudo-terminal
	Address string `toml:"address"` // listen here, for a line over a network
	Paced   *bool  `toml:"paced"`   // answers take as long as on the wire; nil means true

	Late           float64       `toml:"late"`
	LateBy         time.Duration `toml:"late_by"`
	Duplicate      float64       `toml:"duplicate"`
	DuplicateAfter time.Duration `toml:"duplicate_after"`
	Lost           float64       `toml:"lost"`
	Flip           float64       `toml:"flip"`
	Noise          float64       `toml:"noise"`
	NUL            float64       `toml:"nul"`
	Extra          float64       `toml:"extra"`
	WrongUnit      float64       `toml:"wrong_unit"`
	Exception      float64       `toml:"exception"`
	Split          float64       `toml:"split"`
	Echo           bool          `toml:"echo"`

	UnplugEvery time.Duration `toml:"unplug_every"`
	UnplugFor   time.Duration `toml:"unplug_for"`
}

// DeviceScenario is the table [simulate.device.x].
type DeviceScenario struct {
	Silent bool                   `toml:"silent"`
	Think  time.Duration          `toml:"think"` // before it answers
	Tags   map[string]TagScenario `toml:"tag"`
}

// TagScenario is the table [simulate.device.x.tag.y]. One of the signals is
// given, or none for a wave within valid_range. Values are those of the tag,
// after scale and offset.
type TagScenario struct {
	Value     *float64      `toml:"value"` // constant
	Mean      float64       `toml:"mean"`  // of a wave
	Amplitude float64       `toml:"amplitude"`
	Period    time.Duration `toml:"period"`
	Count     time.Duration `toml:"count"`   // grows by one each so often
	History   string        `toml:"history"` // the tag of the history; "" means the tag's own name, where the history has it
}

// Validate names everything that is wrong.
func (s Scenario) Validate() gateway.Faults {
	var f gateway.Faults
	if s.Speed < 0 {
		f.Add("speed", "%v is negative; write how many times as fast the history is played", s.Speed)
	}
	for name, l := range s.Lines {
		f.Under("line."+name, l.Validate())
	}
	for name, d := range s.Devices {
		for tag, t := range d.Tags {
			f.Under("device."+name+".tag."+tag, t.Validate())
		}
	}
	return f
}

// shares are the faults that have one, by key.
func (l LineScenario) shares() map[string]float64 {
	return map[string]float64{
		"late": l.Late, "duplicate": l.Duplicate, "lost": l.Lost, "flip": l.Flip, "noise": l.Noise, "nul": l.NUL,
		"extra": l.Extra, "wrong_unit": l.WrongUnit, "exception": l.Exception, "split": l.Split,
	}
}

// Validate names everything that is wrong.
func (l LineScenario) Validate() gateway.Faults {
	var f gateway.Faults
	for key, share := range l.shares() {
		if !(share >= 0 && share <= 1) {
			f.Add(key, "%v is not a share of the answers; use 0 to 1", share)
		}
	}
	if l.Late > 0 && l.LateBy <= 0 {
		f.Add("late_by", "is missing; write how late, e.g. late_by = \"700ms\"")
	}
	if (l.UnplugEvery > 0) != (l.UnplugFor > 0) {
		f.Add("unplug_every", "needs unplug_for, and the other way round")
	}
	return f
}

// Validate names everything that is wrong.
func (t TagScenario) Validate() gateway.Faults {
	var f gateway.Faults
	if t.Amplitude != 0 && t.Period <= 0 {
		f.Add("period", "is missing; write how long a wave is, e.g. period = \"60s\"")
	}
	signals := 0
	for _, given := range []bool{t.Value != nil, t.Period > 0, t.Count > 0, t.History != ""} {
		if given {
			signals++
		}
	}
	if signals > 1 {
		f.Add("", "has more than one signal; give value, or mean, amplitude and period, or count, or history")
	}
	return f
}

// Fault returns what goes wrong on the line.
func (l LineScenario) Fault(seed uint64) Fault {
	return Fault{
		Seed: seed, Late: l.Late, LateBy: l.LateBy, Duplicate: l.Duplicate, DuplicateAfter: l.DuplicateAfter,
		Lost: l.Lost, Flip: l.Flip, Noise: l.Noise, NUL: l.NUL, Extra: l.Extra, WrongUnit: l.WrongUnit,
		Exception: l.Exception, Split: l.Split, Echo: l.Echo,
	}
}
