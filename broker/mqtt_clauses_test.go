package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// The statements of 3.1.1 that mqtt_connect_test.go and mqtt_publish_test.go
// do not show.

// A whole conversation, whose bytes are those of the specification.
func TestMQTT_2_2_2_1_FlagsOfTheServer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(hx("10 0d 0004 'MQTT' 04 02 0000 0001 'a'"))
		p.expect(hx("20 02 00 00")) // [MQTT-3.1.4-4], [MQTT-3.2.2-1]
		p.send(hx("82 06 0007 0001 't' 02"))
		p.expect(hx("90 03 0007 02")) // [MQTT-2.3.1-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2]
		p.send(hx("34 06 0001 't' 0003 'x'"))
		p.expect(hx("50 02 0003"), hx("34 06 0001 't' 0001 'x'")) // [MQTT-4.3.1-1] has QoS 0, this 2; [MQTT-3.3.2-1], [MQTT-2.3.1-4]
		p.send(hx("62 02 0003"), hx("50 02 0001"))
		p.expect(hx("70 02 0003"), hx("62 02 0001")) // [MQTT-2.3.1-6]
		p.send(hx("70 02 0001"), hx("a2 05 0008 0001 't'"))
		p.expect(hx("b0 02 0008")) // [MQTT-2.3.1-7], [MQTT-3.10.4-4]
		p.send(hx("c0 00"))
		p.expect(hx("d0 00"))
	})
}

func TestMQTT_2_3_1_5_QoS0HasNoIdentifier(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("t", 0)
		p.send(hx("30 04 0001 't' 'x'"))
		p.expect(hx("30 04 0001 't' 'x'")) // [MQTT-4.3.1-1]
	})
}

func TestMQTT_3_1_2_12_NoWill(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := enter(t, b, "a")
		p.nc.Close()
		q.lives()
	})
}

func TestMQTT_3_1_3_1_FieldsInOrder(t *testing.T) {
	const flags = connectClean | connectWill | connectUser | connectPassword
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		q := join(t, b)
		q.send(connectFlags(connectClean|connectUser|connectPassword, 0, "q", "hmi", "secret"))
		q.expect(accepted)
		q.subscribe("will", 0)
		p := join(t, b)
		p.send(connectFlags(flags, 0, "a", "will", "gone", "hmi", "secret")) // [MQTT-3.1.3-3], [MQTT-3.1.2-20]
		p.expect(accepted)
		p.nc.Close()
		q.expect(pub(0, 0, "will", "gone"))
		p = join(t, b)
		p.send(connectFlags(connectClean|connectUser, 0, "a", "hmi", "secret")) // [MQTT-3.1.2-20]: a password that no flag announces
		p.ends()
		p = join(t, b)
		p.send(connectFlags(connectClean|connectUser|connectPassword, 0, "a", "hmi")) // [MQTT-3.1.2-21]
		p.ends()                                                                      // [MQTT-3.1.4-1]: and no CONNACK
		p = join(t, b)
		p.send(hx("10 0a 0004 'MQTT' 04 02 0000")) // no identifier at all: [MQTT-3.1.3-3]
		p.ends()
	})
}

func TestMQTT_3_1_3_4_TextsOfConnectAreUTF8(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range [][]byte{
			connectFlags(connectClean, 0, "\xff"),
			connectFlags(connectClean|connectWill, 0, "a", "\xff", ""),           // [MQTT-3.1.3-10]
			connectFlags(connectClean|connectWill, 0, "a", "a\x00", ""),          // [MQTT-4.7.3-2]
			connectFlags(connectClean|connectUser, 0, "a", "\xed\xa0\x80"),       // [MQTT-3.1.3-11]
			connectFlags(connectClean|connectUser, 0, "a", "name\x00with a NUL"), //
		} {
			p := join(t, b)
			p.send(bad)
			p.ends() // [MQTT-3.1.4-1], [MQTT-3.2.2-6]: no return code fits, so there is no CONNACK
		}
	})
}

func TestMQTT_3_2_2_1_SessionPresent(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		resume(t, b, "a", 0).nc.Close() // [MQTT-3.2.2-3]
		synctest.Wait()
		p := resume(t, b, "a", 1) // [MQTT-3.2.2-2], [MQTT-3.1.3-2]
		resume(t, b, "b", 0)      // another identifier is another session
		p.nc.Close()
		synctest.Wait()
		enter(t, b, "a") // [MQTT-3.2.2-1], [MQTT-3.1.4-3]
	})
}

func TestMQTT_3_2_2_5_RefusalCloses(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		refused := connectFlags(connectClean|connectUser|connectPassword, 0, "a", "hmi", "wrong")
		p.send(append(refused, pub(1, 0, "t", "x")...)) // [MQTT-3.1.4-5]: what follows is not looked at
		synctest.Wait()
		time.Sleep(loginDelay)
		p.ends(hx("20 02 00 05"))
		if st := b.Stats(); st.Retained != 0 || st.MessagesIn != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestMQTT_3_3_2_3_TopicAsPublished(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, q := enter(t, b, "a"), enter(t, b, "q")
		p.subscribe("+/é", 0)
		for _, topic := range []string{"a/é", "a/e\u0301", "A/é", " a/é", "a/É", "\U000F0000/é"} { // [MQTT-4.7.3-4]: no two are the same
			q.send(pub(0, 0, topic, topic))
		}
		p.expect(pub(0, 0, "a/é", "a/é"), pub(0, 0, "A/é", "A/é"), pub(0, 0, " a/é", " a/é"), pub(0, 0, "\U000F0000/é", "\U000F0000/é"))
	})
}

