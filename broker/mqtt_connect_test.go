package broker

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The tests of this file and its neighbours are named after the statements in
// appendix B of MQTT 3.1.1.

func TestMQTT_1_5_3_1_BadUTF8Closes(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range []string{"\xff", "\xc0\x80", "\xed\xa0\x80"} { // no UTF-8, overlong, a surrogate
			p := join(t, b)
			p.send(connectPacket(bad, true))
			p.ends()
			p = enter(t, b, "a")
			p.send(pub(0, 0, bad, ""))
			p.ends()
			p = enter(t, b, "a")
			p.send(subscribePacket(1, bad, 0))
			p.ends()
		}
	})
}

func TestMQTT_1_5_3_2_NULCloses(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectPacket("a\x00b", true))
		p.ends()
		p = enter(t, b, "a")
		p.send(pub(0, 0, "a\x00b", ""))
		p.ends()
		p = enter(t, b, "a")
		p.send(subscribePacket(1, "a\x00b", 0))
		p.ends()
	})
}

func TestMQTT_1_5_3_3_ByteOrderMarkIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("#", 0)
		p.send(pub(0, 0, "\uFEFFa", "1"))
		p.expect(pub(0, 0, "\uFEFFa", "1"))
	})
}

func TestMQTT_2_2_2_2_InvalidFlagsClose(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range []string{
			"41 02 00 01", "51 02 00 01", "60 02 00 01", "71 02 00 01", // PUBACK, PUBREC, PUBREL, PUBCOMP
			"80 06 00 01 00 01 'a' 00", "a0 05 00 01 00 01 'a'", "c1 00", "e1 00",
			"00 00", "f0 00", "20 02 00 00", "90 03 00 01 00", "b0 02 00 01", "d0 00", // reserved types and those of servers
		} {
			p := enter(t, b, "a")
			p.send(hx(bad))
			p.ends()
		}
		p := join(t, b)
		p.send(append([]byte{0x11}, connectPacket("a", true)[1:]...))
		p.ends()
	})
}

func TestMQTT_2_2_3_RemainingLength(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(hx("30 ff ff ff ff 01")) // five bytes
		p.ends()
		p = enter(t, b, "a")
		p.send(hx("30 ff ff ff 7f")) // 256 MB
		p.ends()
		p = enter(t, b, "a")
		p.subscribe("#", 0)
		long := strings.Repeat("x", 300_000) // three bytes of length, grown buffers
		p.send(pub(0, 0, "a", long), pub(0, 0, "b", "1"))
		p.expect(pub(0, 0, "a", long), pub(0, 0, "b", "1"))
	})
}

func TestMQTT_2_3_1_1_IdentifierZeroCloses(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range []string{
			"32 05 00 01 'a' 00 00", "34 05 00 01 'a' 00 00", "82 06 00 00 00 01 'a' 00", "a2 05 00 00 00 01 'a'",
			"40 02 00 00", "50 02 00 00", "62 02 00 00", "70 02 00 00",
		} {
			p := enter(t, b, "a")
			p.send(hx(bad))
			p.ends()
		}
	})
}

func TestMQTT_3_1_0_1_FirstPacketIsConnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, first := range [][]byte{hx("c0 00"), pub(0, 0, "a", ""), []byte("GET / HTTP/1.1\r\n\r\n"), hx("16 03 01 00 05")} {
			p := join(t, b)
			p.send(first)
			p.ends()
		}
	})
}

func TestMQTT_3_1_0_2_SecondConnectCloses(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(connectPacket("a", true))
		p.ends()
	})
}

func TestMQTT_3_1_2_1_ProtocolName(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(hx("10 0d 00 04 'mqtt' 04 02 00 00 00 01 'a'"))
		p.ends()
		p = join(t, b)
		p.send(hx("10 0f 00 06 'MQIsdp' 03 02 00 00 00 01 'a'")) // MQTT 3.1
		p.expect(accepted)
	})
}

func TestMQTT_3_1_2_2_ProtocolLevel(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, level := range []string{"00", "03", "06", "84", "ff"} {
			p := join(t, b)
			p.send(hx("10 0d 00 04 'MQTT' " + level + " 02 00 00 00 01 'a'"))
			p.ends(hx("20 02 00 01"))
		}
	})
}

func TestMQTT_3_1_2_3_ReservedFlag(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectFlags(3, 0, "a"))
		p.ends()
	})
}

func TestMQTT_3_1_2_4_SessionIsResumed(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		p.send(disconnect)
		p.ends()
		q := enter(t, b, "q")
		q.send(pub(2, 7, "t", "1"))
		q.expect(ackPacket(typePuback, 7))
		p = resume(t, b, "a", 1)
		p.expect(pub(2, 1, "t", "1")) // [MQTT-3.1.2-5]
	})
}

