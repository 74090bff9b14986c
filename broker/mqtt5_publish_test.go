package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The statements of MQTT 5.0 on messages, subscriptions and their delivery
// that mqtt5_test.go does not show.

// A whole conversation, whose bytes are those of the specification.
func TestMQTT5_Conversation(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		all := append(connect5("a", connectClean, ""), hx("82 07 0007 00 0001 't' 02 c0 00")...)
		p.send(all)
		p.expect(accepted5(0), hx("90 04 0007 00 02"), hx("d0 00")) // [MQTT-3.2.0-1], [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-2.2.1-6]
		p.send(hx("30 05 0001 't' 00 'x'"))
		p.expect(hx("30 05 0001 't' 00 'x'")) // [MQTT-2.2.1-2], [MQTT-2.2.2-1], [MQTT-4.3.1-1], [MQTT-3.3.4-1]
		p.send(hx("32 07 0001 't' 0102 00 'y'"))
		p.expect(hx("40 02 0102"), hx("32 07 0001 't' 0001 00 'y'")) // [MQTT-4.3.2-4], [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-2.2.1-4], [MQTT-2.2.1-5]
		p.send(hx("34 07 0001 't' 0003 00 'z'"))
		p.expect(hx("50 02 0003"), hx("34 07 0001 't' 0002 00 'z'")) // [MQTT-4.3.3-8], [MQTT-4.3.3-1], [MQTT-4.3.3-2]
		p.send(hx("40 02 0001"), hx("50 02 0002"), hx("62 02 0003"))
		p.expect(hx("62 02 0002"), hx("70 02 0003")) // [MQTT-4.3.3-4], [MQTT-4.3.3-11], [MQTT-2.1.3-1]
		p.send(hx("70 04 0002 00 00"), hx("a2 06 0008 00 0001 't'"))
		p.expect(hx("b0 04 0008 00 00")) // [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.11.3-2], [MQTT-2.2.1-6]
		if n := b.Stats().Queued; n != 0 {
			t.Errorf("%d messages wait", n)
		}
	})
}

func TestMQTT5_DupAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		const stays = "11 0000003c"
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		p := enter5(t, b, connect5("a", 0, stays), 0)
		p.subscribe5("t", 2, "", 2)
		q.send(pub5(10, 1, "t", "", "1"), pub5(4, 2, "t", "02 00000005", "2"), pub5(4, 3, "t", "", "3"), pub5(2, 4, "t", "", "4"))
		q.expect(hx("40 02 0001"), hx("50 02 0002"), hx("50 02 0003"), hx("40 02 0004"))
		p.expect(pub5(2, 1, "t", "", "1"), pub5(4, 2, "t", "02 00000005", "2"), pub5(4, 3, "t", "", "3"), pub5(2, 4, "t", "", "4")) // [MQTT-3.3.1-3]
		p.send(hx("50 02 0003"))
		p.expect(hx("62 02 0003"))
		time.Sleep(10 * time.Second)
		p.expect() // [MQTT-4.4.0-1]: never while the connection lasts
		p.nc.Close()
		synctest.Wait()
		// [MQTT-3.3.1-1], [MQTT-4.6.0-1], [MQTT-4.3.2-3], [MQTT-4.3.3-3], [MQTT-4.3.3-5], [MQTT-4.3.3-6], and [MQTT-4.3.3-7] of the second
		p = join(t, b)
		p.send(connect5("a", 0, stays))
		p.expect(accepted5(1), pub5(10, 1, "t", "", "1"), pub5(12, 2, "t", "02 00000000", "2"), hx("62 02 0003"), pub5(10, 4, "t", "", "4"))
		p.send(hx("40 03 0001 80"), hx("50 03 0002 99"), hx("70 02 0003"), hx("40 02 0004")) // [MQTT-4.4.0-2]
		p.expect()
		p.send(hx("50 03 0002 99")) // a refusal again is not answered: [MQTT-4.3.3-4]
		p.expect()
		p.nc.Close()
		synctest.Wait()
		p = enter5(t, b, connect5("a", 0, stays), 1)
		p.lives()
	})
}

