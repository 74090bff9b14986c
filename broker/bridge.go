package broker

import (
	"errors"

	"github.com/gaugeway/gaugeway/gateway"
)

// Why a message of a server is refused.
var (
	errReserved = errors.New("the topic belongs to the gateway")
	errTooDeep  = errors.New("the topic has too many levels")
	errTooLarge = errors.New("it is too large")
)

// Bridge publishes what a remote server sent down to the site. It never waits
// for a client. Topics of the gateway's own, and those where tags are written,
// are refused: from there the site hears the gateway only. What comes this way is
// not handed to the Tap, so it cannot go up again and round for ever.
func (b *Broker) Bridge(topic string, payload []byte, retained bool) {
	err := gateway.ValidTopic(topic)
	switch {
	case err != nil:
	case topic[0] == '$', b.own.has(topic), b.own.isWrite(topic):
		err = errReserved
	case levels(topic) > maxLevels:
		err = errTooDeep
	case len(payload) > b.limits.packetBytes:
		err = errTooLarge
	}
	if err != nil {
		b.quiet.warn(b.log, "message of a server is refused", logTopic, topic, logWhy, err)
		return
	}
	m := &message{topic: topic, payload: string(payload), qos: 1, retain: retained}
	b.mu.Lock()
	defer b.release()
	b.publish(m, retained, nil)
}
