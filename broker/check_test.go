package broker

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// check recounts what the broker counts.
func (b *Broker) check(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	queued, subs, connected := 0, 0, 0
	for id, s := range b.sessions {
		bytes, sweeping := 0, 0
		for _, q := range []*ring[item]{&s.volatile, &s.waiting, &s.inflight} {
			last := uint64(0)
			for i := range q.len() {
				it := q.at(i)
				if it.m == nil {
					continue
				}
				if it.seq <= last {
					t.Errorf("session %s is out of order", id)
				}
				last = it.seq
				bytes += it.cost()
				if it.flags&flagSweep != 0 {
					sweeping++
				}
			}
		}
		if bytes != s.bytes || sweeping != s.sweeping {
			t.Errorf("session %s has %d bytes, %d retained; counts %d, %d", id, bytes, sweeping, s.bytes, s.sweeping)
		}
		if s.conn != nil {
			connected++
		} else if s.clean() {
			t.Errorf("clean session %s has no connection", id)
		}
		queued += bytes
		subs += len(s.subs)
	}
	if queued != b.queuedBytes || subs != b.subsCount || connected != b.stats.Connected {
		t.Errorf("%d bytes, %d subscriptions, %d connected; counts %d, %d, %d", queued, subs, connected, b.queuedBytes, b.subsCount, b.stats.Connected)
	}
	b.checkTrees(t)
}

func (b *Broker) checkTrees(t testing.TB) {
	t.Helper()
	nodes, subs := count(&b.subs.root, func(v *[]target) (n int) {
		for _, t := range *v {
			if n++; t.group != nil {
				n += len(t.group.members) - 1
			}
		}
		return n
	})
	if nodes != b.subs.nodes || subs != b.subsCount {
		t.Errorf("%d nodes, %d subscriptions in the tree; counts %d, %d", nodes, subs, b.subs.nodes, b.subsCount)
	}
	bytes := 0
	nodes, kept := count(&b.retained.topics.root, func(v **retained) int {
		if *v == nil || (*v).own != nil {
			return 0
		}
		bytes += (*v).m.cost()
		return 1
	})
	if nodes != b.retained.topics.nodes || kept != b.retained.count || bytes != b.retained.bytes {
		t.Errorf("%d nodes, %d retained, %d bytes; counts %+v", nodes, kept, bytes, b.retained)
	}
}

func count[V any](n *node[V], of func(*V) int) (nodes, values int) {
	values = of(&n.value)
	for _, c := range n.children {
		below, more := count(c, of)
		nodes, values = nodes+1+below, values+more
	}
	return nodes, values
}

// forgetAll ends everything that clients left behind.
func (b *Broker) forgetAll() {
	b.mu.Lock()
	defer b.release()
	for _, s := range b.sessions {
		b.forget(s)
	}
	var topics []string
	b.retained.topics.matched("#", func(r **retained) {
		if *r != nil && (*r).m != nil {
			topics = append(topics, (*r).m.topic)
		}
	})
	for _, topic := range topics {
		b.keep(&message{topic: topic}) //nolint:errcheck // removing always works
	}
}

// script is a connection whose client says all at once, in pieces of some size,
// and takes whatever comes.
type script struct {
	say   []byte
	piece int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.say) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.piece)], s.say)
	s.say = s.say[n:]
	return n, nil
}

func (*script) Write(b []byte) (int, error)      { return len(b), nil }
func (*script) Close() error                     { return nil }
func (*script) LocalAddr() net.Addr              { return nil }
func (*script) RemoteAddr() net.Addr             { return nil }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// noLeak compares goroutines and memory before and after test. It runs it once
// more before: the runtime keeps what it needs for the goroutines that were.
func noLeak(t *testing.T, test func()) {
	t.Helper()
	measure := func() (goroutines int, heap uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the pools let go at the second
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	test()
	goroutinesBefore, heapBefore := measure()
	test()
	goroutines, heap := measure()
	t.Logf("%d goroutines and %d KB before, %d and %d KB after", goroutinesBefore, heapBefore>>10, goroutines, heap>>10)
	if goroutines > goroutinesBefore {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines before, %d after\n%s", goroutinesBefore, goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	if heap > heapBefore+1<<20 {
		t.Errorf("%d KB before, %d KB after", heapBefore>>10, heap>>10)
	}
}
