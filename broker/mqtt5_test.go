package broker

import (
	"encoding/hex"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// accepted5 is the CONNACK of MQTT 5 to a client with an identifier: receive
// maximum 1000, maximum packet size 1 MB and a header, 32 topic aliases.
func accepted5(present int) []byte {
	return hx(fmt.Sprintf("20 0e %02x 00 0b 21 03e8 27 00100005 22 0020", present))
}

// connect5 is a CONNECT of MQTT 5 with keepalive 0 and properties in hexadecimal.
func connect5(id string, flags byte, properties string) []byte {
	p := hx(properties)
	body := append(hx("0004 'MQTT' 05"), flags, 0, 0)
	body = appendText(append(appendVarint(body, len(p)), p...), id)
	return append(appendHeader(nil, typeConnect<<4, len(body)), body...)
}

// withWill adds a will to a CONNECT of MQTT 5.
func withWill(id string, flags byte, properties, will string) []byte {
	p, w := hx(properties), hx(will)
	body := append(hx("0004 'MQTT' 05"), flags|connectWill, 0, 0)
	body = appendText(append(appendVarint(body, len(p)), p...), id)
	body = append(appendVarint(body, len(w)), w...)
	body = appendText(appendText(body, "will"), "gone")
	return append(appendHeader(nil, typeConnect<<4, len(body)), body...)
}

func enter5(t *testing.T, b *Broker, packet []byte, present int) *peer {
	t.Helper()
	p := join(t, b)
	p.send(packet)
	p.expect(accepted5(present))
	return p
}

// pub5 is a PUBLISH of MQTT 5 with properties in hexadecimal.
func pub5(flags byte, id uint16, topic, properties, payload string) []byte {
	p := hx(properties)
	body := appendText(nil, topic)
	if flags>>1&3 > 0 {
		body = append(body, byte(id>>8), byte(id))
	}
	body = append(appendVarint(body, len(p)), p...)
	body = append(body, payload...)
	return append(appendHeader(nil, typePublish<<4|flags, len(body)), body...)
}

// sub5 is a SUBSCRIBE of MQTT 5 with id 1.
func sub5(filter string, options byte, properties string) []byte {
	p := hx(properties)
	body := append(appendVarint([]byte{0, 1}, len(p)), p...)
	body = append(appendText(body, filter), options)
	return append(appendHeader(nil, typeSubscribe<<4|2, len(body)), body...)
}

// subscribe5 subscribes and wants the code.
func (p *peer) subscribe5(filter string, options byte, properties string, code byte) {
	p.t.Helper()
	p.send(sub5(filter, options, properties))
	p.expect([]byte{0x90, 4, 0, 1, 0, code})
}

// left wants the connection to be closed after a DISCONNECT with this reason.
func (p *peer) left(code reason) {
	p.t.Helper()
	got := p.got()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(got) < 3 || got[0] != typeDisconnect<<4 || reason(got[2]) != code || !p.closed {
		p.t.Fatalf("%s, closed %t; want a DISCONNECT with %#x", show(got), p.closed, code)
	}
}

func TestMQTT5_3_2_2_Connack(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		enter5(t, b, connect5("a", connectClean, ""), 0)
		p := join(t, b) // [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]: an identifier is assigned, and told
		p.send(connect5("", 0, ""))
		if got := p.got(); len(got) < 40 || got[3] != 0 || got[5] != byte(propAssignedID) || string(got[8:13]) != "auto-" {
			t.Errorf("CONNACK %s", show(got))
		}
		p = join(t, b) // [MQTT-4.12.0-1]: no authentication method is known
		p.send(connect5("b", connectClean, "15 0003 'abc'"))
		if got := p.got(); len(got) < 4 || got[0] != 0x20 || reason(got[3]) != reasonAuthMethod {
			t.Errorf("CONNACK %s", show(got))
		}
		for _, bad := range []string{
			"21 0000",                 // receive maximum 0
			"27 00000000",             // maximum packet size 0
			"21 0001 21 0001",         // twice
			"19 02",                   // neither 0 nor 1
			"01 00",                   // of another packet
			"7f",                      // of none
			"16 0001 00",              // authentication data without a method
			"11 0000",                 // cut short
			"26 0001 'a' 0002 ff fe",  // no UTF-8
			"11 00000000 11 00000000", // twice
			"22 00",                   // cut short
			"26 0001 'a' 0001 00",     // NUL in a text
			"17 01 17 01",             // twice
			"15 0001 'a' 15 0001 'a'", // twice
		} {
			p := join(t, b)
			p.send(connect5("c", connectClean, bad))
			got := p.got()
			if len(got) < 4 || got[0] != 0x20 || got[3] < 0x80 {
				t.Errorf("properties %s are answered with %s", bad, show(got))
			}
			p.nc.Close()
		}
	})
}

