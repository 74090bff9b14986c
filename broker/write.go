package broker

import (
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// Write is what a client of the site asks to be written to a tag.
type Write struct {
	Tag     *gateway.Tag // nil where the gateway has none of this topic
	Topic   string       // of the tag
	Payload string
	Client  string
	User    string

	// Again says that the client sent the message a second time, after it lost
	// its connection: whether the first one was written it cannot know.
	Again bool
}

// write hands a message on a topic …/set to who writes. A will is none: nobody
// stands behind it any more. It is called without the lock.
func (b *Broker) write(c *conn, m *message, p *packet) {
	if b.Written == nil || p == nil || !b.own.isWrite(m.topic) {
		return
	}
	w := Write{
		Topic: strings.TrimSuffix(m.topic, writeSuffix), Payload: m.payload,
		Client: c.id, User: c.account.String(), Again: p.dup() && m.qos == 1,
	}
	b.mu.Lock()
	if slot := b.retained.topics.get(w.Topic); slot != nil && *slot != nil && (*slot).own != nil {
		w.Tag = (*slot).own.tag
	}
	b.mu.Unlock()
	b.Written(w)
}
