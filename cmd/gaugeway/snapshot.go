package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/status"
)

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// snapshot gathers what the rooms know of themselves.
func (g *instance) snapshot() status.Snapshot {
	now := time.Now()
	_, clock := g.boot.Now().Wall()
	s := status.Snapshot{
		Site: g.config.Site, Version: version, Time: now.UTC(), Uptime: now.Sub(g.started).Seconds(), Clock: clock.String(),
		Lines: make(map[string]status.Line), Devices: make(map[string]status.Device), Uplinks: make(map[string]status.Uplink),
	}
	for name, d := range g.drivers {
		addLine(&s, name, d.Status())
	}
	g.addMaintenance(&s)
	b := g.store.Stats()
	s.Buffer = bufferStatus(b)
	for name, u := range g.uplinks {
		st := u.Status()
		state := "down"
		if st.Connected {
			state = "connected"
		}
		s.Uplinks[name] = status.Uplink{
			State: state, Since: st.Since.UTC(), Server: st.Server, Error: st.Error, Backlog: b.Uplinks[name].Backlog,
			Readings: st.Readings, BytesUp: st.BytesUp, BytesDown: st.BytesDown,
		}
	}
	br := g.broker.Stats()
	s.Broker = status.Broker{
		Clients: br.Connected, Sessions: br.Sessions, Retained: br.Retained, Queued: br.Queued,
		In: br.MessagesIn, Out: br.MessagesOut, Dropped: br.DroppedFull + br.DroppedSlow, Refused: br.Refused,
	}
	return s
}

func bufferStatus(b buffer.Stats) status.Buffer {
	s := status.Buffer{
		Epoch: b.Epoch.String(), Memory: b.File.InMemory, Bytes: b.File.Used, MaxBytes: b.File.MaxSize,
		Commits: b.File.Commits, Seqs: make(map[string]uint64), Waiting: b.Waiting, Trouble: b.File.Trouble,
	}
	for class, c := range b.Classes {
		if c.Committed > 0 {
			s.Seqs[gateway.Class(class).String()] = uint64(c.Committed)
		}
		s.GivenUp += c.Dropped
	}
	return s
}

func addLine(s *status.Snapshot, name string, l gateway.LineStatus) {
	state := "closed"
	if l.Open {
		state = "open"
	}
	s.Lines[name] = status.Line{
		State: state, Since: wallTime(l.Since), Error: l.Reason, Requests: l.Requests, Replies: l.Replies, Timeouts: l.Timeouts,
		CRCErrors: l.CRCErrors, Exceptions: l.Exceptions, LateFrames: l.LateFrames, Unsolicited: l.UnsolicitedBytes, Use: l.Busy, UART: uart(l.UART),
	}
	for _, d := range l.Devices {
		state := "offline"
		if d.Online {
			state = "online"
		}
		s.Devices[d.Device] = status.Device{State: state, Since: wallTime(d.Since), Reason: d.Cause.String(), Detail: d.Reason, Refused: d.Refused, Line: name, Missed: d.Missed}
	}
}

func uart(e gateway.UARTErrors) *status.UART {
	if !e.Known {
		return nil
	}
	return &status.UART{Framing: e.Framing, Parity: e.Parity, Overruns: e.Overruns, Breaks: e.Breaks}
}

// addMaintenance adds which devices are held, and what is in alarm.
func (g *instance) addMaintenance(s *status.Snapshot) {
	for name, until := range g.holds.Held() {
		d := s.Devices[name]
		d.Held = until.UTC()
		s.Devices[name] = d
	}
	for _, a := range g.alarms.list() {
		d := s.Devices[a.device]
		d.Alarms = append(d.Alarms, a.tag+" "+a.state)
		s.Devices[a.device] = d
	}
}

func wallTime(s gateway.Stamp) time.Time {
	wall, _ := s.Wall()
	return time.UnixMilli(wall).UTC()
}

const (
	statePoll  = time.Second      // how soon a change is told
	stateEvery = 10 * time.Second // and how often the whole, which always changes
)

// publishStates keeps {site}/_state and {site}/{device}/_state true, until ctx ends.
func (g *instance) publishStates(ctx context.Context) error {
	tick := time.NewTicker(statePoll)
	defer tick.Stop()
	told := make(map[string]string)
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s := g.snapshot()
		changed := g.publishDevices(s, told)
		for name, u := range s.Uplinks {
			changed = note(told, "uplink/"+name, u.State) || changed
		}
		for name, l := range s.Lines {
			changed = note(told, "line/"+name, l.State) || changed
		}
		if changed || time.Since(last) >= stateEvery {
			last = time.Now()
			g.publishJSON(g.config.Site+"/_state", s)
		}
	}
}

func (g *instance) publishDevices(s status.Snapshot, told map[string]string) (changed bool) {
	for name, d := range s.Devices {
		if !note(told, "device/"+name, d.State+d.Reason) {
			continue
		}
		changed = true
		g.publishJSON(g.config.Site+"/"+name+"/_state", struct {
			State  string `json:"state"`
			Since  string `json:"since"`
			Reason string `json:"reason,omitempty"`
		}{d.State, string(gateway.AppendTime(nil, d.Since.UnixMilli())), d.Reason})
	}
	return changed
}

// note remembers what was told and reports whether it is news.
func note(told map[string]string, key, value string) bool {
	if told[key] == value {
		return false
	}
	told[key] = value
	return true
}

func (g *instance) publishJSON(topic string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		g.log.Error("a state cannot be written", "topic", topic, "error", err)
		return
	}
	g.broker.Publish(topic, text, true)
}
