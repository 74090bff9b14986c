package broker

import (
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// ownTag is the topic of one tag of the gateway itself. The latest reading is
// kept as it is and made into a message only when somebody wants it: at most
// sites nobody looks at most tags.
type ownTag struct {
	tag   *gateway.Tag
	topic string
	last  gateway.Reading
	good  gateway.Value // the last good value
	since gateway.Stamp // and its time
	made  *message      // last as a message; nil until somebody wants it

	targets []target // who subscribed, as of generation
	asOf    uint64
}

// appendChunk is how many readings are published under one hold of the lock.
const appendChunk = 64

// Append publishes readings of the gateway's own tags on their topics, and
// hands them on to the Tap with done. It never waits for a client. Readings of
// one tag must come in order, from one goroutine at a time.
func (b *Broker) Append(rs []gateway.Reading, done func(error)) {
	if b.tap != nil {
		b.tap.Append(rs, done)
	}
	for rest := rs; len(rest) > 0; {
		n := min(appendChunk, len(rest))
		b.publishOwn(rest[:n])
		rest = rest[n:]
	}
	if b.tap == nil && done != nil {
		done(nil)
	}
}

func (b *Broker) publishOwn(rs []gateway.Reading) {
	b.mu.Lock()
	defer b.release()
	for i := range rs {
		if rs[i].Tag == nil || rs[i].Tag == gateway.Foreign {
			continue
		}
		b.publishReading(&rs[i])
	}
}

// publishReading keeps r as its tag's state and queues it for those who
// subscribed to it. The lock is held.
func (b *Broker) publishReading(r *gateway.Reading) {
	t := b.tags[r.Tag]
	if t == nil {
		t = b.newOwn(r.Tag)
	}
	t.last, t.made = *r, nil
	if r.Quality == gateway.Good {
		t.good, t.since = r.Value, r.Stamp
	}
	if t.asOf != b.generation {
		clear(t.targets)
		t.targets, t.asOf = b.match(t.topic, nil, t.targets[:0]), b.generation
	}
	for i := range t.targets {
		to := b.chosen(&t.targets[i], byte(b.options.TagQoS))
		if to == nil {
			continue
		}
		if min(byte(b.options.TagQoS), to.qos) > 0 || to.s.conn != nil { // else it would be made for nothing
			m := t.rendered(b)
			b.enqueue(to, m, to.flags(m))
		}
	}
}

// newOwn makes room for a tag seen for the first time, or takes over the topic
// of the tag that had this name before. The lock is held.
func (b *Broker) newOwn(tag *gateway.Tag) *ownTag {
	topic := b.topicOf(tag)
	slot := b.retained.topics.put(topic)
	switch {
	case *slot == nil:
		*slot = &retained{own: &ownTag{topic: topic}}
	case (*slot).own == nil: // the gateway published there before
		b.retained.count--
		b.retained.bytes -= (*slot).m.cost()
		*slot = &retained{own: &ownTag{topic: topic}}
	}
	t := (*slot).own
	delete(b.tags, t.tag)
	t.tag = tag
	b.tags[tag] = t
	return t
}

func (b *Broker) topicOf(tag *gateway.Tag) string {
	return strings.NewReplacer("{site}", b.site, "{device}", tag.Device, "{tag}", tag.Name).Replace(b.options.Topic)
}

// rendered returns the latest reading as a message. The lock is held.
func (t *ownTag) rendered(b *Broker) *message {
	if t.made == nil {
		b.scratch = t.appendPayload(b.scratch[:0], b.options.Payload)
		t.made = &message{topic: t.topic, payload: string(b.scratch), qos: byte(b.options.TagQoS), retain: true}
	}
	return t.made
}

// appendPayload appends the latest reading as it is promised to those on site.
// A failed read never shows a value in "value".
func (t *ownTag) appendPayload(p []byte, form string) []byte {
	value := t.last.Value
	if t.last.Quality == gateway.Bad {
		value = gateway.Value{}
	}
	if form == payloadValue {
		if value.Kind() == gateway.KindText {
			return append(p, value.String()...)
		}
		return value.AppendJSON(p)
	}
	at, clock := t.last.Stamp.Wall()
	p = append(p, `{"time":"`...)
	p = gateway.AppendTime(p, at)
	p = append(p, `","value":`...)
	p = value.AppendJSON(p)
	if t.tag.Unit != "" {
		p = append(p, `,"unit":`...)
		p = gateway.AppendJSONString(p, t.tag.Unit)
	}
	p = append(p, `,"quality":"`...)
	p = append(p, t.last.Quality.String()...)
	p = append(p, '"')
	if t.last.Quality != gateway.Good {
		p = t.appendReason(p)
	}
	if clock != gateway.Synced {
		p = append(p, `,"time_quality":"`...)
		p = append(p, clock.String()...)
		p = append(p, '"')
	}
	return append(p, '}')
}

func (t *ownTag) appendReason(p []byte) []byte {
	if t.last.Reason != gateway.NoReason {
		p = append(p, `,"reason":"`...)
		p = append(p, t.last.Reason.String()...)
		p = append(p, '"')
	}
	if t.last.Quality == gateway.Bad && !t.good.IsNone() {
		p = append(p, `,"last":`...)
		p = t.good.AppendJSON(p)
		at, _ := t.since.Wall()
		p = append(p, `,"last_time":"`...)
		p = gateway.AppendTime(p, at)
		p = append(p, '"')
	}
	return p
}
