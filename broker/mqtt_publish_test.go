package broker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

func TestMQTT_3_3_1_1_DupOnlyWhenSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := resume(t, b, "a", 0)
		p.subscribe("t", 2)
		q := enter(t, b, "q")
		q.send(pub(8|2, 1, "t", "1"), pub(4, 2, "t", "2")) // [MQTT-3.3.1-3]: DUP of the publisher is not passed on
		p.expect(pub(2, 1, "t", "1"), pub(4, 2, "t", "2"))
		p.nc.Close()
		p = resume(t, b, "a", 1)
		p.expect(pub(8|2, 1, "t", "1"), pub(8|4, 2, "t", "2")) // [MQTT-4.4.0-1], [MQTT-4.6.0-1]
	})
}

func TestQueuedMessageFirstGoesWithoutDup(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		p.nc.Close()
		q := enter(t, b, "q")
		q.send(pub(2, 1, "t", "1"))
		q.expect(ackPacket(typePuback, 1))
		p = resume(t, b, "a", 1)
		p.expect(pub(2, 1, "t", "1"))
	})
}

func TestMQTT_3_3_1_2_DupWithQoS0(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(8, 0, "t", ""))
		p.ends()
	})
}

func TestMQTT_3_3_1_4_QoS3(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(hx("36 05 00 01 't' 00 01"))
		p.ends()
	})
}

func TestMQTT_3_3_1_5_Retain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(3, 1, "t", "1"), pub(1, 0, "t", "2"), pub(1, 0, "u", "3"), pub(0, 0, "u", "4")) // [MQTT-3.3.1-7], [MQTT-3.3.1-12]
		p.expect(ackPacket(typePuback, 1))
		p.send(subscribePacket(2, "+", 1))
		p.expect(hx("90 03 00 02 01"), pub(1, 0, "t", "2"), pub(1, 0, "u", "3")) // [MQTT-3.3.1-6], [MQTT-3.3.1-8]
		p.send(pub(1, 0, "t", "5"))
		p.expect(pub(0, 0, "t", "5")) // [MQTT-3.3.1-9]
		p.send(pub(1, 0, "t", ""))
		p.expect(pub(0, 0, "t", "")) // [MQTT-3.3.1-10]
		p.send(subscribePacket(3, "t", 1))
		p.expect(hx("90 03 00 03 01")) // [MQTT-3.3.1-11]
		if st := b.Stats(); st.Retained != 1 {
			t.Errorf("%d are retained", st.Retained)
		}
	})
}

func TestMQTT_3_3_2_2_NoWildcardsInTopics(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, topic := range []string{"a/+", "#", "a+b", ""} { // [MQTT-4.7.1-1], [MQTT-4.7.3-1]
			p := enter(t, b, "a")
			p.send(pub(0, 0, topic, ""))
			p.ends()
		}
	})
}

func TestMQTT_3_3_4_1_PublishIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(0, 0, "t", ""))
		p.expect()
		p.send(pub(2, 258, "t", "")) // [MQTT-2.3.1-6]
		p.expect(hx("40 02 01 02"))
		p.send(pub(4, 259, "t", ""))
		p.expect(hx("50 02 01 03"))
		p.send(ackPacket(typePubrel, 259))
		p.expect(hx("70 02 01 03"))
	})
}

func TestMQTT_3_3_5_1_OverlappingFilters(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t/#", 0)
		p.subscribe("t/+", 2)
		p.subscribe("t/1", 1)
		q := enter(t, b, "q")
		q.send(pub(4, 1, "t/1", "x"), ackPacket(typePubrel, 1))
		p.expect(pub(4, 1, "t/1", "x")) // once, with the highest QoS
	})
}

func TestMQTT_3_3_5_2_RefusedPublishIsAnswered(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("#", 0)
		p.subscribe("$SYS/#", 0)
		p.send(pub(2, 1, "pad-7/separator/pressure", "99"), pub(4, 2, "pad-7/_state", "x"), pub(3, 3, "$SYS/broker/uptime", "x"))
		p.expect(ackPacket(typePuback, 1), ackPacket(typePubrec, 2), ackPacket(typePuback, 3))
		p.send(pub(0, 0, "pad-7/separator/pressure/_alarm", "x"), pub(2, 4, "pad-70/x", "y"))
		p.expect(ackPacket(typePuback, 4), pub(0, 0, "pad-70/x", "y"))
		if st := b.Stats(); st.Refused != 4 || st.Retained != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestMQTT_3_6_1_1_PubrelIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(ackPacket(typePubrel, 5)) // of a message nobody knows
		p.expect(hx("70 02 00 05"))
	})
}