func TestMQTT5_ExactlyOnceIn(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		const stays = "11 0000003c"
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.subscribe5("t", 0, "", 0)
		p := enter5(t, b, connect5("a", 0, stays), 0)
		p.send(pub5(4, 1, "t", "", "1"), pub5(12, 1, "t", "", "1"))
		p.expect(hx("50 02 0001"), hx("50 02 0001"))
		p.nc.Close()
		synctest.Wait()
		p = enter5(t, b, connect5("a", 0, stays), 1)
		p.send(pub5(12, 1, "t", "", "1"), hx("62 02 0001"), hx("62 02 0001"))
		p.expect(hx("50 02 0001"), hx("70 02 0001"), hx("70 03 0001 92")) // [MQTT-4.3.3-11]
		q.expect(pub5(0, 0, "t", "", "1"))                                // [MQTT-4.3.3-10]
		p.send(pub5(12, 1, "t", "", "2"))                                 // [MQTT-4.3.3-12]
		p.expect(hx("50 02 0001"))
		q.expect(pub5(0, 0, "t", "", "2"))
		p.send(hx("62 02 0001"), pub5(2, 5, "t", "", "3"), pub5(10, 5, "t", "", "4")) // [MQTT-4.3.2-5]
		p.expect(hx("70 02 0001"), hx("40 02 0005"), hx("40 02 0005"))
		q.expect(pub5(0, 0, "t", "", "3"), pub5(0, 0, "t", "", "4"))
		p.send(pub5(4, 6, "pad-7/x", "", ""), pub5(4, 6, "t", "", "5")) // [MQTT-4.3.3-9]
		p.expect(hx("50 03 0006 87"), hx("50 02 0006"))                 // [MQTT-3.5.2-1]
		q.expect(pub5(0, 0, "t", "", "5"))
		p.send(pub5(4, 7, "t", "02 00000000", "over"), hx("62 02 0007")) // [MQTT-4.3.3-13]
		p.expect(hx("50 02 0007"), hx("70 02 0007"))
		q.expect()
	})
}

func TestMQTT5_Retain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		p.send(pub5(1, 0, "t", "", "1"), pub5(3, 1, "t", "01 01 26 0001 'a' 0001 'b'", "2"), pub5(0, 0, "t", "", "3")) // [MQTT-3.3.1-5], [MQTT-3.3.1-8]
		p.got()
		kept := func(qos byte, id uint16, ids string) []byte {
			return pub5(1|qos<<1, id, "t", ids+"01 01 26 0001 'a' 0001 'b'", "2")
		}
		q.send(sub5("t/#", 2, "0b 05"))                        // and its subscription identifier: [MQTT-3.3.4-3]
		q.expect(hx("90 04 0001 00 02"), kept(1, 1, "0b 05"))  // [MQTT-3.3.1-9], [MQTT-3.8.4-8]
		q.send(sub5("t/#", 0, ""))                             // again, as [MQTT-3.8.4-4] wants
		q.expect(hx("90 04 0001 00 00"), kept(0, 0, ""))       //
		q.send(sub5("$share/g/t", 0, ""), sub5("+", 0x20, "")) // never for shared ones (4.8.2)
		q.expect(hx("90 04 0001 00 00"), hx("90 04 0001 00 00"))
		p.send(pub5(1, 0, "t", "", "")) // [MQTT-3.3.1-6]
		if got, want := show(q.got()), show(append(pub5(0, 0, "t", "", ""), pub5(0, 0, "t", "", "")...)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.subscribe5("#", 0, "", 0) // [MQTT-3.3.1-7]
		if n := b.Stats().Retained; n != 0 {
			t.Errorf("%d are retained", n)
		}
	})
}

func TestMQTT5_PropertiesGoOnUnaltered(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, r := enter5(t, b, connect5("a", connectClean, ""), 0), enter5(t, b, connect5("r", connectClean, ""), 0)
		p.subscribe5("+/t", 0, "", 0)
		r.subscribe5("#", 0, "", 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		for _, props := range []string{
			"01 00", "01 01", // [MQTT-3.3.2-4]
			"08 0003 'a/b'",               // [MQTT-3.3.2-15], [MQTT-3.3.2-13]
			"09 0004 00ff8000", "09 0000", // [MQTT-3.3.2-16]
			"26 0001 'a' 0001 '1' 26 0001 'a' 0001 '1' 26 0000 0000", // [MQTT-3.3.2-17]: also twice the same, and empty
			"03 0004 'é/x'", "03 0000", // [MQTT-3.3.2-20], [MQTT-3.3.2-19]
		} {
			m := pub5(0, 0, "\uFEFFa/t", props, "x") // [MQTT-3.3.2-3], [MQTT-4.7.3-4], [MQTT-1.5.4-3]
			q.send(m)
			p.expect(m)
			r.expect(m)
		}
		q.send(pub5(0, 0, "t", "01 01", "\xff")) // whether the text is one is the receivers' business
		r.expect(pub5(0, 0, "t", "01 01", "\xff"))
		for _, bad := range []string{"\xff", "a\x00", "\xed\xa0\x80"} { // [MQTT-3.3.2-1], [MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-4.7.3-2]
			z := enter5(t, b, connect5("z", connectClean, ""), 0)
			z.send(pub5(0, 0, bad, "", ""))
			z.left(reasonMalformed)
		}
	})
}

