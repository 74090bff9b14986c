package broker

import (
	"log/slog"
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
)

// subackFailure is what a SUBACK says before MQTT 5 of a filter that is not granted.
const subackFailure = 0x80

// subscription is what a session asked for with one filter.
type subscription struct {
	filter  string // as it was written
	plain   string // without what makes it shared
	group   string // that it shares with; "" for none
	qos     byte
	noLocal bool   // not what the client itself publishes
	asIs    bool   // the retain flag stays as it was published
	sweep   byte   // whether retained messages are sent: always, if it is new, never
	id      uint32 // 0 for none
}

// The values of sweep (MQTT 5.0, 3.8.3.1).
const (
	sweepAlways = iota
	sweepIfNew
	sweepNever
)

// subscribeAll handles a SUBSCRIBE. Its SUBACK goes out before the retained
// messages that the filters match.
func (b *Broker) subscribeAll(c *conn, p *packet) error {
	asked, err := c.filters(p, true)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return errTakenOver
	}
	before := len(c.control)
	codes := make([]byte, 0, len(asked))
	at := c.beginSuback(typeSuback, p.id, len(asked))
	for _, f := range asked {
		code := f.qos
		if refused, why := b.cannotSubscribe(c, f); why != "" {
			b.note(slog.LevelWarn, "subscription is refused", logClient, c.id, logUser, c.account.String(), "filter", f.filter, logWhy, why)
			if code = byte(refused); c.version != mqtt5 {
				code = subackFailure
			}
		} else if err := b.grant(c, f); err != nil {
			c.control = c.control[:before]
			return err
		}
		codes = append(codes, code) // [MQTT-3.8.4-5]; 5.0: [MQTT-3.9.3-1]: one for each, in their order
	}
	copy(c.control[at:], codes)
	b.wake(c)
	return nil
}

// grant subscribes, and queues the retained messages that are wanted.
func (b *Broker) grant(c *conn, f subscription) error {
	_, had := c.sess.subs[f.filter]
	b.subscribe(c.sess, f)
	if f.group != "" || f.sweep == sweepNever || f.sweep == sweepIfNew && had {
		return nil
	}
	return b.sweep(c.sess, f)
}

// beginSuback queues a SUBACK or UNSUBACK, and returns where its codes stand.
func (c *conn) beginSuback(kind byte, id uint16, codes int) (at int) {
	length := 2 + codes
	if c.version == mqtt5 {
		length++ // no properties
	}
	c.control = appendHeader(c.control, kind<<4, length)
	c.control = append(c.control, byte(id>>8), byte(id))
	if c.version == mqtt5 {
		c.control = append(c.control, 0)
	}
	at = len(c.control)
	c.control = append(c.control, make([]byte, codes)...)
	return at
}

// unsubscribeAll handles an UNSUBSCRIBE. It is answered whether or not the
// filters were subscribed to ([MQTT-3.10.4-5]; 5.0: [MQTT-3.11.3-1]).
func (b *Broker) unsubscribeAll(c *conn, p *packet) error {
	asked, err := c.filters(p, false)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.gone {
		return errTakenOver
	}
	codes := make([]byte, len(asked))
	for i, f := range asked {
		if !b.unsubscribe(c.sess, f.filter) {
			codes[i] = byte(reasonNoSubscription)
		}
	}
	if c.version != mqtt5 {
		c.answer(typeUnsuback, p.id, reasonSuccess)
		return nil
	}
	copy(c.control[c.beginSuback(typeUnsuback, p.id, len(asked)):], codes)
	b.wake(c)
	return nil
}

