package broker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The statements of MQTT 5.0 on CONNECT, CONNACK, wills, sessions and the end
// of connections that mqtt5_test.go does not show.

// refused wants a CONNACK with this code, and the end.
func (p *peer) refused(code reason) {
	p.t.Helper()
	got := p.got()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(got) < 5 || got[0] != 0x20 || int(got[1]) != len(got)-2 || got[2] != 0 || reason(got[3]) != code || !p.closed {
		p.t.Fatalf("%s, closed %t; want a CONNACK with %#x", show(got), p.closed, code)
	}
}

// connectFields5 is a CONNECT of MQTT 5 without properties, with any flags and fields.
func connectFields5(flags byte, keepalive uint16, fields ...string) []byte {
	body := append(hx("0004 'MQTT' 05"), flags, byte(keepalive>>8), byte(keepalive), 0)
	for i, f := range fields {
		if i == 1 && flags&connectWill != 0 {
			body = append(body, 0)
		}
		body = appendText(body, f)
	}
	return append(appendHeader(nil, typeConnect<<4, len(body)), body...)
}

func TestMQTT5_MalformedConnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		const clean, will, user, password = connectClean, connectWill, connectUser, connectPassword
		for _, c := range []struct {
			packet []byte
			code   reason
		}{
			{connectFields5(clean|1, 0, "a"), reasonMalformed},                   // [MQTT-3.1.2-3]
			{connectFields5(clean|1<<3, 0, "a"), reasonMalformed},                // [MQTT-3.1.2-11]
			{connectFields5(clean|will|3<<3, 0, "a", "t", ""), reasonMalformed},  // [MQTT-3.1.2-12]
			{connectFields5(clean|connectWillRetain, 0, "a"), reasonMalformed},   // [MQTT-3.1.2-13]
			{connectFields5(clean|will, 0, "a"), reasonMalformed},                // [MQTT-3.1.2-9]
			{connectFields5(clean|will, 0, "a", "t"), reasonMalformed},           // [MQTT-3.1.2-9]
			{connectFields5(clean, 0, "a", "u"), reasonMalformed},                // [MQTT-3.1.2-16]
			{connectFields5(clean|user, 0, "a"), reasonMalformed},                // [MQTT-3.1.2-17]
			{connectFields5(clean|user, 0, "a", "u", "p"), reasonMalformed},      // [MQTT-3.1.2-18]
			{connectFields5(clean|user|password, 0, "a", "u"), reasonMalformed},  // [MQTT-3.1.2-19]
			{connectFields5(clean, 0), reasonMalformed},                          // [MQTT-3.1.3-3]
			{connectFields5(clean, 0, "\xed\xbf\xbf"), reasonMalformed},          // [MQTT-3.1.3-4], [MQTT-1.5.4-1]
			{connectFields5(clean, 0, "a\x00"), reasonMalformed},                 // [MQTT-1.5.4-2]
			{connectFields5(clean|will, 0, "a", "\xff", ""), reasonMalformed},    // [MQTT-3.1.3-11]
			{connectFields5(clean|user, 0, "a", "\xc0\x80"), reasonMalformed},    // [MQTT-3.1.3-12]
			{connectFields5(clean|will, 0, "a", "t/#", ""), reasonTopicInvalid},  // [MQTT-4.7.0-1]
			{connectFields5(clean|will, 0, "a", "", ""), reasonTopicInvalid},     // [MQTT-4.7.3-1]
			{connectFields5(clean, 0, strings.Repeat("x", 257)), reasonClientID}, // [MQTT-3.1.3-8]
			{hx("10 0f 0004 'MQTT' 05 02 0000 8000 0001 'a'"), reasonMalformed},  // [MQTT-1.5.5-1]
			{hx("10 0c 0004 'MQTT' 05 02 0000 00 00"), reasonMalformed},          // cut short: [MQTT-3.1.4-1]
			{hx("10 0b 0004 'MQTT' 05 02 0000 0b"), reasonMalformed},             // no properties must be said: [MQTT-2.2.2-1]
			{connect5("a", clean, "26 0001 'a' 0001 ff"), reasonMalformed},       // [MQTT-1.5.7-1]
			{connect5("a", clean, "26 0001 00 0001 'a'"), reasonMalformed},       // [MQTT-1.5.7-1]
			{connect5("a", clean, "15 0003 'abc' 16 0001 00"), reasonAuthMethod}, // [MQTT-4.12.0-1]
			{withWill("a", clean, "", "08 0001 '+'"), reasonProtocolError},       // [MQTT-3.3.2-14]
			{withWill("a", clean, "", "01 02"), reasonProtocolError},             // a payload is bytes or text
			{withWill("a", clean, "", "23 0001"), reasonMalformed},               // a will has no alias
		} {
			p := join(t, b)
			p.send(append(c.packet, pub(1, 0, "t", "x")...)) // [MQTT-3.1.4-6]
			p.refused(c.code)                                // [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.2.2-8], [MQTT-3.14.0-1], [MQTT-4.13.2-1]
		}
		if st := b.Stats(); st.MessagesIn != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestMQTT5_ConnectIsFirst(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, first := range [][]byte{pub5(0, 0, "t", "", ""), hx("f0 00"), hx("c0 00"), hx("e0 00"), hx("11 00"), hx("10 ff ff ff 7f")} {
			p := join(t, b) // [MQTT-3.1.0-1]
			p.send(first)
			p.ends() // [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK
		}
		p := join(t, b)
		p.send(hx("10 0d 0004 'mqtt' 05 02 0000 00 0000")) // [MQTT-3.1.2-1]
		p.ends()
		p = join(t, b)
		p.send(hx("10 0d 0004 'MQTT' 06 02 0000 00 0000")) // [MQTT-3.1.2-2]
		p.ends(hx("20 02 00 01"))                          // in the form that clients of any version read
		p = enter5(t, b, connect5("a", connectClean, ""), 0)
		p.send(connect5("a", connectClean, ""))
		p.left(reasonProtocolError) // [MQTT-3.1.0-2], [MQTT-3.2.0-2]
	})
}