func TestMQTT5_TopicAliasOfOneConnection(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.subscribe5("#", 0, "", 0)
		p := enter5(t, b, connect5("a", 0, "11 0000003c"), 0)
		for i := 1; i <= b.limits.aliases; i++ { // [MQTT-3.3.2-12]
			alias, topic := fmt.Sprintf("23 %04x", i), fmt.Sprint("t", i)
			p.send(pub5(0, 0, topic, alias, "x"), pub5(0, 0, "", alias, "y"))
			q.expect(pub5(0, 0, topic, "", "x"), pub5(0, 0, topic, "", "y"))
		}
		p.nc.Close()
		synctest.Wait()
		p = enter5(t, b, connect5("a", 0, "11 0000003c"), 1)
		p.send(pub5(0, 0, "", "23 0001", "x"))
		p.left(reasonProtocolError) // [MQTT-3.3.2-7]
		q.expect()
	})
}

func TestMQTT5_OverlappingSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.subscribe5("t/#", 0, "0b 01", 0)
		p.subscribe5("t/+", 2, "0b 02", 2)
		p.subscribe5("t/1", 1|4, "0b 03", 1)
		p.subscribe5("+/1", 1, "", 1)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(4, 1, "t/1", "", "x")) // [MQTT-3.3.4-2], [MQTT-3.3.4-4]
		got := string(p.got())
		for _, ids := range []string{"0b 01 0b 02 0b 03", "0b 01 0b 03 0b 02", "0b 02 0b 01 0b 03", "0b 02 0b 03 0b 01", "0b 03 0b 01 0b 02", "0b 03 0b 02 0b 01"} {
			if got == string(pub5(4, 1, "t/1", ids, "x")) {
				got = ""
			}
		}
		if got != "" {
			t.Errorf("got %s", show([]byte(got)))
		}
		p.send(hx("a2 08 0002 00 0003 't/#'"), hx("a2 08 0002 00 0003 't/+'"), hx("a2 08 0002 00 0003 '+/1'"))
		p.got()
		p.subscribe5("#", 0, "0b 09", 0)
		p.send(pub5(0, 0, "t/1", "", "own"))
		p.expect(pub5(0, 0, "t/1", "0b 09", "own")) // [MQTT-3.8.3-3]: only by the subscription that lets it
		p.subscribe5("#", 4, "", 0)
		p.send(pub5(2, 1, "t/1", "", "own"))
		p.expect(hx("40 03 0001 10"))
	})
}

func TestMQTT5_SubackAndUnsuback(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, []string{"a/#"}), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectFields5(connectClean|connectUser|connectPassword, 0, "a", "hmi", "secret"))
		p.expect(accepted5(0))
		p.send(hx("82 19 0005 00 0003 'a/1' 02 0001 'b' 01 0003 'a/2' 00 0003 'a/3' 01"))
		p.expect(hx("90 07 0005 00 02 87 00 01")) // [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2]
		p.send(hx("a2 12 0006 00 0003 'a/1' 0003 'a/+' 0003 'a/2'"))
		p.expect(hx("b0 06 0006 00 00 11 00")) // [MQTT-3.10.4-1], [MQTT-3.10.4-6], [MQTT-3.11.3-1]
		p.send(pub5(0, 0, "a/1", "", "x"), pub5(0, 0, "a/3", "", "y"))
		p.expect(pub5(0, 0, "a/3", "", "y")) // [MQTT-3.10.4-2]
	})
}

func TestMQTT5_SubscribeAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, "21 0001"), 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		p.subscribe5("t", 2, "0b 01", 2)
		q.send(pub5(2, 1, "t", "", "1"), pub5(2, 2, "t", "", "2"))
		p.expect(pub5(2, 1, "t", "0b 01", "1"))
		p.subscribe5("t", 0, "0b 02", 0) // [MQTT-3.8.4-3]
		q.send(pub5(2, 3, "t", "", "3"))
		p.expect(pub5(0, 0, "t", "0b 02", "3")) // QoS 0 need not wait for the window
		p.send(hx("a2 06 0002 00 0001 't'"))
		p.expect(hx("b0 04 0002 00 00"))
		p.send(hx("40 02 0001"))
		p.expect(pub5(2, 2, "t", "0b 01", "2")) // [MQTT-3.8.4-4], [MQTT-3.10.4-3]: nothing is lost
	})
}

