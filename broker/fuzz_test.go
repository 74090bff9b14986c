package broker

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
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

// conversation5 are packets of MQTT 5.
var conversation5 = [][]byte{
	connect5("a", connectClean, "11 0000003c 21 0005 22 000a 17 00"),
	connect5("p", 0, "11 ffffffff 27 00000100"),
	withWill("w", connectClean|connectWillRetain, "11 0000003c", "18 0000000a 02 0000000a 01 01 26 0001 'a' 0001 'b'"),
	connect5("", connectClean, "26 0001 'a' 0001 'b'"),
	connect5("m", connectClean, "15 0001 'x' 16 0001 'y'"),
	sub5("t/#", 2, "0b 05"),
	sub5("+/+", 1|4|8, "0b ffffff7f 26 0001 'a' 0001 'b'"),
	sub5("$share/g/t/+", 1, ""),
	sub5("$share/g/#", 2, "0b 8001"),
	sub5("#", 0x18, ""),
	hx("a2 08 0001 00 0003 't/#'"),
	hx("a2 11 0001 00 000c '$share/g/t/+'"),
	pub5(0, 0, "t/1", "23 0001", "x"),
	pub5(0, 0, "", "23 0001", "y"),
	pub5(2, 1, "t/1", "01 01 02 0000000a 03 0001 'c' 08 0001 'r' 09 0002 ffff 26 0001 'a' 0001 'b'", "x"),
	pub5(3, 2, "t/2", "02 00000001", "retained"),
	pub5(1, 0, "t/2", "", ""),
	pub5(4, 3, "t/3", "", "x"),
	pub5(12, 3, "t/3", "", "x"),
	pub5(4, 4, "up/x", "26 0001 'a' 0001 'b'", "x"),
	hx("40 02 0001"), hx("40 04 0001 10 00"), hx("50 02 0001"), hx("50 03 0002 80"),
	hx("62 02 0003"), hx("62 0a 0003 92 06 1f 0003 'why'"), hx("70 02 0001"), hx("70 03 0002 92"),
	hx("c0 00"), hx("e0 00"), hx("e0 01 04"), hx("e0 07 00 05 11 00000005"), hx("f0 02 19 00"),
}

func FuzzPacket(f *testing.F) {
	for _, p := range slices.Concat(conversation, conversation5) {
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
	f.Add(bytes.Join(conversation5[5:], nil), 7)
	for _, p := range slices.Concat(conversation, conversation5) {
		f.Add(p, 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		tap := &fakeTap{}
		b := New("pad-7", Options{}, tap, quietLog())
		b.Append([]gateway.Reading{reading(pressure, 1, gateway.Int(1))}, nil)
		for _, first := range [][]byte{connectPacket("p", false), connectPacket("a", true), conversation5[0], conversation5[1], nil} {
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

// How many packets TestMutatedPackets sends at the least; many with
// GAUGEWAY_LONG=1 in the environment.
const (
	mutatedPackets     = 20_000
	mutatedPacketsLong = 1_000_000
)

// Connections of all versions with mutated packets: nobody else notices, and
// nothing is left of them.
func TestMutatedPackets(t *testing.T) {
	packets := mutatedPackets
	if os.Getenv("GAUGEWAY_LONG") == "1" {
		packets = mutatedPacketsLong
	}
	seed := uint64(0)
	noLeak(t, func() {
		seed++
		log := &faults{}
		tap := &fakeTap{atOnce: true}
		b := New("pad-7", withUser(t, "hmi", "secret", nil, nil), tap, slog.New(log))
		b.login.closed = closedChannel() // wrong passwords are not answered late here
		rnd := rand.New(rand.NewPCG(seed, 2))
		connections := 0
		for sent := 0; sent < packets; connections++ {
			say, n := mutated(rnd)
			b.Serve(&script{say: say, piece: 1 + rnd.IntN(100)}, "local")
			sent += n
			if connections%1000 == 0 {
				b.check(t)
				tap.mu.Lock()
				tap.readings = nil
				tap.mu.Unlock()
			}
		}
		st := b.Stats()
		t.Logf("%d packets in %d connections: %d publications came in, %d went out, %d subscriptions and %d sessions at the end",
			packets, connections, st.MessagesIn, st.MessagesOut, st.Subscriptions, st.Sessions)
		if st.MessagesIn < uint64(packets)/20 || st.Subscriptions == 0 {
			t.Errorf("hardly anything got through: %+v", st)
		}
		if n := log.n.Load(); n > 0 {
			t.Errorf("%d faults, the last of them %s", n, log.last.Load())
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

// faults is a log that only counts errors: a panic that is caught is one.
type faults struct {
	n    atomic.Int64
	last atomic.Value
}

func (f *faults) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f *faults) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f *faults) WithGroup(string) slog.Handler                { return f }

func (f *faults) Handle(_ context.Context, r slog.Record) error {
	f.n.Add(1)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	f.last.Store(text)
	return nil
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// mutated is a conversation of 3.1.1 or 5 with some bytes changed, cut out or
// doubled, and of how many packets it is.
func mutated(rnd *rand.Rand) (say []byte, packets int) {
	words := conversation
	if rnd.IntN(2) == 0 {
		words = conversation5
	}
	say = bytes.Clone(words[rnd.IntN(2)])
	for packets = 1; packets < 12 && rnd.IntN(12) > 0; packets++ {
		say = append(say, mutatedPacket(rnd, words[rnd.IntN(len(words))])...)
	}
	if rnd.IntN(8) == 0 {
		say = mutatedPacket(rnd, say)
	}
	return say, packets
}

func mutatedPacket(rnd *rand.Rand, packet []byte) []byte {
	p := bytes.Clone(packet)
	i := rnd.IntN(len(p))
	switch rnd.IntN(24) { // most stay as they are, or nothing would come through
	case 0:
		p[i] = byte(rnd.Uint32())
	case 1:
		p[i] ^= 1 << rnd.IntN(8)
	case 2:
		p = p[:i]
	case 3:
		p = slices.Insert(p, i, p[i:]...)
	case 4: // a byte less or more, and a length that says so
		p = slices.Delete(p, i, i+1)
		if len(p) > 2 {
			p[1]--
		}
	case 5:
		p = slices.Insert(p, i, byte(rnd.Uint32()))
		p[1]++
	}
	return p
}