func TestMQTT_3_8_1_1_Subscribe(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range []string{
			"82 02 00 01",                         // [MQTT-3.8.3-3]: no filter
			"82 06 00 01 00 01 'a' 03",            // [MQTT-3-8.3-4]: QoS 3
			"82 06 00 01 00 01 'a' 04",            // reserved bits
			"82 05 00 01 00 01 'a'",               // no QoS
			"82 06 00 01 00 00 00 01",             // the truncated one that kills another broker
			"82 08 00 01 00 03 'a/b' ff", "82 00", //
			"82 08 00 01 00 03 'a#b' 00",                // [MQTT-4.7.1-2]
			"82 0a 00 01 00 05 '#/a/b' 00",              //
			"82 08 00 01 00 03 'a+b' 00",                // [MQTT-4.7.1-3]
			"82 05 00 01 00 00 00", "a2 04 00 01 00 00", // [MQTT-4.7.3-1]
			"a2 02 00 01",    // [MQTT-3.10.3-2]
			"a2 04 00 01 00", // cut short
		} {
			p := enter(t, b, "a")
			p.send(hx(bad))
			if bad == "a2 04 00 01 00" {
				p.nc.Close()
				synctest.Wait()
				continue
			}
			p.ends()
		}
	})
}

func TestMQTT_3_8_4_Suback(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(hx("82 13 01 02 00 01 'a' 00 00 01 'b' 02 00 06 '$share' 01"))
		p.expect(hx("90 05 01 02 00 02 01")) // [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5]
	})
}

func TestMQTT_3_8_4_3_SubscribeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t", 0)
		p.send(pub(1, 0, "t", "1"))
		p.expect(pub(0, 0, "t", "1"))
		p.send(subscribePacket(2, "t", 1))
		p.expect(hx("90 03 00 02 01"), pub(1, 0, "t", "1"))
		q := enter(t, b, "q")
		q.send(pub(2, 1, "t", "2"))
		p.expect(pub(2, 1, "t", "2"))
	})
}

func TestMQTT_3_8_4_6_QoSIsTheLower(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		for asked := range byte(3) {
			for sent := range byte(3) {
				p := enter(t, b, "a")
				p.subscribe("t", asked)
				q.send(pub(sent<<1, 1, "t", "x"), ackPacket(typePubrel, 1))
				p.expect(pub(min(asked, sent)<<1, 1, "t", "x"))
			}
		}
	})
}

func TestMQTT_3_10_4_Unsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t/+", 1)
		p.send(unsubscribePacket(2, "t/1")) // [MQTT-3.10.4-1]: compared as text, and [MQTT-3.10.4-5]
		p.expect(hx("b0 02 00 02"))
		p.send(pub(0, 0, "t/1", "x"))
		p.expect(pub(0, 0, "t/1", "x"))
		p.send(unsubscribePacket(3, "t/+")) // [MQTT-3.10.4-2], [MQTT-3.10.4-4]
		p.expect(hx("b0 02 00 03"))
		p.send(pub(0, 0, "t/1", "x"))
		p.lives()
		if b.subs.nodes != 0 {
			t.Errorf("%d nodes are left", b.subs.nodes)
		}
	})
}

func TestMQTT_4_3_3_2_ExactlyOnceIn(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("t", 0)
		p := resume(t, b, "a", 0)
		p.send(pub(4, 1, "t", "1"))
		p.expect(ackPacket(typePubrec, 1))
		p.nc.Close()
		p = resume(t, b, "a", 1)
		p.send(pub(8|4, 1, "t", "1")) // the PUBREC was lost
		p.expect(ackPacket(typePubrec, 1))
		p.send(ackPacket(typePubrel, 1))
		p.expect(ackPacket(typePubcomp, 1))
		q.expect(pub(0, 0, "t", "1"))
		p.send(pub(4, 1, "t", "2")) // the identifier is free again
		p.expect(ackPacket(typePubrec, 1))
		q.expect(pub(0, 0, "t", "2"))
	})
}

func TestMQTT_4_3_3_1_ExactlyOnceOut(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		p := resume(t, b, "a", 0)
		p.subscribe("t", 2)
		for i := range uint16(3) {
			q.send(pub(4, i+1, "t", fmt.Sprint(i)), ackPacket(typePubrel, i+1))
		}
		p.expect(pub(4, 1, "t", "0"), pub(4, 2, "t", "1"), pub(4, 3, "t", "2"))
		p.send(ackPacket(typePubrec, 1), ackPacket(typePubrec, 2))
		p.expect(ackPacket(typePubrel, 1), ackPacket(typePubrel, 2)) // [MQTT-4.6.0-4]
		p.nc.Close()
		p = resume(t, b, "a", 1)
		p.expect(ackPacket(typePubrel, 1), ackPacket(typePubrel, 2), pub(8|4, 3, "t", "2"))
		p.send(ackPacket(typePubcomp, 1), ackPacket(typePubcomp, 2), ackPacket(typePubrec, 3), ackPacket(typePubcomp, 3))
		p.expect(ackPacket(typePubrel, 3))
		p.nc.Close()
		resume(t, b, "a", 1).lives()
		if st := b.Stats(); st.Queued != 0 || st.QueuedBytes != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestAcknowledgementOfAnotherQoSCloses(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		for _, c := range []struct{ qos, kind byte }{{1, typePubrec}, {1, typePubcomp}, {2, typePuback}, {2, typePubcomp}} {
			p := enter(t, b, "a")
			p.subscribe("t", c.qos)
			q.send(pub(c.qos<<1, 1, "t", ""), ackPacket(typePubrel, 1))
			p.expect(pub(c.qos<<1, 1, "t", ""))
			p.send(ackPacket(c.kind, 1))
			p.ends()
		}
		p := enter(t, b, "a")
		p.send(ackPacket(typePuback, 77), ackPacket(typePubcomp, 77), ackPacket(typePubrec, 77)) // of an older connection
		p.expect(ackPacket(typePubrel, 77))
	})
}