func TestMQTT5_LoginIsChecked(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		const flags = connectClean | connectUser | connectPassword
		p := join(t, b)
		p.send(connectFields5(flags, 0, "a", "hmi", "wrong"))
		synctest.Wait()
		time.Sleep(loginDelay)
		p.refused(reasonBadLogin) // [MQTT-3.1.4-2]
		q := join(t, b)
		q.send(connectFields5(flags|connectWill, 0, "a", "will", "gone", "hmi", "secret")) // [MQTT-3.1.3-1]
		q.expect(accepted5(0))                                                             // [MQTT-3.1.4-5]
		r := join(t, b)
		r.send(connectFields5(flags, 0, "r", "hmi", "secret"))
		r.expect(accepted5(0))
		r.subscribe5("will", 0, "", 0)
		q.nc.Close()
		r.expect(pub5(0, 0, "will", "", "gone"))
	})
}

func TestMQTT5_ClientIdentifiers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		const all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		for _, id := range []string{all[:23], all[23:46], all[46:], "a"} { // [MQTT-3.1.3-5]
			enter5(t, b, connect5(id, connectClean, ""), 0)
		}
		p, q := join(t, b), join(t, b)
		p.send(connect5("", connectClean, ""))
		q.send(connect5("", 0, ""))
		one, other := string(p.got()), string(q.got())
		if len(one) < 12 || one == other { // [MQTT-3.1.3-6], [MQTT-3.2.2-16]
			t.Errorf("%q and %q are assigned", one, other)
		}
		p.lives()
		q.lives()
	})
}

