package broker

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// subackFailure is what a SUBACK says of a filter that is not granted.
const subackFailure = 0x80

// subscribeAll handles a SUBSCRIBE. Its SUBACK goes out before the retained
// messages that the filters match.
func (b *Broker) subscribeAll(c *conn, p *packet) error {
	asked, err := filters(p.body, true)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return errTakenOver
	}
	before := len(c.control)
	c.control = appendHeader(c.control, typeSuback<<4, 2+len(asked))
	c.control = append(c.control, byte(p.id>>8), byte(p.id))
	for _, f := range asked {
		code := f.qos
		if why := b.cannotSubscribe(c, f.filter); why != "" {
			b.note(slog.LevelWarn, "subscription is refused", logClient, c.id, logUser, c.account.String(), "filter", f.filter, logWhy, why)
			code = subackFailure
		} else {
			b.subscribe(c.sess, f.filter, f.qos)
			if err := b.sweep(c.sess, f.filter, f.qos); err != nil {
				c.control = c.control[:before]
				return err
			}
		}
		c.control = append(c.control, code) // [MQTT-3.8.4-5]: one for each, in their order
	}
	b.wake(c)
	return nil
}

// unsubscribeAll handles an UNSUBSCRIBE. It is answered whether or not the
// filters were subscribed to ([MQTT-3.10.4-5]).
func (b *Broker) unsubscribeAll(c *conn, p *packet) error {
	asked, err := filters(p.body, false)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return errTakenOver
	}
	for _, f := range asked {
		b.unsubscribe(c.sess, f.filter)
	}
	c.answer(typeUnsuback, p.id)
	return nil
}

// asked is one filter of a SUBSCRIBE or UNSUBSCRIBE.
type asked struct {
	filter string
	qos    byte
}

func filters(body []byte, withQoS bool) ([]asked, error) {
	r := cursor{buf: body}
	var all []asked
	for len(r.buf) > 0 {
		a := asked{filter: r.text()}
		if withQoS {
			a.qos = r.byte()
		}
		if r.bad {
			return nil, violated("a filter is cut short or is no UTF-8")
		}
		if err := gateway.ValidFilter(a.filter); err != nil {
			return nil, violated("filter %q %v", a.filter, err)
		}
		if a.qos > 2 { // [MQTT-3-8.3-4]
			return nil, violated("SUBSCRIBE with QoS %#x", a.qos)
		}
		all = append(all, a)
	}
	return all, nil
}

// cannotSubscribe says why the client may not have this filter; "" means that it may.
func (b *Broker) cannotSubscribe(c *conn, filter string) string {
	_, has := c.sess.subs[filter]
	switch {
	case strings.HasPrefix(filter, "$share/"):
		return "shared subscriptions are not in this version"
	case levels(filter) > maxLevels:
		return "the filter has too many levels"
	case !has && len(c.sess.subs) >= b.limits.subscriptions:
		return "the client has too many subscriptions"
	case !has && b.subs.nodes+levels(filter) > b.limits.filterNodes:
		return "all clients together have too many subscriptions"
	case !c.account.maySubscribe(filter):
		return "not in the user's subscribe list"
	}
	return ""
}

// subscribe adds a subscription or replaces the one with the same filter
// ([MQTT-3.8.4-3]). The lock is held.
func (b *Broker) subscribe(s *session, filter string, qos byte) {
	at := b.subs.put(filter)
	b.generation++
	if _, has := s.subs[filter]; has {
		for i := range *at {
			if (*at)[i].s == s {
				(*at)[i].qos = qos
			}
		}
	} else {
		*at = append(*at, target{s, qos})
		b.subsCount++
	}
	if s.subs == nil {
		s.subs = make(map[string]byte)
	}
	s.subs[filter] = qos
}

// unsubscribe removes a subscription, if there is one. The lock is held.
func (b *Broker) unsubscribe(s *session, filter string) {
	if _, has := s.subs[filter]; !has {
		return
	}
	delete(s.subs, filter)
	at := b.subs.get(filter)
	*at = slices.DeleteFunc(*at, func(t target) bool { return t.s == s })
	b.subs.prune(filter)
	b.subsCount--
	b.generation++
}
