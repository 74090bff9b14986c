package broker

import (
	"fmt"
	"strconv"
	"time"
)

// updateSys publishes those of the $SYS values that changed. They have the
// names that operators know from Mosquitto.
func (b *Broker) updateSys(now time.Time) {
	st := b.Stats()
	b.mu.Lock()
	defer b.release()
	b.sysValue("version", "gaugeway "+b.Version)
	b.sysValue("uptime", fmt.Sprintf("%d seconds", int(now.Sub(b.started).Seconds())))
	for _, v := range []struct {
		name  string
		value uint64
	}{
		{"clients/connected", uint64(st.Connected)},
		{"clients/disconnected", uint64(st.Sessions - st.Connected)},
		{"clients/total", uint64(st.Sessions)},
		{"clients/maximum", uint64(st.MaxConnected)},
		{"messages/received", st.MessagesIn},
		{"messages/sent", st.MessagesOut},
		{"publish/messages/received", st.MessagesIn},
		{"publish/messages/sent", st.MessagesOut},
		{"publish/messages/dropped", st.DroppedFull + st.DroppedSlow},
		{"bytes/received", st.BytesIn},
		{"bytes/sent", st.BytesOut},
		{"subscriptions/count", uint64(st.Subscriptions)},
		{"retained messages/count", uint64(st.Retained)},
		{"store/messages/count", uint64(st.Queued)},
		{"store/messages/bytes", uint64(st.QueuedBytes)},
	} {
		b.sysValue(v.name, strconv.FormatUint(v.value, 10))
	}
}

// sysValue publishes one value if it changed. The lock is held.
func (b *Broker) sysValue(name, value string) {
	if b.sys[name] == value {
		return
	}
	b.sys[name] = value
	b.publish(&message{topic: "$SYS/broker/" + name, payload: value}, true, nil)
}