func TestMQTT5_SessionPresent(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		const stays = "11 0000003c"
		p := enter5(t, b, connect5("a", 0, stays), 0) // [MQTT-3.1.2-6], [MQTT-3.2.2-3]
		p.subscribe5("t", 1, "", 1)
		p.nc.Close()
		synctest.Wait()
		p = enter5(t, b, connect5("a", 0, stays), 1) // [MQTT-3.1.2-5], [MQTT-3.1.2-23], [MQTT-3.1.3-2], [MQTT-3.2.2-1]
		enter5(t, b, connect5("b", 0, ""), 0)
		time.Sleep(time.Hour) // [MQTT-4.1.0-1]: not while it is connected
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(2, 1, "t", "", "1")) // [MQTT-4.5.0-1]
		p.expect(pub5(2, 1, "t", "", "1"))
		p = enter5(t, b, connect5("a", connectClean, stays), 0) // [MQTT-3.1.2-4], [MQTT-3.1.4-4], [MQTT-3.2.2-2]
		q.send(pub5(2, 2, "t", "", "2"))
		p.expect()
		p.nc.Close()
		time.Sleep(59 * time.Second)
		p = enter5(t, b, connect5("a", 0, stays), 1)
		p.nc.Close()
		time.Sleep(61 * time.Second)
		enter5(t, b, connect5("a", 0, ""), 0) // [MQTT-4.1.0-2]
	})
}

func TestMQTT5_TakeOver(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", 0, "11 0000003c"), 0)
		p.subscribe5("t", 2, "", 2)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(4, 1, "t", "", "1"), pub5(4, 2, "t", "", "2"))
		q.expect(hx("50 02 0001"), hx("50 02 0002"))
		p.expect(pub5(4, 1, "t", "", "1"), pub5(4, 2, "t", "", "2"))
		p.send(hx("50 02 0001"), pub5(4, 9, "u", "", "own"))
		p.expect(hx("62 02 0001"), hx("50 03 0009 10"))
		r := join(t, b)
		r.send(connect5("a", 0, "11 0000003c"))
		p.left(reasonTakenOver)                                                                   // [MQTT-3.1.4-3], [MQTT-3.14.4-1], [MQTT-3.14.4-2]
		r.expect(accepted5(1), hx("62 02 0001"), pub5(12, 2, "t", "", "2"))                       // [MQTT-4.4.0-1], [MQTT-4.3.3-6], [MQTT-3.3.1-1]
		r.send(pub5(12, 9, "u", "", "own"), hx("62 02 0009"), hx("70 02 0001"), hx("50 02 0002")) // [MQTT-4.3.3-10]
		r.expect(hx("50 02 0009"), hx("70 02 0009"), hx("62 02 0002"))
	})
}

func TestMQTT5_WillIsPublished(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *Broker, *peer)
		will bool
	}{
		"lost":       {func(_ *testing.T, _ *Broker, p *peer) { p.nc.Close() }, true}, // [MQTT-3.1.2-8]
		"violation":  {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("00 00")) }, true},
		"takenOver":  {func(t *testing.T, b *Broker, _ *peer) { enter5(t, b, connect5("a", connectClean, ""), 0) }, true},
		"0x04":       {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("e0 01 04")) }, true},
		"0x80":       {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("e0 01 80")) }, true}, // only 0x00 takes it back: [MQTT-3.1.2-10]
		"0x98":       {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("e0 02 98 00")) }, true},
		"0x00":       {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("e0 01 00")) }, false}, // [MQTT-3.14.4-3]
		"0x00 short": {func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("e0 00")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *Broker) {
				q := enter5(t, b, connect5("q", connectClean, ""), 0)
				q.subscribe5("#", 2, "", 2)
				// [MQTT-3.1.2-7], [MQTT-3.1.2-9], [MQTT-3.1.2-12], [MQTT-3.1.3-10]: with its QoS and its properties, in their order
				const props = "26 0001 'b' 0001 '1' 03 0001 'c' 26 0001 'a' 0001 '2'"
				p := enter5(t, b, withWill("a", connectClean|1<<3, "", props), 0)
				c.end(t, b, p)
				synctest.Wait()
				if c.will {
					q.expect(pub5(2, 1, "will", props, "gone"))
				} else {
					q.lives()
				}
				p.nc.Close()
				time.Sleep(time.Hour)
				q.lives() // once: [MQTT-3.1.2-10]
			})
		})
	}
}

