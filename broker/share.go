package broker

import (
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// sharePrefix begins a shared subscription: $share/GROUP/FILTER (MQTT 5.0, 4.8.2).
// Clients of 3.1.1 may use it as well.
const sharePrefix = "$share/"

// group is sessions that share the messages of one filter: each goes to one of them.
type group struct {
	name    string
	members []target
	next    int // whose turn it is
}

// parseShare parts a shared subscription; group is "" for an ordinary one.
func parseShare(filter string) (group, plain string, err error) {
	rest, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, nil
	}
	name, plain, more := strings.Cut(rest, "/")
	if name == "" || !more || plain == "" || strings.ContainsAny(name, "+#") { // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
		return "", "", violatedAs(reasonFilterInvalid, "%q is no shared subscription; write $share/GROUP/FILTER", filter)
	}
	if err := gateway.ValidFilter(plain); err != nil {
		return "", "", violatedAs(reasonFilterInvalid, "filter %q %v", filter, err)
	}
	return name, plain, nil
}

// pick returns the member whose turn it is: one that is connected and has room,
// else one that is kept for, else nil. The lock is held.
func (g *group) pick(b *Broker, qos byte) *target {
	var kept *target
	for range g.members {
		g.next = (g.next + 1) % len(g.members)
		t := &g.members[g.next]
		queue := &t.s.waiting
		if min(qos, t.qos) == 0 {
			queue = &t.s.volatile
		}
		if t.s.conn != nil && queue.len() < b.limits.queued {
			return t
		}
		if t.s.conn == nil && kept == nil && min(qos, t.qos) > 0 {
			kept = t
		}
	}
	return kept
}

// leave takes a session out, and reports whether nobody is left.
func (g *group) leave(s *session) (empty bool) {
	g.members = slices.DeleteFunc(g.members, func(t target) bool { return t.s == s })
	return len(g.members) == 0
}
