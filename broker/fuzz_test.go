package broker

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
)

// conversation are packets as clients send them, well-formed.
var conversation = [][]byte{
	connectPacket("a", true),
	connectPacket("p", false),
	willPacket("w", 1, true, "gone"),
	login3("hmi", "secret"),
	subscribePacket(1, "t/#", 2),
	subscribePacket(2, "+/+", 1),
	subscribePacket(3, "#", 0),
	unsubscribePacket(4, "t/#"),
	pub(0, 0, "t/1", "payload"),
	pub(1, 0, "t/1", "retained"),
	pub(1, 0, "t/1", ""),
	pub(2, 1, "t/2", "payload"),
	pub(3, 2, "t/3", "retained"),
	pub(4, 3, "t/4", "payload"),
	pub(4, 3, "up/4", "payload"),
	pub(2, 4, "up/5", "payload"),
	pub(8|4, 3, "t/4", "payload"),
	ackPacket(typePuback, 1),
	ackPacket(typePubrec, 1),
	ackPacket(typePubrel, 3),
	ackPacket(typePubcomp, 1),
	hx("c0 00"),
	hx("e0 00"),
	hx("82 06 00 01 00 00 01 'a'"), // truncated, kills another broker
	hx("10 ff ff ff 7f"),
	hx("30 80 80 80 80 01"),
}

func FuzzPacket(f *testing.F) {
	for _, p := range conversation {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		head, total, err := frame(data, 1<<20)
		if err != nil || total == 0 || total > len(data) {
			return
		}
		if head < 2 || head > 5 || total < head || total > 1<<20+5 {
			t.Fatalf("head %d, total %d", head, total)
		}
		for _, v := range []version{mqtt311, mqtt5} {
			if p, err := parse(data[:total], head, v); err == nil {
				checkPacket(t, p, v, data[head:total])
			}
		}
	})
}

func checkPacket(t *testing.T, p packet, v version, body []byte) {
	t.Helper()
	switch p.kind {
	case typeConnect:
		con, err := parseConnect(p.body)
		if err == nil && (con.clientID == "" || con.will != nil && gateway.ValidTopic(con.will.topic) != nil || con.receiveMaximum == 0) {
			t.Fatalf("%+v is accepted", con)
		}
	case typePublish:
		// What is well-formed is written again byte for byte, apart from a length in
		// more bytes than it needs, and from what is for the broker only.
		if p.props.has&^handedOn != 0 {
			return
		}
		m := &message{topic: string(p.topic), payload: string(p.payload), props: string(p.props.onward)}
		again := appendPublish(nil, m, delivery{flags: p.flags & 9, qos: p.qos(), id: p.id, v: v})
		if !bytes.Equal(again[len(again)-len(body):], body) {
			t.Fatalf("%x becomes %x", body, again)
		}
	case typeSubscribe, typeUnsubscribe:
		all, err := (&conn{version: v}).filters(&p, p.kind == typeSubscribe)
		if err == nil && len(all) == 0 {
			t.Fatal("no filters are accepted")
		}
	}
}

// FuzzConnection lets a client say anything after a CONNECT, while another is
// subscribed to everything.
func FuzzConnection(f *testing.F) {
	f.Add(bytes.Join(conversation[4:], nil), 100)
	f.Add(bytes.Join(conversation, nil), 1)
	for _, p := range conversation {
		f.Add(p, 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		tap := &fakeTap{}
		b := New("pad-7", Options{}, tap, quietLog())
		b.Append([]gateway.Reading{reading(pressure, 1, gateway.Int(1))}, nil)
		for _, first := range [][]byte{connectPacket("p", false), connectPacket("a", true), nil} {
			b.Serve(&script{say: slices.Concat(first, data), piece: max(1, piece)}, "local")
			b.check(t)
			tap.finish(nil)
			b.check(t)
		}
		b.stop()
		b.forgetAll()
		b.check(t)
		if b.subs.nodes != 0 || b.queuedBytes != 0 || b.retained.count != 0 {
			t.Errorf("left over: %d nodes, %d bytes, %d retained", b.subs.nodes, b.queuedBytes, b.retained.count)
		}
	})
}