func TestMQTT5_WillRetain(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, withWill("a", connectClean, "", ""), 0)
		p.nc.Close()
		synctest.Wait()
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.subscribe5("will", 0, "", 0)                                      // [MQTT-3.1.2-14]
		p = enter5(t, b, withWill("a", connectClean, "", "02 00000000"), 0) // is over before it goes out, as a PUBLISH would be
		p.nc.Close()
		q.expect()
		p = enter5(t, b, withWill("a", connectClean|connectWillRetain, "", "02 00000064"), 0)
		time.Sleep(time.Hour) // its life begins with its publication
		p.nc.Close()
		q.expect(pub5(0, 0, "will", "02 00000064", "gone"))
		time.Sleep(40 * time.Second)
		r := enter5(t, b, connect5("r", connectClean, ""), 0)
		r.send(sub5("will", 0, ""))
		r.expect(hx("90 04 0001 00 00"), pub5(1, 0, "will", "02 0000003c", "gone")) // [MQTT-3.1.2-15], [MQTT-3.3.2-6]
	})
}

func TestMQTT5_KeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connectFields5(connectClean, 10, "a"), 0) // [MQTT-3.2.2-22]: no other value is told
		time.Sleep(14 * time.Second)
		p.lives() // [MQTT-3.12.4-1]
		time.Sleep(15*time.Second - 1)
		p.expect()
		time.Sleep(1)
		p.left(reasonKeepAlive) // [MQTT-3.1.2-22]
		p = enter5(t, b, connectFields5(connectClean, 0, "a"), 0)
		time.Sleep(1000 * time.Hour)
		p.lives()
	})
}

func TestMQTT5_MaximumPacketSizeOfTheClient(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connect5("a", connectClean, "27 00000014 15 0003 'abc'"))
		p.expect(hx("20 03 00 8c 00")) // [MQTT-3.2.2-19]
		p = join(t, b)
		p.send(connect5("a", connectClean, "27 0000000f")) // a CONNACK has 16 bytes
		p.ends(hx("20 03 00 83 00"))                       // [MQTT-3.1.2-24]
		p = join(t, b)
		p.send(connect5("a", connectClean, "27 00000004"))
		p.ends()
		p = enter5(t, b, connect5("a", connectClean, "27 00000010"), 0)
		eleven := "0001 'a' 00" + strings.Repeat("0001 'b' 00", 10)
		p.send(hx("82 2f 0001 00 " + eleven))
		p.expect(append(hx("90 0e 0001 00"), make([]byte, 11)...))
		p.send(hx("82 33 0001 00 " + eleven + "0001 'c' 00")) // whose SUBACK has 17
		p.ends(hx("e0 01 95"))
		p = enter5(t, b, connect5("a", 0, "11 0000003c 27 00000014"), 0)
		p.subscribe5("t", 2, "", 2)
		q := enter5(t, b, connect5("q", connectClean, ""), 0)
		q.send(pub5(2, 1, "t", "", "twelve bytes")) // 19 bytes as it comes, 19 as it goes
		p.expect(pub5(2, 1, "t", "", "twelve bytes"))
		p.send(hx("40 02 0001"))
		q.send(pub5(4, 2, "t", "", "fourteen bytes"), pub5(2, 3, "t", "26 0001 'a' 0001 'b'", "12345678"), pub5(2, 4, "t", "", "ok"))
		p.expect(pub5(2, 2, "t", "", "ok")) // [MQTT-3.1.2-24], [MQTT-3.1.2-25]
		p.send(hx("40 02 0002"))
		p.send(hx("30 00"))
		if got := p.got(); len(got) > 20 || got[0] != 0xe0 {
			t.Errorf("%s is more than the client takes", show(got)) // [MQTT-3.14.2-3]
		}
		// Also what was on its way, where the client takes less than before.
		p = enter5(t, b, connect5("a", 0, "11 0000003c"), 1)
		q.send(pub5(2, 5, "t", "", strings.Repeat("x", 50)), pub5(2, 6, "t", "", "y"))
		p.expect(pub5(2, 3, "t", "", strings.Repeat("x", 50)), pub5(2, 4, "t", "", "y"))
		p.nc.Close()
		synctest.Wait()
		p = join(t, b)
		p.send(connect5("a", 0, "11 0000003c 27 00000014"))
		p.expect(accepted5(1), pub5(10, 4, "t", "", "y"))
		b.check(t)
	})
}

