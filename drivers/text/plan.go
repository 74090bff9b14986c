package text

import (
	"cmp"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// assumedThink is how long most instruments take to answer, for a plan that
	// knows nothing better: text instruments are slower than Modbus ones.
	assumedThink = 50 * time.Millisecond

	// assumedReply is the length of a reply that has no fixed one.
	assumedReply = 32
)

// Plan works out what a line has to carry, without opening it. char is the time
// of one character, 0 where there is no wire. A device that talks by itself has
// requests of no length. Options that Validate has faults for make no plan.
func Plan(o Options, char time.Duration) (gateway.LinePlan, error) {
	if o.Now == nil {
		o.Now = func() gateway.Stamp { return gateway.Stamp{} }
	}
	d, err := New(o)
	if err != nil {
		return gateway.LinePlan{}, err
	}
	p := gateway.LinePlan{Line: o.Line}
	for _, s := range d.sweeps {
		r := s.planned(char)
		p.Requests = append(p.Requests, r)
		p.Use += float64(r.Cycle) / float64(r.Interval)
	}
	slices.SortStableFunc(p.Requests, func(a, b gateway.PlannedRequest) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Interval, b.Interval))
	})
	return p, nil
}

func (s *sweep) planned(char time.Duration) gateway.PlannedRequest {
	r := gateway.PlannedRequest{Device: s.device.name, Interval: s.interval, Text: "poll " + s.poll.name, Tags: len(s.tags)}
	in := s.device.in
	steps := s.poll.steps
	if in.wake != nil {
		steps = append([]*step{in.wake}, steps...)
	}
	for _, st := range steps {
		wire := time.Duration(len(st.request)) * (char + in.options.CharacterDelay)
		think := time.Duration(0)
		if !st.quiet {
			wire += time.Duration(st.replySize()) * char
			think = assumedThink
		}
		if in.options.listens() {
			think = 0
		}
		r.Wire += wire
		r.Cycle += wire + think + st.brk + st.pause + max(in.options.Gap, char*7/2)
	}
	return r
}

// replySize is how long a reply is, or about.
func (s *step) replySize() int {
	if s.framing.length > 0 {
		return s.framing.length
	}
	return min(assumedReply, s.framing.max)
}