func TestMQTT5_3_1_2_4_CleanStartAndExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, "11 0000003c"), 0)
		p.subscribe5("t", 1, "", 1)
		p.send(disconnect)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(2, 1, "t", "", "kept"))
		q.expect(hx("40 02 0001"))
		time.Sleep(59 * time.Second)
		p = join(t, b)
		p.send(connect5("a", 0, "11 0000003c"))
		p.expect(accepted5(1), pub5(2, 1, "t", "", "kept"))
		p.send(ackPacket(typePuback, 1), hx("e0 07 00 05 11 00000005")) // leaves, and lets it last 5 s (3.14.2.2.2)
		time.Sleep(6 * time.Second)
		enter5(t, b, connect5("a", 0, ""), 0) // over
		if n := b.Stats().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions of a session that is over", n)
		}
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.send(hx("e0 07 00 05 11 00000005")) // a session that was to end cannot be made to stay
		r.left(reasonProtocolError)
	})
}

func TestMQTT5_3_1_2_11_ReceiveMaximumAndPacketSize(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, "11 ffffffff 21 0002 27 00000014"), 0)
		p.subscribe5("t", 1, "", 1)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		for i := range 5 {
			q.send(pub5(0, 0, "t", "", fmt.Sprint(i)))
			q.send(pub5(2, uint16(i+1), "t", "", fmt.Sprint(i)))
		}
		q.got()
		m := func(id uint16, payload string) []byte { return pub5(2, id, "t", "", payload) }
		z := func(payload string) []byte { return pub5(0, 0, "t", "", payload) }
		p.expect(z("0"), m(1, "0"), z("1"), m(2, "1"), z("2"), z("3"), z("4")) // QoS 0 is not counted
		p.send(ackPacket(typePuback, 1))                                       // [MQTT-3.3.4-9]
		p.expect(m(3, "2"))
		p.nc.Close()
		synctest.Wait()
		p = join(t, b)
		p.send(connect5("a", 0, "11 ffffffff 21 0001"))
		p.expect(accepted5(1), pub5(flagDup|2, 2, "t", "", "1")) // also what is sent again
		p.send(ackPacket(typePuback, 2))
		p.expect(pub5(flagDup|2, 3, "t", "", "2"))
		p.send(ackPacket(typePuback, 3))
		p.expect(m(4, "3"))
		p.send(ackPacket(typePuback, 4))
		p.expect(m(5, "4"))
		p.send(disconnect)
		// [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what is too large is left out as if it were sent.
		p = join(t, b)
		p.send(connect5("a", 0, "27 00000014"))
		p.expect(accepted5(1), pub5(flagDup|2, 5, "t", "", "4"))
		p.send(ackPacket(typePuback, 5))
		q.send(pub5(2, 9, "t", "", "longer than twenty bytes"), pub5(2, 10, "t", "", "short"))
		q.got()
		p.expect(m(6, "short"))
		if st := b.Stats(); st.Undeliverable != 1 {
			t.Errorf("%d were left out", st.Undeliverable)
		}
	})
}

func TestMQTT5_3_3_2_3_PropertiesOfAMessage(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		old := enter(t, b, "old")
		old.subscribe("t", 1)
		p.subscribe5("t", 1, "0b 8001", 1)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		// Payload format, content type, response topic, correlation data, and user
		// properties in their order ([MQTT-3.3.2-18]) go on; who speaks 3.1.1 has the message.
		const onward = "26 0001 'b' 0001 '1' 01 01 03 0001 'c' 08 0001 'r' 09 0002 ffff 26 0001 'a' 0001 '2'"
		q.send(pub5(2, 1, "t", onward, "x"))
		q.expect(hx("40 02 0001"))
		p.expect(pub5(2, 1, "t", "0b 8001 "+onward, "x"))
		old.expect(pub(2, 1, "t", "x"))
		q.send(pub5(0, 0, "t", "08 0001 '#'", "x")) // [MQTT-3.3.2-14]
		q.left(reasonProtocolError)
	})
}