func TestMQTT5_WhatIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		// Topic aliases, response information and reasons for people that the client does not want.
		p := enter5(t, b, connect5("a", connectClean, "22 000a 19 01 17 00"), 0) // [MQTT-3.1.2-28], [MQTT-4.12.0-6]
		p.subscribe5("t", 0, "", 0)
		for range 3 {
			p.send(pub5(0, 0, "t", "26 0001 'a' 0001 'b'", "x"))
			p.expect(pub5(0, 0, "t", "26 0001 'a' 0001 'b'", "x")) // [MQTT-3.1.2-27], [MQTT-3.1.2-29]: those of PUBLISH stay
		}
		p.send(hx("62 02 0009"))
		p.expect(hx("70 03 0009 92")) // [MQTT-3.1.2-29]
		p.send(hx("a2 07 0001 00 0002 'xx'"), pub5(2, 3, "nobody", "", ""))
		p.expect(hx("b0 04 0001 00 11"), hx("40 03 0003 10"))
	})
}

func TestMQTT5_MalformedPackets(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		b.limits.packetBytes = 1000
		for _, c := range []struct {
			packet string
			code   reason
		}{
			// [MQTT-2.1.3-1]: flags
			{"41 02 0001", reasonMalformed}, {"51 02 0001", reasonMalformed}, {"71 02 0001", reasonMalformed},
			{"60 02 0001", reasonMalformed},                // [MQTT-3.6.1-1]
			{"80 07 0001 00 0001 't' 00", reasonMalformed}, // [MQTT-3.8.1-1]
			{"a0 06 0001 00 0001 't'", reasonMalformed},    // [MQTT-3.10.1-1]
			{"c1 00", reasonMalformed}, {"11 00", reasonMalformed},
			{"e1 00", reasonMalformed},                   // [MQTT-3.14.1-1]
			{"f1 00", reasonMalformed},                   // [MQTT-3.15.1-1]
			{"f0 00", reasonProtocolError},               // [MQTT-4.12.0-7]
			{"f0 02 19 00", reasonProtocolError},         //
			{"00 00", reasonProtocolError},               // reserved
			{"20 03 00 00 00", reasonProtocolError},      // what servers send
			{"d0 00", reasonProtocolError},               //
			{"30 80 80 80 80 01", reasonMalformed},       // [MQTT-1.5.5-1]: five bytes of length
			{"30 85 00 0001 't' 00 00", reasonMalformed}, // two for one
			{"30 06 0001 't' 80 00 00", reasonMalformed}, // and of the properties
			{"30 ff ff ff 7f", reasonTooLarge},           //
			{"30 e9 07", reasonTooLarge},                 // 1001 bytes
			// [MQTT-2.2.1-3]: identifiers
			{"32 06 0001 't' 0000 00", reasonProtocolError}, {"34 06 0001 't' 0000 00", reasonProtocolError},
			{"82 07 0000 00 0001 't' 00", reasonProtocolError}, {"a2 06 0000 00 0001 't'", reasonProtocolError},
			{"40 02 0000", reasonProtocolError}, {"50 02 0000", reasonProtocolError}, {"62 02 0000", reasonProtocolError}, {"70 02 0000", reasonProtocolError},
			{"40 01 00", reasonMalformed},
			// PUBLISH
			{"36 06 0001 't' 0001 00", reasonMalformed},       // [MQTT-3.3.1-4]
			{"38 04 0001 't' 00", reasonMalformed},            // [MQTT-3.3.1-2]
			{"30 00", reasonMalformed},                        // [MQTT-3.3.2-1]
			{"30 03 0000 00", reasonProtocolError},            // [MQTT-4.7.3-1]
			{"30 04 0001 '#' 00", reasonTopicInvalid},         // [MQTT-3.3.2-2], [MQTT-4.7.0-1]
			{"30 06 0003 'a/+' 00", reasonTopicInvalid},       //
			{"30 03 0001 't'", reasonMalformed},               // [MQTT-2.2.2-1]
			{"30 08 0001 't' 04 08 0001 ff", reasonMalformed}, // [MQTT-3.3.2-13]
			{"30 08 0001 't' 04 03 0001 ff", reasonMalformed}, // [MQTT-3.3.2-19]
			{"30 06 0001 't' 02 01 02", reasonProtocolError},
			{"30 08 0001 't' 04 01 00 01 00", reasonProtocolError},
			{"30 06 0001 't' 02 11 00", reasonMalformed},
			// SUBSCRIBE and UNSUBSCRIBE
			{"82 03 0001 00", reasonProtocolError},               // [MQTT-3.8.3-2]
			{"82 07 0001 00 0001 ff 00", reasonMalformed},        // [MQTT-3.8.3-1]
			{"82 07 0001 00 0001 00 00", reasonMalformed},        // [MQTT-4.7.3-2]
			{"82 07 0001 00 0001 't' 40", reasonMalformed},       // [MQTT-3.8.3-5]
			{"82 07 0001 00 0001 't' 80", reasonMalformed},       //
			{"82 07 0001 00 0001 't' 03", reasonMalformed},       //
			{"82 07 0001 00 0001 't' 30", reasonProtocolError},   //
			{"82 06 0001 00 0000 00", reasonFilterInvalid},       // [MQTT-4.7.3-1]
			{"82 09 0001 00 0003 'a#b' 00", reasonFilterInvalid}, // [MQTT-4.7.1-1]
			{"82 09 0001 00 0003 '#/b' 00", reasonFilterInvalid}, //
			{"82 09 0001 00 0003 'a+b' 00", reasonFilterInvalid}, // [MQTT-4.7.1-2]
			{"82 08 0001 00 0002 '+b' 00", reasonFilterInvalid},  //
			{"82 0b 0001 04 0b01 0b02 0001 't' 00", reasonProtocolError},
			{"a2 03 0001 00", reasonProtocolError},           // [MQTT-3.10.3-2]
			{"a2 06 0001 00 0001 ff", reasonMalformed},       // [MQTT-3.10.3-1]
			{"a2 08 0001 02 0b01 0001 't'", reasonMalformed}, //
			// Reasons that the packet does not have
			{"40 03 0001 01", reasonProtocolError}, // [MQTT-3.4.2-1]
			{"50 03 0001 92", reasonProtocolError}, // [MQTT-3.5.2-1]
			{"62 03 0001 80", reasonProtocolError}, // [MQTT-3.6.2-1]
			{"70 03 0001 10", reasonProtocolError}, // [MQTT-3.7.2-1]
			{"e0 01 8e", reasonProtocolError},      // [MQTT-3.14.2-1]: that is for servers
			{"e0 01 01", reasonProtocolError},
			{"40 06 0001 00 02 0000", reasonMalformed},
		} {
			p := join(t, b)
			p.send(connect5("a", connectClean, ""))
			p.got()
			p.send(hx(c.packet))
			got := p.got()
			p.mu.Lock()
			// [MQTT-4.13.1-1], [MQTT-3.14.4-2], [MQTT-3.14.2-1]
			if len(got) < 3 || got[0] != 0xe0 || reason(got[2]) != c.code || !p.closed {
				t.Errorf("%s: %s, closed %t; want %#x", c.packet, show(got), p.closed, c.code)
			}
			p.mu.Unlock()
		}
	})
}

// A DISCONNECT of the server has no session expiry, and nothing follows it.
func TestMQTT5_DisconnectOfTheServer(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter5(t, b, connect5("a", connectClean, "11 0000003c"), 0)
		p.send(hx("c0 00 c0 00 e1 00 c0 00"))
		const why = "packet type 14 with flags 0x1"
		want := append(hx(fmt.Sprintf("e0 %02x 81 %02x 1f 00%02x", 5+len(why), 3+len(why), len(why))), why...)
		p.ends(hx("d0 00 d0 00"), want) // [MQTT-3.14.2-2], [MQTT-3.14.4-1]
	})
}