// FuzzTree compares both trees with gateway.MatchTopic, which is written another way.
func FuzzTree(f *testing.F) {
	f.Add("a/#\na/+\n#\n+/b\n$SYS/#", "a\na/b\n$SYS/x\n/")
	f.Add("/+\n+/+\n//#", "/\n//\n/a")
	f.Fuzz(func(t *testing.T, filterLines, topicLines string) {
		filters, topics := tree[bool]{empty: isFalse}, tree[bool]{empty: isFalse}
		var fs, ts []string
		for _, line := range splitLines(filterLines) {
			if gateway.ValidFilter(line) == nil && !slices.Contains(fs, line) {
				fs = append(fs, line)
				*filters.put(line) = true
			}
		}
		for _, line := range splitLines(topicLines) {
			if gateway.ValidTopic(line) == nil && !slices.Contains(ts, line) {
				ts = append(ts, line)
				*topics.put(line) = true
			}
		}
		for _, topic := range ts {
			want, got := 0, 0
			for _, filter := range fs {
				if gateway.MatchTopic(filter, topic) {
					want++
				}
			}
			filters.matching(topic, func(v *bool) {
				if *v {
					got++
				}
			})
			if got != want {
				t.Errorf("%d of %q match %q, not %d", want, fs, topic, got)
			}
		}
		for _, filter := range fs {
			want, got := 0, 0
			for _, topic := range ts {
				if gateway.MatchTopic(filter, topic) {
					want++
				}
			}
			topics.matched(filter, func(v *bool) {
				if *v {
					got++
				}
			})
			if got != want {
				t.Errorf("%q matches %d of %q, not %d", filter, want, ts, got)
			}
		}
		for _, filter := range fs {
			*filters.get(filter) = false
			filters.prune(filter)
		}
		if filters.nodes != 0 || len(filters.root.children) != 0 {
			t.Errorf("%d nodes are left", filters.nodes)
		}
	})
}

func isFalse(v *bool) bool { return !*v }

func splitLines(s string) []string {
	var lines []string
	for line := range bytes.SplitSeq([]byte(s), []byte("\n")) {
		if len(lines) < 50 {
			lines = append(lines, string(line))
		}
	}
	return lines
}

// Twenty thousand connections with mutated packets: nobody else notices, and
// nothing is left of them.
func TestMutatedConnections(t *testing.T) {
	noLeak(t, func() {
		tap := &fakeTap{atOnce: true}
		b := New("pad-7", withUser(t, "hmi", "secret", nil, nil), tap, quietLog())
		b.login.closed = closedChannel() // wrong passwords are not answered late here
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range 20_000 {
			b.Serve(&script{say: mutated(rnd), piece: 1 + rnd.IntN(100)}, "local")
			if i%1000 == 0 {
				b.check(t)
				tap.mu.Lock()
				tap.readings = nil
				tap.mu.Unlock()
			}
		}
		st := b.Stats()
		if st.MessagesIn < 1000 || st.Subscriptions == 0 {
			t.Errorf("hardly anything got through: %+v", st)
		}
		b.forgetAll()
		b.check(t)
		b.login.closed = make(chan struct{})
		b.stop()
		if b.subs.nodes != 0 || b.retained.topics.nodes != 0 || b.queuedBytes != 0 || len(b.sessions) != 0 || len(b.conns) != 0 {
			t.Errorf("left over: %d filter nodes, %d topic nodes, %d bytes", b.subs.nodes, b.retained.topics.nodes, b.queuedBytes)
		}
	})
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// mutated is a conversation with some bytes changed, cut out or doubled.
func mutated(rnd *rand.Rand) []byte {
	say := bytes.Clone(conversation[rnd.IntN(2)])
	for range rnd.IntN(12) {
		p := bytes.Clone(conversation[rnd.IntN(len(conversation))])
		switch rnd.IntN(6) {
		case 0:
			p[rnd.IntN(len(p))] = byte(rnd.Uint32())
		case 1:
			p[rnd.IntN(len(p))] ^= 1 << rnd.IntN(8)
		case 2:
			p = p[:rnd.IntN(len(p))]
		case 3:
			i := rnd.IntN(len(p))
			p = slices.Insert(p, i, p[i:]...)
		}
		say = append(say, p...)
	}
	return say
}