func TestMQTT5_3_3_2_3_3_MessageExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, "11 ffffffff"), 0)
		p.subscribe5("t", 1, "", 1)
		p.send(disconnect)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(2, 1, "t", "02 0000000a", "soon"), pub5(2, 2, "t", "02 0000003c", "later"))
		q.got()
		time.Sleep(20 * time.Second)
		p = join(t, b)
		p.send(connect5("a", 0, "11 ffffffff"))
		p.expect(accepted5(1), pub5(2, 1, "t", "02 00000028", "later")) // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
		p.subscribe5("t", 1, "", 1)
	})
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(1, 0, "t", "02 0000003c", "kept"))
		time.Sleep(20 * time.Second)
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.send(sub5("t", 0, ""))
		p.expect(hx("90 04 0001 00 00"), pub5(1, 0, "t", "02 00000028", "kept"))
		time.Sleep(40 * time.Second)
		p.subscribe5("t", 0, "", 0)
	})
}

func TestMQTT5_3_3_2_3_4_TopicAlias(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.subscribe5("#", 0, "", 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(0, 0, "long/topic", "23 0020", "1"), pub5(0, 0, "", "23 0020", "2"), pub5(0, 0, "other", "23 0020", "3"), pub5(0, 0, "", "23 0020", "4"))
		p.expect(pub5(0, 0, "long/topic", "", "1"), pub5(0, 0, "long/topic", "", "2"), pub5(0, 0, "other", "", "3"), pub5(0, 0, "other", "", "4"))
		for packet, code := range map[string]reason{
			hex.EncodeToString(pub5(0, 0, "t", "23 0000", "")): reasonTopicAlias, // [MQTT-3.3.2-8]
			hex.EncodeToString(pub5(0, 0, "t", "23 0021", "")): reasonTopicAlias, // [MQTT-3.3.2-9]
			hex.EncodeToString(pub5(0, 0, "", "23 0001", "")):  reasonProtocolError,
			hex.EncodeToString(pub5(0, 0, "", "", "")):         reasonProtocolError,
		} {
			r := enter5(t, b, connect5("r", connectClean, ""), 0)
			r.send(hx(packet))
			r.left(code)
		}
	})
}

func TestMQTT5_3_8_3_1_SubscriptionOptions(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		p.subscribe5("local/#", 4, "", 0) // no local
		p.send(pub5(0, 0, "local/x", "", "own"))
		q.send(pub5(0, 0, "local/x", "", "other"))
		p.expect(pub5(0, 0, "local/x", "", "other")) // [MQTT-3.8.3-3]
		p.subscribe5("asis", 8, "", 0)               // retain as published
		p.subscribe5("plain", 0, "", 0)
		q.send(pub5(1, 0, "asis", "", "r"), pub5(0, 0, "asis", "", "n"), pub5(1, 0, "plain", "", "r"))
		p.expect(pub5(1, 0, "asis", "", "r"), pub5(0, 0, "asis", "", "n"), pub5(0, 0, "plain", "", "r")) // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
		p.subscribe5("asis", 0x10, "", 0)                                                                // only if it is new ([MQTT-3.3.1-10])
		q.send(sub5("asis", 0x10, ""))
		q.expect(hx("90 04 0001 00 00"), pub5(1, 0, "asis", "", "r"))
		q.subscribe5("plain", 0x20, "", 0) // never ([MQTT-3.3.1-11])
		for _, bad := range []byte{3, 0x30, 0x40, 0x80} {
			r := enter5(t, b, connect5("r", connectClean, ""), 0)
			r.send(sub5("t", bad, ""))
			if got := r.got(); len(got) < 3 || got[0] != 0xe0 || got[2] < 0x81 {
				t.Errorf("options %#x: %s", bad, show(got))
			}
		}
	})
}

