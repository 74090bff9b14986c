package broker

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/gaugeway/gaugeway/gateway"
)

// What clients want written is told once: not again when it comes again, not
// when it is refused, and not when only a will says it.
func TestWritesAreTold(t *testing.T) {
	var told []string
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		b.Written = func(w Write) {
			name := "-"
			if w.Tag != nil {
				name = w.Tag.String()
			}
			told = append(told, fmt.Sprintf("%s %s %s by %s, again %t", w.Topic, name, w.Payload, w.Client, w.Again))
		}
		b.Append([]gateway.Reading{reading(pressure, 1, gateway.Int(1))}, nil)
		p := enter(t, b, "panel")
		p.send(pub(0, 0, "pad-7/separator/pressure/set", "1"))
		p.send(pub(2, 1, "pad-7/separator/pressure/set", "2"))
		p.expect(ackPacket(typePuback, 1))
		p.send(pub(flagDup|2, 1, "pad-7/separator/pressure/set", "2"))
		p.expect(ackPacket(typePuback, 1))
		p.send(pub(4, 2, "pad-7/separator/pressure/set", "3"), pub(flagDup|4, 2, "pad-7/separator/pressure/set", "3"))
		p.expect(ackPacket(typePubrec, 2), ackPacket(typePubrec, 2))
		p.send(pub(0, 0, "pad-7/no/tag/set", "4"), pub(0, 0, "pad-7/separator/pressure", "5"), pub(0, 0, "elsewhere/a/b/set", "6"))
		w := join(t, b)
		w.send(connectFlags(connectClean|connectWill, 0, "dying", "pad-7/separator/pressure/set", "7"))
		w.expect(accepted)
		w.nc.Close()
		synctest.Wait()
	})
	want := []string{
		"pad-7/separator/pressure separator/pressure 1 by panel, again false",
		"pad-7/separator/pressure separator/pressure 2 by panel, again false",
		"pad-7/separator/pressure separator/pressure 2 by panel, again true",
		"pad-7/separator/pressure separator/pressure 3 by panel, again false",
		"pad-7/no/tag - 4 by panel, again false",
	}
	if fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told\n%q\nwant\n%q", told, want)
	}
}

// What a server sends down reaches the site, and neither the gateway's own topics,
// nor a tag, nor the way up.
func TestBridge(t *testing.T) {
	tap := &fakeTap{}
	bubbleWith(t, "pad-7", Options{}, tap, func(t *testing.T, b *Broker) {
		b.Written = func(w Write) { t.Errorf("written: %+v", w) }
		p := enter(t, b, "a")
		p.subscribe("#", 1)
		for _, topic := range []string{"pad-7/_state", "pad-7/a/b", "pad-7/a/b/set", "$SYS/x", "a/+", "", "up/x", "recipes/1"} {
			b.Bridge(topic, []byte("x"), topic == "recipes/1")
		}
		p.expect(pub(2, 1, "up/x", "x"), pub(2, 2, "recipes/1", "x"))
		if len(tap.readings) != 0 {
			t.Errorf("%d go up again", len(tap.readings))
		}
		q := enter(t, b, "q")
		q.send(subscribePacket(1, "recipes/#", 0))
		q.expect(hx("90 03 00 01 00"), pub(1, 0, "recipes/1", "x"))
	})
}
