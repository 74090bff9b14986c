package broker

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// One subscriber does not read, with QoS 0 and 1. Nobody else notices, and it
// is thrown out.
func TestStuckSubscriberCostsOnlyItself(t *testing.T) {
	for qos := range byte(2) {
		bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
			stuck := joinSilent(t, b)
			stuck.send(connectPacket("stuck", false))
			stuck.nc.Read(make([]byte, 4)) //nolint:errcheck // the CONNACK
			stuck.send(subscribePacket(1, "#", qos))
			stuck.nc.Read(make([]byte, 5)) //nolint:errcheck // the SUBACK
			healthy := enter(t, b, "healthy")
			healthy.subscribe("t", 0)
			p := enter(t, b, "p")
			flood := strings.Repeat("x", 4096)
			for i := range uint16(2000) { // 8 MB, the bound is 4 MB
				p.send(pub(2, i+1, "t", flood))
				p.expect(ackPacket(typePuback, i+1))
				healthy.expect(pub(0, 0, "t", flood))
			}
			b.Append(manyReadings(100), nil)
			st := b.Stats()
			if st.QueuedBytes > b.limits.queuedBytes || st.DroppedFull+st.DroppedSlow == 0 || (st.DroppedFull > 0) != (qos == 1) {
				t.Errorf("%+v", st)
			}
			time.Sleep(b.limits.writeTimeout)
			synctest.Wait()
			if st := b.Stats(); st.Connected != 2 {
				t.Errorf("%d are connected", st.Connected)
			}
			back := resume(t, b, "stuck", 1) // and may come back
			back.subscribe2("other")
		})
	}
}

// subscribe2 subscribes while messages stream in, without looking at them.
func (p *peer) subscribe2(filter string) {
	p.send(subscribePacket(2, filter, 0))
	if !strings.Contains(string(p.got()), "\x90\x03\x00\x02\x00") {
		p.t.Error("no SUBACK")
	}
}

// What is dropped is the newest; what stays is in order; dropping ends with the jam.
func TestQueueIsBoundedByCount(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.queued, b.limits.window = 5, 2
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		q := enter(t, b, "q")
		for i := range uint16(10) {
			q.send(pub(2, i+1, "t", fmt.Sprint(i)))
			q.got()
		}
		p.expect(pub(2, 1, "t", "0"), pub(2, 2, "t", "1"))
		if st := b.Stats(); st.DroppedFull != 3 || st.Queued != 7 {
			t.Errorf("%+v", st)
		}
		for i := range uint16(7) {
			p.send(ackPacket(typePuback, i+1))
			if i < 5 { // each makes room for one more
				p.expect(pub(2, i+3, "t", fmt.Sprint(i+2)))
			}
		}
		q.send(pub(2, 1, "t", "again"))
		p.expect(pub(2, 8, "t", "again"))
		if st := b.Stats(); st.Queued != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// While the window is full, QoS 0 overtakes.
func TestWindowHoldsOnlyQoS1(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.window = 1
		p := enter(t, b, "a")
		p.subscribe("t", 1)
		b2 := enter(t, b, "q")
		b2.send(pub(2, 1, "t", "1"), pub(2, 2, "t", "2"), pub(0, 0, "t", "3"))
		p.expect(pub(2, 1, "t", "1"), pub(0, 0, "t", "3"))
		p.send(ackPacket(typePuback, 1))
		p.expect(pub(2, 2, "t", "2"))
	})
}

func TestTotalIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.totalBytes = 10_000
		for i := range 10 {
			p := resume(t, b, fmt.Sprint("a", i), 0)
			p.subscribe("t", 1)
			p.nc.Close()
		}
		q := enter(t, b, "q")
		for i := range uint16(10) {
			q.send(pub(2, i+1, "t", strings.Repeat("x", 500)))
			q.got()
		}
		if st := b.Stats(); st.QueuedBytes > 10_000 || st.Queued < 10 {
			t.Errorf("%+v", st)
		}
		for i := range 10 {
			enter(t, b, fmt.Sprint("a", i)) // clean: forgets the queue
		}
		if st := b.Stats(); st.QueuedBytes != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.connections, b.limits.unidentified = 4, 2
		a := enter(t, b, "a")
		silent := []*peer{join(t, b), join(t, b), join(t, b)}
		silent[0].ends() // gives way to the third
		enter(t, b, "b")
		enter(t, b, "c")
		enter(t, b, "d")
		silent[1].ends()
		silent[2].ends()
		join(t, b).ends() // four have said who they are
		a.lives()
		if st := b.Stats(); st.Connected != 4 || st.RefusedConns != 4 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAbsentSessionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.sessions = 3
		for i := range 5 {
			p := resume(t, b, fmt.Sprint("a", i), 0)
			p.subscribe("t", 1)
			p.nc.Close()
			p.got()
			time.Sleep(time.Second)
		}
		if st := b.Stats(); st.Sessions != 3 || st.Forgotten != 2 || st.Subscriptions != 3 {
			t.Errorf("%+v", st)
		}
		resume(t, b, "a0", 0)
		resume(t, b, "a4", 1)
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.subscriptions, b.limits.filterNodes = 2, 10
		p := enter(t, b, "a")
		p.subscribe("1", 0)
		p.subscribe("2", 0)
		p.send(subscribePacket(1, "3", 0))
		p.expect(hx("90 03 00 01 80"))
		p.subscribe("2", 1)
		q := enter(t, b, "q")
		q.send(subscribePacket(1, strings.Repeat("/", 10), 0))
		q.expect(hx("90 03 00 01 80"))
		q.send(subscribePacket(1, strings.Repeat("/", 128), 0))
		q.expect(hx("90 03 00 01 80"))
		q.send(pub(0, 0, strings.Repeat("/", 128), ""))
		q.ends()
	})
}

func TestRetainedIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.retained, b.limits.retainedBytes = 2, 1000
		p := enter(t, b, "a")
		p.subscribe("#", 0)
		p.send(pub(1, 0, "a", "1"), pub(1, 0, "b", "1"), pub(1, 0, "c", "1"), pub(1, 0, "b", strings.Repeat("x", 900)), pub(1, 0, "b", "2"))
		p.expect(pub(0, 0, "a", "1"), pub(0, 0, "b", "1"), pub(0, 0, "c", "1"), pub(0, 0, "b", strings.Repeat("x", 900)), pub(0, 0, "b", "2"))
		p.send(subscribePacket(1, "#", 0))
		p.expect(hx("90 03 00 01 00"), pub(1, 0, "a", "1"), pub(1, 0, "b", "2"))
		if st := b.Stats(); st.Retained != 2 || st.DroppedRetained != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// All retained messages come, be they more than a queue holds; asking for them
// over and over without reading ends the connection.
func TestSweeps(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		b.limits.queued = 10
		b.Append(manyReadings(100), nil)
		p := enter(t, b, "a")
		p.send(subscribePacket(1, "#", 0))
		if n := strings.Count(string(p.got()), "quality"); n != 100 {
			t.Errorf("%d of 100 came", n)
		}
		greedy := joinSilent(t, b)
		greedy.send(connectPacket("greedy", true))
		for range 5 {
			greedy.send(subscribePacket(1, "#", 0))
		}
		synctest.Wait()
		if st := b.Stats(); st.Queued > 300 {
			t.Errorf("%+v", st)
		}
		time.Sleep(goodByeTime)
		synctest.Wait()
		if st := b.Stats(); st.Connected != 1 {
			t.Errorf("%d are connected", st.Connected)
		}
	})
}

// A client that sends and does not read its answers is not read from.
func TestAnswersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := joinSilent(t, b)
		p.send(connectPacket("a", true))
		go func() {
			for range 100_000 {
				if _, err := p.nc.Write(hx("c0 00")); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		b.mu.Lock()
		n := len(b.sessions["a"].conn.control)
		b.mu.Unlock()
		if n > maxControl+readBytes {
			t.Errorf("%d bytes of answers wait", n)
		}
		time.Sleep(b.limits.writeTimeout)
		synctest.Wait()
		if st := b.Stats(); st.Connected != 0 {
			t.Errorf("%d are connected", st.Connected)
		}
	})
}

func TestLargePacketIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t", 0)
		m := strings.Repeat("x", b.limits.packetBytes-3)
		p.send(pub(0, 0, "t", m))
		p.expect(pub(0, 0, "t", m))
		p.send(pub(0, 0, "t", m+"x")[:5])
		p.ends()
	})
}

// A fault of ours ends one connection, and leaves no lock behind.
func TestPanicEndsOneConnection(t *testing.T) {
	tap := &fakeTap{}
	bubbleWith(t, "", Options{}, tap, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		b.Now = func() gateway.Stamp { panic("on purpose") }
		p := enter(t, b, "a")
		p.send(pub(2, 1, "up/x", ""))
		p.ends()
		q.expect(pub(0, 0, "up/x", ""))
		enter(t, b, "a").lives()
	})
}

// A silent client holds no buffers. Beside what is measured here it has the
// stack of one goroutine.
func TestIdleClientIsSmall(t *testing.T) {
	_, port := serve(t, "", Options{}, nil)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const clients = 500
	conns := make([]net.Conn, clients)
	before := heap()
	for i := range conns {
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		conns[i] = nc
		for _, step := range []struct {
			say []byte
			n   int
		}{{connectPacket(fmt.Sprint("idle", i), true), 4}, {subscribePacket(1, fmt.Sprint("topic/", i), 1), 5}, {pub(2, 1, "x", ""), 4}} {
			if _, err := nc.Write(step.say); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(nc, make([]byte, step.n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := int(heap()-before) / clients
	t.Logf("%d bytes for each idle client, both ends", each)
	if each > 4096 {
		t.Errorf("an idle client has %d bytes", each)
	}
}