func TestMQTT5_3_8_2_1_2_SubscriptionIdentifiers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.subscribe5("a/#", 0, "0b 01", 0)
		p.subscribe5("a/+", 1, "0b ffffff7f", 1)
		p.subscribe5("a/b", 0, "", 0)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(2, 1, "a/b", "", "x"))
		q.expect(hx("40 02 0001"))
		p.expect(pub5(2, 1, "a/b", "0b 01 0b ffffff7f", "x")) // [MQTT-3.3.4-3], [MQTT-3.3.4-4]: once, with all of them
		p.send(ackPacket(typePuback, 1))
		p.subscribe5("a/#", 0, "", 0) // replaced without one
		p.send(hx("a2 08 0002 00 0003 'a/+'"))
		p.expect(hx("b0 04 0002 00 00"))
		q.send(pub5(0, 0, "a/b", "", "y"))
		p.expect(pub5(0, 0, "a/b", "", "y"))
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.send(sub5("t", 0, "0b 00")) // 0 is none
		r.left(reasonProtocolError)
		r = enter5(t, b, connect5("r", connectClean, ""), 0)
		r.send(pub5(0, 0, "t", "0b 01", "")) // [MQTT-3.3.4-6]
		r.left(reasonMalformed)
	})
}

func TestMQTT5_4_8_2_SharedSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		q := enter5(t, b, connect5("b", connectClean, "11 ffffffff"), 0)
		all := enter(t, b, "all")
		all.subscribe("t", 0)
		p.subscribe5("$share/g/t", 1, "", 1)
		q.subscribe5("$share/g/t", 1, "", 1)
		w := enter5(t, b, connect5("w", connectClean, ""), 0)
		for i := range 4 {
			w.send(pub5(2, uint16(i+1), "t", "", fmt.Sprint(i)))
		}
		w.got()
		all.expect(pub(0, 0, "t", "0"), pub(0, 0, "t", "1"), pub(0, 0, "t", "2"), pub(0, 0, "t", "3"))
		p.expect(pub5(2, 1, "t", "", "1"), pub5(2, 2, "t", "", "3"))
		q.expect(pub5(2, 1, "t", "", "0"), pub5(2, 2, "t", "", "2"))
		q.send(hx("e0 00")) // who is connected goes first
		w.send(pub5(2, 5, "t", "", "4"), pub5(2, 6, "t", "", "5"))
		w.got()
		p.expect(pub5(2, 3, "t", "", "4"), pub5(2, 4, "t", "", "5"))
		p.send(hx("a2 0f 0002 00 000a '$share/g/t'"))
		p.expect(hx("b0 04 0002 00 00"))
		w.send(pub5(2, 7, "t", "", "6")) // and then who is kept for
		w.expect(hx("40 02 0007"))
		q = join(t, b)
		q.send(connect5("b", 0, ""))
		q.expect(accepted5(1), pub5(flagDup|2, 1, "t", "", "0"), pub5(flagDup|2, 2, "t", "", "2"), pub5(2, 3, "t", "", "6"))
		for _, bad := range []string{"$share/g", "$share//t", "$share/+/t", "$share/g/", "$share/g/a#"} {
			r := enter5(t, b, connect5("r", connectClean, ""), 0)
			r.send(sub5(bad, 0, ""))
			r.left(reasonFilterInvalid) // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
		}
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.send(sub5("$share/g/t", 4, "")) // [MQTT-3.8.3-4]
		r.left(reasonProtocolError)
	})
}

func TestMQTT5_3_1_3_2_WillDelay(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.subscribe5("will", 0, "", 0)
		const stays, delayed = "11 0000003c", "18 0000000a 02 00000064 26 0001 'a' 0001 'b'"
		p := enter5(t, b, withWill("a", connectClean, stays, delayed), 0)
		p.nc.Close()
		time.Sleep(9 * time.Second)
		q.expect()
		p = enter5(t, b, withWill("a", 0, stays, delayed), 1) // it is back in time ([MQTT-3.1.3-9])
		time.Sleep(time.Minute)
		q.expect()
		p.nc.Close()
		time.Sleep(11 * time.Second)
		q.expect(pub5(0, 0, "will", "02 00000064 26 0001 'a' 0001 'b'", "gone"))
		// The session ends before the delay does.
		p = enter5(t, b, withWill("b", connectClean, "11 00000005", delayed), 0)
		p.nc.Close()
		time.Sleep(6 * time.Second)
		q.expect(pub5(0, 0, "will", "02 00000064 26 0001 'a' 0001 'b'", "gone"))
		// A new start ends it as well.
		p = enter5(t, b, withWill("c", connectClean, stays, delayed), 0)
		p.nc.Close()
		synctest.Wait()
		enter5(t, b, connect5("c", connectClean, ""), 0)
		q.expect(pub5(0, 0, "will", "02 00000064 26 0001 'a' 0001 'b'", "gone"))
		// DISCONNECT with 0x04 asks for the will, also without properties ([MQTT-3.14.4-3] is for 0x00).
		p = enter5(t, b, withWill("d", connectClean, "", ""), 0)
		p.send(hx("e0 01 04"))
		q.expect(pub5(0, 0, "will", "", "gone"))
		p = enter5(t, b, withWill("e", connectClean, "", ""), 0)
		p.send(hx("e0 00"))
		q.expect()
	})
}