// filters reads the filters of a SUBSCRIBE or UNSUBSCRIBE.
func (c *conn) filters(p *packet, withOptions bool) ([]subscription, error) {
	r := cursor{buf: p.body}
	var all []subscription
	for len(r.buf) > 0 {
		f := subscription{filter: r.text(), id: p.props.or(propSubscriptionID, 0)}
		options := byte(0)
		if withOptions {
			options = r.byte()
		}
		if r.bad {
			return nil, malformed("a filter is cut short or is no UTF-8")
		}
		if err := gateway.ValidFilter(f.filter); err != nil {
			return nil, violatedAs(reasonFilterInvalid, "filter %q %v", f.filter, err)
		}
		var err error
		if f.group, f.plain, err = parseShare(f.filter); err != nil {
			return nil, err
		}
		if err := f.read(options, c.version); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if n := 3 + len(all); c.maximumPacket > 0 && 1+varintSize(n)+n > c.maximumPacket { // 5.0: [MQTT-3.1.2-24]
		return nil, violatedAs(reasonTooLarge, "the answer to %d filters is larger than the client takes", len(all))
	}
	return all, nil
}

// read takes the options of a filter apart (MQTT 5.0, 3.8.3.1).
func (f *subscription) read(options byte, v version) error {
	f.qos = options & 3
	reserved := byte(0xFC)
	if v == mqtt5 {
		reserved = 0xC0
		f.noLocal, f.asIs, f.sweep = options&4 != 0, options&8 != 0, options>>4&3
	}
	switch {
	case f.qos == 3 || options&reserved != 0: // [MQTT-3-8.3-4]; 5.0: [MQTT-3.8.3-5]
		return malformed("SUBSCRIBE with options %#x", options)
	case f.sweep == 3:
		return violated("SUBSCRIBE with retain handling 3")
	case f.noLocal && f.group != "": // [MQTT-3.8.3-4]
		return violated("a shared subscription cannot leave out what its client publishes")
	}
	return nil
}

// cannotSubscribe says why the client may not have this filter; "" means that it may.
func (b *Broker) cannotSubscribe(c *conn, f subscription) (code reason, why string) {
	_, has := c.sess.subs[f.filter]
	switch {
	case levels(f.plain) > maxLevels:
		return reasonFilterInvalid, "the filter has too many levels"
	case !has && len(c.sess.subs) >= b.limits.subscriptions:
		return reasonQuota, "the client has too many subscriptions"
	case !has && b.subs.nodes+levels(f.plain) > b.limits.filterNodes:
		return reasonQuota, "all clients together have too many subscriptions"
	case !c.account.maySubscribe(f.plain, c.id):
		return reasonNotAuthorized, "not in the user's subscribe list"
	}
	return 0, ""
}

// subscribe adds a subscription or replaces the one with the same filter
// ([MQTT-3.8.4-3]). The lock is held.
func (b *Broker) subscribe(s *session, f subscription) {
	b.generation++
	t := f.target(s)
	if _, has := s.subs[f.filter]; has {
		*b.targetOf(s, f) = t
	} else {
		b.addTarget(f, t)
		b.subsCount++
	}
	if s.subs == nil {
		s.subs = make(map[string]subscription)
	}
	s.subs[f.filter] = f
}

func (f subscription) target(s *session) target {
	t := target{s: s, qos: f.qos, noLocal: f.noLocal, asIs: f.asIs}
	if f.id != 0 {
		t.ids = []uint32{f.id}
	}
	return t
}

// addTarget puts a target where its filter, and its group, is.
func (b *Broker) addTarget(f subscription, t target) {
	at := b.subs.put(f.plain)
	if f.group == "" {
		*at = append(*at, t)
		return
	}
	for i := range *at {
		if g := (*at)[i].group; g != nil && g.name == f.group {
			g.members = append(g.members, t)
			return
		}
	}
	*at = append(*at, target{group: &group{name: f.group, members: []target{t}}})
}

// targetOf returns the target of a subscription that there is.
func (b *Broker) targetOf(s *session, f subscription) *target {
	at := *b.subs.get(f.plain)
	for i := range at {
		if f.group == "" && at[i].s == s {
			return &at[i]
		}
		if g := at[i].group; g != nil && g.name == f.group {
			for j := range g.members {
				if g.members[j].s == s {
					return &g.members[j]
				}
			}
		}
	}
	return new(target) // there is none: nothing is changed
}

// unsubscribe removes a subscription, and reports whether there was one. The lock is held.
func (b *Broker) unsubscribe(s *session, filter string) bool {
	f, has := s.subs[filter]
	if !has {
		return false
	}
	delete(s.subs, filter)
	at := b.subs.get(f.plain)
	*at = slices.DeleteFunc(*at, func(t target) bool {
		if t.group != nil && f.group == t.group.name {
			return t.group.leave(s)
		}
		return f.group == "" && t.s == s
	})
	b.subs.prune(f.plain)
	b.subsCount--
	b.generation++
	return true
}
