// Package broker is the MQTT server of the site. Drivers publish their readings
// through it, people and PLCs read and write there, and what has to leave the
// site goes on through the Tap.
//
//	drivers ─ Append ─┐                      ┌─► subscribers, one FIFO per session
//	                  ├─► retained, matching ┤
//	clients ─ Serve ──┘                      └─► Tap ─► disk ─► PUBACK
//
// One lock guards everything that is in memory: it is held for microseconds,
// never while a socket is written or read, and never while the Tap is called.
// So what a client sees of one topic is in order, and a client that is stuck,
// slow or hostile costs only itself.
//
// Is: MQTT 5, 3.1.1 and the older 3.1 on the wire, with QoS 0, 1 and 2, retained
// messages, wills and their delay, wildcards, shared subscriptions, and
// persistent sessions in memory, over TCP, TLS and WebSocket.
//
// Is not yet: sessions on disk.
package broker
