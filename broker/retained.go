package broker

import "errors"

// retained is what is kept at one topic: the message that was published there,
// or the latest reading of a tag of our own, made into a message when somebody
// wants it.
type retained struct {
	m   *message
	own *ownTag
}

// retainedTopics are all retained messages, and what those of other clients cost.
type retainedTopics struct {
	topics tree[*retained]
	count  int // of messages
	bytes  int
}

var errRetainedFull = errors.New("too many retained messages")

// keep stores m as the retained message of its topic, or removes what is there
// when m is empty ([MQTT-3.3.1-5], [MQTT-3.3.1-10]). The lock is held.
func (b *Broker) keep(m *message) error {
	k := &b.retained
	old := k.topics.get(m.topic)
	if old != nil && *old != nil && (*old).own != nil {
		return nil // a tag of our own stays what it reads
	}
	free := old == nil || *old == nil
	if m.payload == "" {
		if !free {
			k.count--
			k.bytes -= (*old).m.cost()
			*old = nil
			k.topics.prune(m.topic)
		}
		return nil
	}
	before := 0
	if !free {
		before = (*old).m.cost()
	}
	if k.bytes-before+m.cost() > b.limits.retainedBytes || free && k.count >= b.limits.retained {
		b.stats.DroppedRetained++
		return errRetainedFull
	}
	if free {
		*k.topics.put(m.topic) = &retained{m: m}
		k.count++
	} else {
		(*old).m = m
	}
	k.bytes += m.cost() - before
	return nil
}

// current returns the message at r. The lock is held.
func (b *Broker) current(r *retained) *message {
	if r.own != nil {
		return r.own.rendered(b)
	}
	return r.m
}