func TestMQTT_3_8_3_1_FiltersAreUTF8(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range []string{
			"82 07 0001 0002 c080 00",
			"a2 06 0001 0002 c080",  // [MQTT-3.10.3-1]
			"82 06 0001 0001 00 00", // [MQTT-4.7.3-2]
			"a0 05 0001 0001 'a'",   // [MQTT-3.10.1-1]
		} {
			p := enter(t, b, "a")
			p.send(hx(bad))
			p.ends() // [MQTT-4.8.0-1]
		}
		p := enter(t, b, "a")
		p.subscribe("+/#", 0) // [MQTT-3.8.3-2]: wildcards are understood
		p.send(pub(0, 0, "x/y", "1"))
		p.expect(pub(0, 0, "x/y", "1"))
	})
}

func TestMQTT_3_8_4_4_SeveralFilters(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(1, 0, "a", "ra"), pub(1, 0, "b", "rb"))
		p.send(hx("82 0e 0001 0001 'b' 02 0001 'a' 00 0001 'c' 01"))
		p.expect(hx("90 05 0001 02 00 01"), pub(1, 0, "b", "rb"), pub(1, 0, "a", "ra")) // [MQTT-3.9.3-1]
		p.send(hx("a2 08 0002 0001 'a' 0001 'b'"))                                      // [MQTT-3.10.4-6]
		p.expect(hx("b0 02 0002"))
		p.send(pub(0, 0, "a", "x"), pub(0, 0, "b", "x"), pub(0, 0, "c", "x"))
		p.expect(pub(0, 0, "c", "x"))
	})
}

func TestMQTT_3_10_4_3_WhatHasBegunIsFinished(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		p := resume(t, b, "a", 0)
		p.subscribe("t", 2)
		q.send(pub(2, 1, "t", "1"), pub(4, 2, "t", "2"))
		p.expect(pub(2, 1, "t", "1"), pub(4, 2, "t", "2")) // [MQTT-4.3.2-1], [MQTT-4.3.3-1]
		p.send(unsubscribePacket(5, "t"))
		p.expect(hx("b0 02 0005"))
		p.nc.Close()
		p = resume(t, b, "a", 1)                             // [MQTT-4.1.0-1]: no session is lost with its connection
		p.expect(pub(10, 1, "t", "1"), pub(12, 2, "t", "2")) // also across connections
		p.send(hx("40 02 0001"), hx("50 02 0002"))
		p.expect(hx("62 02 0002"))
		p.send(hx("70 02 0002"), disconnect)
		p.ends()
		resume(t, b, "a", 1).lives()
	})
}

func TestMQTT_4_1_0_1_SessionIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		time.Sleep(1000 * time.Hour)
		q.send(pub(2, 1, "t", "1")) // [MQTT-4.5.0-1]
		p.expect(pub(2, 1, "t", "1"))
		p.send(hx("40 02 0001"))
		p.nc.Close()
		time.Sleep(1000 * time.Hour)
		q.send(pub(2, 2, "t", "2"))
		resume(t, b, "a", 1).expect(pub(2, 2, "t", "2")) // [MQTT-4.1.0-2]: nor by time
	})
}

func TestMQTT_4_3_2_2_SameIdentifierIsANewMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, q := enter(t, b, "a"), enter(t, b, "q")
		q.subscribe("t", 0)
		p.send(pub(2, 1, "t", "1"), pub(8|2, 1, "t", "2"))
		p.expect(hx("40 02 0001"), hx("40 02 0001"))
		q.expect(pub(0, 0, "t", "1"), pub(0, 0, "t", "2"))
	})
}

func TestMQTT_4_6_0_5_OrderOfSeveralSubscribers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, r, q := enter(t, b, "a"), enter(t, b, "r"), enter(t, b, "q")
		p.subscribe("#", 1)
		r.subscribe("+", 2)
		for i := range byte(20) {
			q.send(pub(2+i%2*2, uint16(i)+1, "t", string('a'+rune(i))))
		}
		var forP, forR, acks [][]byte
		for i := range byte(20) {
			id, payload := uint16(i)+1, string('a'+rune(i))
			forP, forR = append(forP, pub(2, id, "t", payload)), append(forR, pub(2+i%2*2, id, "t", payload))
			acks = append(acks, ackPacket(typePuback+i%2, id)) // [MQTT-4.6.0-2], [MQTT-4.6.0-3]
		}
		p.expect(forP...)
		r.expect(forR...)
		q.expect(acks...)
	})
}

func TestMQTT_4_7_2_1_Dollar(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("#", 0)
		p.subscribe("+/x", 0)
		b.Publish("$SYS/x", []byte("1"), true)
		p.expect()
		p.send(subscribePacket(1, "#", 0), subscribePacket(1, "+/x", 0)) // nor what is retained
		p.expect(hx("90 03 0001 00"), hx("90 03 0001 00"))
		p.send(subscribePacket(1, "$SYS/#", 0))
		p.expect(hx("90 03 0001 00"), pub(1, 0, "$SYS/x", "1"))
	})
}