func TestMQTT5_QoSIsTheLower(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		for asked := range byte(3) {
			for sent := range byte(3) {
				p := enter5(t, b, connect5("a", connectClean, ""), 0)
				p.subscribe5("t", asked, "", asked)
				q.send(pub5(sent<<1, 1, "t", "", "x"), hx("62 02 0001"))
				p.expect(pub5(min(asked, sent)<<1, 1, "t", "", "x")) // [MQTT-3.8.4-8], [MQTT-3.8.4-7]
			}
		}
	})
}

func TestMQTT5_FullWindowHoldsOnlyPublish(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", 0, "11 0000003c 21 0001"), 0)
		p.subscribe5("t", 2, "", 2)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(4, 1, "t", "", "1"), pub5(4, 2, "t", "", "2"), pub5(2, 3, "t", "", "3"))
		q.got()
		p.expect(pub5(4, 1, "t", "", "1")) // [MQTT-4.9.0-1], [MQTT-4.9.0-2]
		p.lives()                          // [MQTT-4.9.0-3], [MQTT-3.3.4-10]
		p.send(pub5(2, 1, "u", "", ""), pub5(4, 2, "u", "", ""))
		p.expect(hx("40 03 0001 10"), hx("50 03 0002 10"))
		p.send(hx("50 02 0001"))
		p.expect(hx("62 02 0001")) // still on its way until PUBCOMP
		p.send(hx("70 02 0001"))
		p.expect(pub5(4, 2, "t", "", "2"))
		p.send(hx("50 03 0002 80"))
		p.expect(pub5(2, 3, "t", "", "3"))
	})
}

func TestMQTT5_Order(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, q := enter5(t, b, connect5("a", connectClean, ""), 0), enter5(t, b, connect5("q", connectClean, ""), 0)
		p.subscribe5("#", 2, "", 2)
		var send, come, acks, recs, rels [][]byte
		for i := range byte(30) {
			id, qos, payload := uint16(i)+1, 1+i%2, string('A'+rune(i))
			send, come = append(send, pub5(qos<<1, id, "t", "", payload)), append(come, pub5(qos<<1, id, "t", "", payload))
			acks = append(acks, ackPacket(typePuback+i%2, id)) // [MQTT-4.6.0-2], [MQTT-4.6.0-3]
			if qos == 2 {
				recs, rels = append(recs, ackPacket(typePubrec, id)), append(rels, ackPacket(typePubrel, id)) // [MQTT-4.6.0-4]
			}
		}
		q.send(send...)
		q.expect(acks...)
		p.expect(come...) // [MQTT-4.6.0-5], [MQTT-4.6.0-6]
		p.send(recs...)
		p.expect(rels...)
	})
}

func TestMQTT5_Dollar(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.subscribe5("#", 0, "", 0)
		p.subscribe5("+/x", 0, "", 0)
		p.subscribe5("$share/g/#", 0, "", 0)
		b.Publish("$SYS/x", []byte("1"), true)
		p.expect() // [MQTT-4.7.2-1]
		p.subscribe5("+/+", 0, "", 0)
		p.send(sub5("$SYS/+", 0, ""))
		p.expect(hx("90 04 0001 00 00"), pub5(1, 0, "$SYS/x", "", "1"))
		p.send(pub5(2, 1, "$SYS/x", "", "2"))
		p.expect(hx("40 03 0001 87")) // [MQTT-3.4.2-1]
	})
}

func TestMQTT5_SharedDelivery(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		const stays = "11 0000003c"
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		p := enter5(t, b, connect5("a", 0, stays), 0)
		p.subscribe5("$share/g/t", 1, "0b 07", 1) // and with its identifier
		q.send(pub5(4, 1, "t", "", "1"))
		q.expect(hx("50 02 0001"))
		p.expect(pub5(2, 1, "t", "0b 07", "1")) // [MQTT-4.8.2-3]
		p.nc.Close()
		synctest.Wait()
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.subscribe5("$share/g/t", 1, "", 1)
		p = join(t, b)
		p.send(connect5("a", 0, stays))
		p.expect(accepted5(1), pub5(10, 1, "t", "0b 07", "1")) // [MQTT-4.8.2-4]
		p.send(hx("40 03 0001 97"))
		r.expect() // [MQTT-4.8.2-6]
		q.send(pub5(2, 1, "t", "", "2"), pub5(2, 2, "t", "", "3"))
		q.got()
		p.got()
		r.got()
		p.send(disconnect)
		time.Sleep(time.Hour)
		r.expect() // [MQTT-4.8.2-5]
	})
}
