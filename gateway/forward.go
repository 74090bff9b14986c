package gateway

import "slices"

// Forwarder is the Tap: it lets every own reading through to the store, and
// those messages of other clients whose topic some uplink forwards.
type Forwarder struct {
	Filters []string // valid topic filters
	Store   Sink
}

var _ Tap = (*Forwarder)(nil)

// Wants reports whether any filter matches the topic.
func (f *Forwarder) Wants(topic string) bool {
	return slices.ContainsFunc(f.Filters, func(filter string) bool { return MatchTopic(filter, topic) })
}

// Append hands the readings on; a message of another client becomes class normal.
func (f *Forwarder) Append(rs []Reading, done func(error)) {
	if len(rs) == 1 && rs[0].Tag == Foreign {
		message := rs[0]
		message.Class = Normal
		f.Store.Append([]Reading{message}, done)
		return
	}
	f.Store.Append(rs, done)
}
