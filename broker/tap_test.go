package broker

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// fakeTap keeps what it gets until finish.
type fakeTap struct {
	mu       sync.Mutex
	readings []gateway.Reading
	dones    []func(error)
	atOnce   bool // done is called from within Append
}

func (f *fakeTap) Wants(topic string) bool { return strings.HasPrefix(topic, "up/") }

func (f *fakeTap) Append(rs []gateway.Reading, done func(error)) {
	f.mu.Lock()
	f.readings = append(f.readings, rs...)
	if !f.atOnce {
		f.dones = append(f.dones, done)
		done = nil
	}
	f.mu.Unlock()
	if done != nil {
		done(nil)
	}
}

// finish is the commit.
func (f *fakeTap) finish(err error) {
	f.mu.Lock()
	dones := f.dones
	f.dones = nil
	f.mu.Unlock()
	for _, done := range dones {
		if done != nil {
			done(err)
		}
	}
}

func bubbleTap(t *testing.T, test func(t *testing.T, b *Broker, tap *fakeTap)) {
	t.Helper()
	tap := &fakeTap{}
	bubbleWith(t, "pad-7", Options{}, tap, func(t *testing.T, b *Broker) { test(t, b, tap) })
}

func TestForwardedMessageIsAnsweredAfterTheCommit(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		stamp := gateway.Stamp{Boot: testBoot, At: 42}
		b.Now = func() gateway.Stamp { return stamp }
		p := enter(t, b, "a")
		p.send(pub(2, 1, "up/alarm", "1"), pub(2, 2, "other", "2"), pub(0, 0, "up/zero", "3"), pub(2, 3, "up/alarm", "4"))
		p.lives() // nothing is acknowledged, in order ([MQTT-4.6.0-2]), and the reader goes on
		tap.finish(nil)
		p.expect(ackPacket(typePuback, 1), ackPacket(typePuback, 2), ackPacket(typePuback, 3))
		var got []string
		for _, r := range tap.readings {
			topic, payload := r.Value.Message()
			got = append(got, topic+"="+payload)
			if r.Tag != gateway.Foreign || r.Quality != gateway.Good || r.Stamp != stamp {
				t.Errorf("%+v", r)
			}
		}
		if s := strings.Join(got, " "); s != "up/alarm=1 up/zero=3 up/alarm=4" {
			t.Errorf("the tap has %s", s)
		}
	})
}

func TestForwardedMessageAnsweredAtOnce(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		tap.atOnce = true
		p := enter(t, b, "a")
		p.send(pub(2, 1, "up/x", "1"), pub(4, 2, "up/x", "1"))
		p.expect(ackPacket(typePuback, 1), ackPacket(typePubrec, 2))
	})
}

func TestForwardedMessageThatCannotBeKept(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		for _, qos := range []byte{1, 2} {
			p := resume(t, b, "a", qos-1)
			p.send(pub(qos<<1, 1, "up/x", "1"))
			p.expect()
			tap.finish(errors.New("disk full"))
			p.ends()
			q.got()
			p = resume(t, b, "a", 1)
			p.send(pub(8|qos<<1, 1, "up/x", "1")) // so it comes again
			p.expect()
			tap.finish(nil)
			p.expect(ackPacket(3+qos, 1)) // PUBACK or PUBREC
			q.expect(pub(0, 0, "up/x", "1"))
			p.send(disconnect)
			p.ends()
		}
		if st := b.Stats(); st.TapErrors != 2 {
			t.Errorf("%d refusals of the tap", st.TapErrors)
		}
	})
}

// A QoS 2 message that comes again while the disk is busy is the same message.
func TestForwardedExactlyOnce(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := resume(t, b, "a", 0)
		p.send(pub(4, 1, "up/x", "1"))
		p.lives()
		p.nc.Close()
		p = resume(t, b, "a", 1)
		p.send(pub(8|4, 1, "up/x", "1"), pub(8|4, 1, "up/x", "1"), pub(2, 2, "a", ""))
		p.expect()
		q.expect(pub(0, 0, "a", ""))
		tap.finish(nil)
		p.expect(ackPacket(typePubrec, 1), ackPacket(typePubrec, 1), ackPacket(typePuback, 2))
		q.expect(pub(0, 0, "up/x", "1"))
		if len(tap.readings) != 1 {
			t.Errorf("the tap has it %d times", len(tap.readings))
		}
	})
}

// The client is away when its message is safe: nothing is lost, nobody minds.
func TestForwardedByClientThatLeft(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := join(t, b)
		p.send(connectFlags(connectClean|connectWill|1<<3, 0, "a", "up/will", "gone"), pub(4, 1, "up/x", "1"))
		p.expect(accepted)
		p.nc.Close()
		q.expect(pub(0, 0, "up/will", "gone"))
		tap.finish(nil)
		q.expect(pub(0, 0, "up/x", "1"))
		if len(tap.readings) != 2 { // the will goes up as well
			t.Errorf("the tap has %v", tap.readings)
		}
	})
}

func TestReservedIsNotForwarded(t *testing.T) {
	tap := &fakeTap{}
	bubbleWith(t, "up", Options{}, tap, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(2, 1, "up/separator/pressure", "1"))
		p.expect(ackPacket(typePuback, 1))
		if len(tap.readings) != 0 {
			t.Errorf("the tap has %v", tap.readings)
		}
	})
}

// A client that sends far more than the disk takes is not read from meanwhile;
// it is the only one.
func TestFloodWaitsForTheDisk(t *testing.T) {
	bubbleTap(t, func(t *testing.T, b *Broker, tap *fakeTap) {
		b.limits.unanswered = 10
		p := enter(t, b, "a")
		go func() {
			for i := range uint16(50) {
				p.send(pub(2, i+1, "up/x", ""))
			}
		}()
		synctest.Wait()
		if n := len(tap.readings); n != 11 {
			t.Errorf("%d were taken", n)
		}
		enter(t, b, "q").lives()
		for range 10 {
			tap.finish(nil)
			synctest.Wait()
		}
		if n := len(p.got()); n != 50*4 {
			t.Errorf("%d bytes of answers", n)
		}
		time.Sleep(time.Hour) // a stall is no silence
		p.lives()
	})
}