func TestMQTT_3_1_2_6_CleanSessionForgets(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := resume(t, b, "a", 0)
		p.subscribe("t", 1)
		p.send(disconnect)
		p.ends()
		p = enter(t, b, "a") // session present is 0
		p.send(pub(2, 7, "t", "1"))
		p.expect(ackPacket(typePuback, 7))
		p.send(disconnect)
		p.ends()
		resume(t, b, "a", 0).lives() // nor was the clean session kept
		if st := b.Stats(); st.Subscriptions != 0 {
			t.Errorf("%d subscriptions are left", st.Subscriptions)
		}
	})
}

func TestMQTT_3_1_2_7_RetainedIsNotSession(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(pub(1, 0, "t", "1"), disconnect)
		p.ends()
		p = enter(t, b, "a")
		p.send(subscribePacket(1, "t", 0))
		p.expect(hx("90 03 00 01 00"), pub(1, 0, "t", "1"))
	})
}

// willPacket is a CONNECT with a will.
func willPacket(id string, qos byte, retain bool, payload string) []byte {
	flags := byte(connectClean | connectWill | qos<<3)
	if retain {
		flags |= connectWillRetain
	}
	return connectFlags(flags, 10, id, "will", payload)
}

func TestMQTT_3_1_2_8_WillIsPublished(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Broker, *peer){
		"lost":      func(_ *testing.T, _ *Broker, p *peer) { p.nc.Close() },
		"keepalive": func(*testing.T, *Broker, *peer) { time.Sleep(16 * time.Second) },
		"violation": func(_ *testing.T, _ *Broker, p *peer) { p.send(hx("00 00")) },
		"takenOver": func(t *testing.T, b *Broker, _ *peer) { enter(t, b, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *Broker) {
				q := enter(t, b, "q")
				q.subscribe("#", 0)
				p := join(t, b)
				p.send(willPacket("a", 0, false, "gone"))
				p.expect(accepted)
				end(t, b, p)
				q.expect(pub(0, 0, "will", "gone"))
			})
		})
	}
}

func TestMQTT_3_1_2_10_DisconnectRemovesWill(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := join(t, b)
		p.send(willPacket("a", 0, false, "gone"), disconnect)
		p.ends(accepted) // [MQTT-3.14.4-2]
		q.lives()        // [MQTT-3.14.4-3]
	})
}

func TestMQTT_3_1_2_11_WillFlagsWithoutWill(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, flags := range []byte{
			connectClean | 1<<3, connectClean | 2<<3, connectClean | 3<<3, // [MQTT-3.1.2-13]
			connectClean | connectWillRetain, // [MQTT-3.1.2-15]
		} {
			p := join(t, b)
			p.send(connectFlags(flags, 0, "a"))
			p.ends()
		}
	})
}

func TestMQTT_3_1_2_14_WillQoS3(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(willPacket("a", 3, false, "gone"))
		p.ends()
	})
}

func TestMQTT_3_1_2_16_WillRetain(t *testing.T) {
	for _, retain := range []bool{false, true} { // [MQTT-3.1.2-17]
		bubble(t, func(t *testing.T, b *Broker) {
			p := join(t, b)
			p.send(willPacket("a", 1, retain, "gone"))
			p.expect(accepted)
			p.nc.Close()
			q := enter(t, b, "q")
			q.send(subscribePacket(1, "will", 1))
			if retain {
				q.expect(hx("90 03 00 01 01"), pub(3, 1, "will", "gone"))
			} else {
				q.expect(hx("90 03 00 01 01"))
			}
		})
	}
}

func TestMQTT_3_1_2_WillMayBeEmpty(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		q := enter(t, b, "q")
		q.subscribe("#", 0)
		p := join(t, b)
		p.send(willPacket("a", 2, true, ""))
		p.expect(accepted)
		p.nc.Close()
		q.expect(pub(0, 0, "will", ""))
	})
}

func TestMQTT_3_1_2_22_PasswordWithoutUser(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectFlags(connectClean|connectPassword, 0, "a", "secret"))
		p.ends()
	})
}

func TestMQTT_3_1_2_FieldsFitFlags(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		for _, bad := range [][]byte{
			connectFlags(connectClean|connectUser, 0, "a"),               // [MQTT-3.1.2-19]: no user name
			connectFlags(connectClean, 0, "a", "b"),                      // [MQTT-3.1.2-18]: a field too many
			connectFlags(connectClean|connectWill, 0, "a", "will"),       // [MQTT-3.1.2-9]: no will message
			connectFlags(connectClean|connectWill, 0, "a", "will/#", ""), // a will must have a topic, not a filter
			connectFlags(connectClean|connectWill, 0, "a", "", ""),
			hx("10 00"), hx("10 06 00 04 'MQTT'"), hx("10 07 00 04 'MQTT' 04"), hx("10 0a 00 04 'MQTT' 04 02 00 00"),
		} {
			p := join(t, b)
			p.send(bad)
			p.ends()
		}
	})
}

