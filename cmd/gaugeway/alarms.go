package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gaugeway/gaugeway/gateway"
)

// alarms publishes every transition of an alarm on site, and remembers what is
// in alarm. Its methods are safe for concurrent use.
type alarms struct {
	site    string
	topic   string // template of a tag's topic
	publish func(topic string, payload []byte)

	mu     sync.Mutex
	active map[string]activeAlarm // by "device/tag"
}

type activeAlarm struct{ device, tag, state string }

// alarmPayload is what stands on {site}/{device}/{tag}/_alarm.
type alarmPayload struct {
	State string          `json:"state"`
	Since string          `json:"since"`
	Value json.RawMessage `json:"value"`
	Limit json.RawMessage `json:"limit,omitempty"`
	Unit  string          `json:"unit,omitempty"`
}

// changed tells of a transition.
func (a *alarms) changed(c gateway.AlarmChange) {
	r := c.Reading
	wall, _ := r.Stamp.Wall()
	p := alarmPayload{State: r.Alarm.String(), Since: string(gateway.AppendTime(nil, wall)), Value: r.Value.AppendJSON(nil), Unit: r.Tag.Unit}
	if c.HasLimit {
		p.Limit = json.RawMessage(c.Limit.String())
	}
	a.note(r)
	text, err := json.Marshal(p)
	if err != nil {
		return // there is nothing in it that could fail
	}
	topic := strings.NewReplacer("{site}", a.site, "{device}", r.Tag.Device, "{tag}", r.Tag.Name).Replace(a.topic)
	a.publish(topic+"/_alarm", text)
}

func (a *alarms) note(r gateway.Reading) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active == nil {
		a.active = make(map[string]activeAlarm)
	}
	if r.Alarm == gateway.AlarmClear {
		delete(a.active, r.Tag.String())
		return
	}
	a.active[r.Tag.String()] = activeAlarm{r.Tag.Device, r.Tag.Name, r.Alarm.String()}
}

// list returns what is in alarm, by device and tag.
func (a *alarms) list() []activeAlarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []activeAlarm
	for _, name := range slices.Sorted(maps.Keys(a.active)) {
		all = append(all, a.active[name])
	}
	return all
}