func TestMQTT_4_6_0_6_Order(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t", 2)
		q := enter(t, b, "q")
		var want [][]byte
		for i := range uint16(30) {
			qos := byte(i % 3)
			q.send(pub(qos<<1, i+1, "t", fmt.Sprint(i)))
		}
		id := uint16(0)
		for i := range uint16(30) {
			qos := byte(i % 3)
			if qos > 0 {
				id++
			}
			want = append(want, pub(qos<<1, id, "t", fmt.Sprint(i)))
		}
		p.expect(want...)
	})
}

func TestMQTT_4_7_1_2_Wildcards(t *testing.T) {
	topics := []string{"sport", "sport/tennis", "sport/tennis/player1", "sport/", "/finance", "finance", "/", "$SYS", "$SYS/x", "$other/monitor", "+x"[1:]}
	filters := []string{"sport/#", "#", "+", "+/+", "/+", "sport/+", "sport/tennis/#", "+/tennis/#", "$SYS/#", "$SYS/+", "+/monitor", "$other/monitor", "sport/+/player1", "//", "+/#", "/#", "sport"}
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		for _, filter := range filters {
			p.subscribe(filter, 0)
			var live, kept [][]byte
			for _, topic := range topics {
				b.Publish(topic, []byte("x"), true)
				if match(filter, topic) {
					live = append(live, pub(0, 0, topic, "x"))
				}
			}
			p.expect(live...)
			p.send(subscribePacket(1, filter, 0))
			got := string(p.got())
			for _, topic := range topics {
				if match(filter, topic) {
					kept = append(kept, pub(1, 0, topic, "x"))
					if !strings.Contains(got, string(pub(1, 0, topic, "x"))) {
						t.Errorf("%s does not find %s retained", filter, topic)
					}
				}
				b.Publish(topic, nil, true)
			}
			n := 5
			for _, k := range kept {
				n += len(k)
			}
			if len(got) != n {
				t.Errorf("%s finds too much retained: %q", filter, got)
			}
			p.send(unsubscribePacket(1, filter))
			p.got()
		}
		if b.retained.topics.nodes != 0 || b.retained.count != 0 || b.retained.bytes != 0 {
			t.Errorf("left over: %+v", b.retained)
		}
	})
}

// match is section 4.7 again, written another way.
func match(filter, topic string) bool {
	f, tp := strings.Split(filter, "/"), strings.Split(topic, "/")
	if topic[0] == '$' && (f[0] == "#" || f[0] == "+") {
		return false
	}
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(tp), level != "+" && level != tp[i]:
			return false
		}
	}
	return len(f) == len(tp)
}

func TestMQTT_2_3_1_IdentifiersPerSessionAndDirection(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		for i := range uint16(3) { // 1 to 3 are outstanding to the client
			q.send(pub(2, i+1, "t", fmt.Sprint(i)))
		}
		p.expect(pub(2, 1, "t", "0"), pub(2, 2, "t", "1"), pub(2, 3, "t", "2"))
		for i := range uint16(3) { // and it uses the same
			p.send(pub(2, i+1, "u", ""))
		}
		p.expect(ackPacket(typePuback, 1), ackPacket(typePuback, 2), ackPacket(typePuback, 3))
		p.nc.Close()
		p = resume(t, b, "a", 1)
		p.expect(pub(8|2, 1, "t", "0"), pub(8|2, 2, "t", "1"), pub(8|2, 3, "t", "2"))
		p.subscribe("v", 1) // with identifier 1
	})
}

func TestMQTT_2_3_1_4_IdentifiersWrapAround(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		p := enter(t, b, "a")
		p.subscribe("t", 1)
		q.send(pub(2, 1, "t", "held")) // its acknowledgement never comes
		p.expect(pub(2, 1, "t", "held"))
		b.mu.Lock()
		b.sessions["a"].nextID = 65534
		b.mu.Unlock()
		q.send(pub(2, 1, "t", "x"), pub(2, 1, "t", "y"))
		p.expect(pub(2, 65535, "t", "x"), pub(2, 2, "t", "y"))
	})
}