func TestMQTT5_2_4_ReasonCodes(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		p.send(pub5(2, 1, "nobody", "", ""))
		p.expect(hx("40 03 0001 10"))
		p.send(pub5(4, 2, "nobody", "", ""))
		p.expect(hx("50 03 0002 10"))
		p.send(hx("62 02 0002"))
		p.expect(hx("70 02 0002"))
		p.send(hx("62 02 0003"))
		p.expect(hx("70 03 0003 92"))
		p.send(pub5(2, 4, "pad-7/x/y", "", "")) // belongs to the gateway
		p.expect(hx("40 03 0004 87"))
		p.send(pub5(4, 5, "pad-7/x/y", "", ""), pub5(4, 5, "t", "", "")) // the first is over with its refusal
		p.expect(hx("50 03 0005 87"), hx("50 03 0005 10"))
		p.send(hx("a2 08 0001 00 0003 'a/b'"))
		p.expect(hx("b0 04 0001 00 11"))
		p.send(hx("50 02 0009")) // a PUBREC of nothing
		p.expect(hx("62 03 0009 92"))
		p.subscribe5("t", 2, "", 2)
		p.send(pub5(4, 6, "t", "", "x"))
		p.expect(hx("50 02 0006"), pub5(4, 1, "t", "", "x"))
		p.send(hx("50 03 0001 97")) // it does not want it: the exchange is over
		p.expect()
		if n := b.Stats().Queued; n != 0 {
			t.Errorf("%d messages wait", n)
		}
	})
}

func TestMQTT5_4_13_Disconnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, ""), 0)
		enter5(t, b, connect5("a", connectClean, ""), 0)
		p.left(reasonTakenOver) // [MQTT-3.1.4-3]
		for bad, code := range map[string]reason{
			"36 05 0001 't' 0001":    reasonMalformed,
			"30 04 0001 't' 01":      reasonMalformed, // properties cut short
			"32 06 0001 't' 0000 00": reasonProtocolError,
			"82 02 0001":             reasonMalformed,
			"e0 02 00 80":            reasonMalformed,
			"c0 01 00":               reasonMalformed,
			"10 0d 0004 'MQTT' 05 02 0000 00 0001 'a'": reasonProtocolError,
		} {
			p := enter5(t, b, connect5("b", connectClean, ""), 0)
			p.send(hx(bad))
			if got := p.got(); len(got) < 3 || got[0] != 0xe0 || reason(got[2]) != code {
				t.Errorf("%s: %s, want %#x", bad, show(got), code)
			}
		}
		body := append(hx("0004 'MQTT' 05 02 0002 00"), hx("0001 'k'")...)
		p = enter5(t, b, append(appendHeader(nil, 0x10, len(body)), body...), 0)
		time.Sleep(4 * time.Second)
		p.left(reasonKeepAlive)
		p = enter5(t, b, connect5("s", connectClean, ""), 0)
		b.closeAll()
		p.left(reasonShuttingDown)
		b.closed = false
		b.login.closed = make(chan struct{})
	})
}

func TestMQTT5_3_3_4_ReceiveMaximumOfTheBroker(t *testing.T) {
	tap := &fakeTap{}
	bubbleWith(t, "", Options{}, tap, func(t *testing.T, b *Broker) {
		b.limits.receiveMaximum = 2
		p := join(t, b)
		p.send(connect5("a", connectClean, ""))
		p.got()
		p.send(pub5(2, 1, "up/t", "", ""), pub5(4, 2, "up/t", "", ""), pub5(flagDup|4, 2, "up/t", "", ""))
		p.expect() // both wait for the disk
		p.send(pub5(2, 3, "up/t", "", ""))
		p.left(reasonReceiveMaximum) // [MQTT-3.3.4-7]
		tap.finish(nil)
	})
}