func TestMQTT_3_1_2_24_KeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		begun := time.Now()
		p.send(connectWith("a", true, 10))
		p.expect(accepted)
		for range 5 { // any packet counts, 14 s is less than 1.5 times 10 s
			time.Sleep(14 * time.Second)
			p.lives()
		}
		time.Sleep(14 * time.Second)
		p.send(hx("30 05")) // half a packet does not count
		p.expect()
		time.Sleep(time.Second)
		p.ends()
		if took := time.Since(begun); took != 85*time.Second {
			t.Errorf("closed after %v", took)
		}
		p = enter(t, b, "never") // keepalive 0
		time.Sleep(1000 * time.Hour)
		p.lives()
	})
}

func TestMQTT_3_1_3_5_ClientIdentifiers(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		enter(t, b, "0123456789abcdefghijkABCDEFGHIJKLMNOPQRSTUVWXYZlmnopqrstuvwxyz"[:23])
		enter(t, b, "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6/✓")
		p := join(t, b)
		p.send(connectPacket(strings.Repeat("x", 257), true))
		p.ends(hx("20 02 00 02")) // [MQTT-3.1.3-9]
	})
}

func TestMQTT_3_1_3_6_EmptyIdentifier(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, q := enter(t, b, ""), enter(t, b, "") // each has its own
		p.lives()
		q.lives()
		r := join(t, b)
		r.send(connectPacket("", false)) // [MQTT-3.1.3-7], [MQTT-3.1.3-8]
		r.ends(hx("20 02 00 02"))
	})
}

func TestMQTT_3_1_4_2_TakeOver(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		q := enter(t, b, "a")
		p.ends()
		q.lives()
		if st := b.Stats(); st.Connected != 1 || st.Sessions != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A client that does not read keeps nobody from its identifier.
func TestMQTT_3_1_4_2_TakeOverOfStuckClient(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := joinSilent(t, b)
		p.send(connectPacket("a", false)) // and not even the CONNACK is read
		synctest.Wait()
		resume(t, b, "a", 1).lives()
	})
}

func TestMQTT_3_1_4_5_PacketsBehindConnect(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		all := append(connectPacket("a", true), subscribePacket(1, "t", 0)...)
		all = append(all, pub(0, 0, "t", "1")...)
		p.send(all)
		p.expect(accepted, hx("90 03 00 01 00"), pub(0, 0, "t", "1")) // [MQTT-3.2.0-1]
	})
}

// The specification leaves the time to the server (3.1.4): ours has ten seconds,
// whatever dribbles in.
func TestConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p, q := join(t, b), join(t, b)
		connect := connectPacket("a", true)
		for _, c := range connect[:9] {
			q.send([]byte{c})
			time.Sleep(time.Second)
		}
		p.expect()
		q.expect()
		time.Sleep(time.Second)
		p.ends()
		q.ends()
	})
}

func TestConnectIsSmall(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(hx("10 ff ff ff 7f")) // 256 MB are not waited for
		p.ends()
		p = join(t, b)
		p.send(connectFlags(connectClean|connectUser, 0, "a", strings.Repeat("u", 65000)))
		p.expect(accepted) // 64 KB are enough for that
	})
}

func TestMQTT_3_2_2_4_RefusalHasNoSession(t *testing.T) {
	bubbleWith(t, "", withUser(t, "hmi", "secret", nil, nil), nil, func(t *testing.T, b *Broker) {
		p := join(t, b)
		p.send(connectFlags(connectUser|connectPassword, 0, "a", "hmi", "secret"))
		p.expect(accepted)
		p.send(disconnect)
		p.ends()
		p = join(t, b)
		p.send(connectFlags(connectUser|connectPassword, 0, "a", "hmi", "wrong"))
		synctest.Wait()
		time.Sleep(loginDelay)
		p.ends(hx("20 02 00 05"))
	})
}

func TestMQTT_3_12_4_1_Ping(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(hx("c0 00 c0 00"))
		p.expect(hx("d0 00 d0 00"))
		p.send(hx("c0 01 00"))
		p.ends()
	})
}

func TestMQTT_3_14_1_1_DisconnectWithBody(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.send(hx("e0 01 00"))
		p.ends()
	})
}
