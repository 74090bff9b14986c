package broker

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// syncedBoot is a boot whose wall time is trusted: boottime 0 is 22:00 on
// 22 November 2026.
func syncedBoot() *gateway.Boot {
	boot := gateway.NewBoot("test")
	boot.SetOffset(gateway.Offset{Milli: time.Date(2026, 11, 22, 22, 0, 0, 0, time.UTC).UnixMilli(), Trusted: true})
	return boot
}

var (
	testBoot = syncedBoot()
	pressure = &gateway.Tag{Device: "separator", Name: "pressure", Type: "float32", Unit: "bar", Scale: gateway.One}
	running  = &gateway.Tag{Device: "pump", Name: "running", Type: "bool", Scale: gateway.One}
)

// reading is a good reading, made so many seconds after the boot.
func reading(tag *gateway.Tag, at int64, v gateway.Value) gateway.Reading {
	return gateway.Reading{Tag: tag, Stamp: gateway.Stamp{Boot: testBoot, At: at * 1000}, Value: v, Class: gateway.Normal}
}

func failed(tag *gateway.Tag, at int64, why gateway.Reason) gateway.Reading {
	r := reading(tag, at, gateway.Value{})
	r.Quality, r.Reason = gateway.Bad, why
	return r
}

func TestReadingsOnSite(t *testing.T) {
	uncertain := reading(pressure, 5, gateway.Float32(300.25))
	uncertain.Quality, uncertain.Reason = gateway.Uncertain, gateway.Range
	sentinel := failed(pressure, 6, gateway.Sentinel)
	sentinel.Value = gateway.Int(32768) // whatever a driver leaves there is never shown
	unsynced := reading(running, 7, gateway.Bool(true))
	unsynced.Stamp.Boot = gateway.NewBoot("lost")
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("#", 1)
		for _, c := range []struct {
			r       gateway.Reading
			payload string
		}{
			{failed(pressure, 0, gateway.Starting), `{"time":"2026-11-22T22:00:00.000Z","value":null,"unit":"bar","quality":"bad","reason":"starting"}`},
			{reading(pressure, 1, gateway.Float32(12.34)), `{"time":"2026-11-22T22:00:01.000Z","value":12.34,"unit":"bar","quality":"good"}`},
			{failed(pressure, 2, gateway.Timeout), `{"time":"2026-11-22T22:00:02.000Z","value":null,"unit":"bar","quality":"bad","reason":"timeout","last":12.34,"last_time":"2026-11-22T22:00:01.000Z"}`},
			{failed(pressure, 3, gateway.CRC), `{"time":"2026-11-22T22:00:03.000Z","value":null,"unit":"bar","quality":"bad","reason":"crc","last":12.34,"last_time":"2026-11-22T22:00:01.000Z"}`},
			{reading(pressure, 4, gateway.Uint(math.MaxUint64)), `{"time":"2026-11-22T22:00:04.000Z","value":18446744073709551615,"unit":"bar","quality":"good"}`},
			{uncertain, `{"time":"2026-11-22T22:00:05.000Z","value":300.25,"unit":"bar","quality":"uncertain","reason":"range"}`},
			{sentinel, `{"time":"2026-11-22T22:00:06.000Z","value":null,"unit":"bar","quality":"bad","reason":"sentinel","last":18446744073709551615,"last_time":"2026-11-22T22:00:04.000Z"}`},
			{reading(running, 6, gateway.Bool(true)), `{"time":"2026-11-22T22:00:06.000Z","value":true,"quality":"good"}`},
			{unsynced, `{"time":"1970-01-01T00:00:07.000Z","value":true,"quality":"good","time_quality":"estimated"}`},
		} {
			b.Append([]gateway.Reading{c.r}, nil)
			topic := "pad-7/" + c.r.Tag.Device + "/" + c.r.Tag.Name
			p.expect(pub(0, 0, topic, c.payload))
			q := enter(t, b, "q") // who comes later sees the same
			q.send(subscribePacket(1, topic, 1))
			q.expect(hx("90 03 00 01 01"), pub(1, 0, topic, c.payload))
		}
		if st := b.Stats(); st.Retained != 2 {
			t.Errorf("%d are retained", st.Retained)
		}
	})
}

func TestReadingsAsPlainValues(t *testing.T) {
	text := &gateway.Tag{Device: "d", Name: "serial"}
	o := Options{Topic: "plant/{site}/{device}_{tag}", Payload: "value", TagQoS: 1}
	bubbleWith(t, "pad-7", o, nil, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("plant/#", 1)
		b.Append([]gateway.Reading{
			reading(pressure, 1, gateway.Float32(0.1)), failed(pressure, 2, gateway.Timeout),
			reading(text, 3, gateway.Text(`A"7`)), reading(text, 3, gateway.Text("")),
		}, nil)
		p.expect(pub(2, 1, "plant/pad-7/separator_pressure", "0.1"), pub(2, 2, "plant/pad-7/separator_pressure", "null"),
			pub(2, 3, "plant/pad-7/d_serial", `A"7`), pub(2, 4, "plant/pad-7/d_serial", ""))
		p.send(pub(2, 1, "plant/pad-7/separator_pressure", "0.2")) // ours wherever it is
		p.expect(ackPacket(typePuback, 1))
		q := enter(t, b, "q")
		q.send(subscribePacket(1, "#", 0))
		q.expect(hx("90 03 00 01 00"), pub(1, 0, "plant/pad-7/separator_pressure", "null")) // none is empty ([MQTT-3.3.1-11])
	})
}

// With tag_qos 1 readings wait for an absent session; with 0 they do not.
func TestReadingsForAbsentSessions(t *testing.T) {
	for qos := range 2 {
		bubbleWith(t, "pad-7", Options{TagQoS: qos, Payload: "value"}, nil, func(t *testing.T, b *Broker) {
			p := resume(t, b, "a", 0)
			p.subscribe("pad-7/#", 1)
			p.nc.Close()
			p.got()
			for i := range int64(3) {
				b.Append([]gateway.Reading{reading(pressure, i, gateway.Int(i))}, nil)
			}
			p = resume(t, b, "a", 1)
			if qos == 0 {
				p.expect()
				return
			}
			p.expect(pub(2, 1, "pad-7/separator/pressure", "0"), pub(2, 2, "pad-7/separator/pressure", "1"), pub(2, 3, "pad-7/separator/pressure", "2"))
		})
	}
}

// A reload makes new tags with the same names: the topic goes on, with the new unit.
func TestTagIsReplaced(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		b.Publish("pad-7/separator/pressure", []byte("from before"), true)
		for i := range 100 {
			tag := *pressure
			tag.Unit = fmt.Sprint("unit", i)
			b.Append([]gateway.Reading{reading(&tag, 1, gateway.Int(int64(i)))}, nil)
		}
		p := enter(t, b, "a")
		p.send(subscribePacket(1, "#", 0))
		p.expect(hx("90 03 00 01 00"), pub(1, 0, "pad-7/separator/pressure", `{"time":"2026-11-22T22:00:01.000Z","value":99,"unit":"unit99","quality":"good"}`))
		if len(b.tags) != 1 || b.retained.count != 0 || b.retained.bytes != 0 {
			t.Errorf("%d tags, %d other retained messages of %d bytes", len(b.tags), b.retained.count, b.retained.bytes)
		}
	})
}

func TestOwnStates(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		p := enter(t, b, "a")
		p.subscribe("pad-7/_state", 0)
		b.Publish("pad-7/_state", []byte("1"), true)
		b.Publish("pad-7/#", []byte("no topic"), true)
		p.expect(pub(0, 0, "pad-7/_state", "1"))
		p.send(subscribePacket(1, "pad-7/_state", 0))
		p.expect(hx("90 03 00 01 00"), pub(1, 0, "pad-7/_state", "1"))
		b.Publish("pad-7/_state", nil, true)
		p.expect(pub(0, 0, "pad-7/_state", ""))
		p.send(subscribePacket(1, "pad-7/_state", 0))
		p.expect(hx("90 03 00 01 00"))
	})
}

// A write is delivered to who listens now, and never kept for later.
func TestWritesAreNotRetained(t *testing.T) {
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		p, q := enter(t, b, "a"), enter(t, b, "q")
		p.subscribe("pad-7/+/+/set", 1)
		q.send(pub(3, 1, "pad-7/pump/speed/set", "50"))
		q.expect(ackPacket(typePuback, 1))
		p.expect(pub(2, 1, "pad-7/pump/speed/set", "50"))
		q.send(subscribePacket(1, "pad-7/pump/speed/set", 0))
		q.expect(hx("90 03 00 01 00"))
	})
}

// What is appended reaches the Tap as it is, with the caller's done.
func TestAppendHandsOn(t *testing.T) {
	tap := &fakeTap{}
	bubbleWith(t, "pad-7", Options{}, tap, func(t *testing.T, b *Broker) {
		var told []error
		done := func(err error) { told = append(told, err) }
		b.Append([]gateway.Reading{reading(pressure, 1, gateway.Int(1)), reading(running, 1, gateway.Bool(true))}, done)
		if len(tap.readings) != 2 || tap.readings[0].Tag != pressure || len(told) != 0 {
			t.Fatalf("tap has %v, done %v", tap.readings, told)
		}
		tap.finish(nil)
		if len(told) != 1 || told[0] != nil {
			t.Errorf("done: %v", told)
		}
	})
	bubbleWith(t, "pad-7", Options{}, nil, func(t *testing.T, b *Broker) {
		told := 0
		b.Append([]gateway.Reading{reading(pressure, 1, gateway.Int(1))}, func(error) { told++ })
		if told != 1 {
			t.Errorf("without a tap done is called %d times", told)
		}
	})
}

func TestAppendWithoutSubscribersDoesNotAllocate(t *testing.T) {
	b := New("pad-7", Options{}, nil, quietLog())
	rs := manyReadings(1000)
	b.Append(rs, nil)
	if n := testing.AllocsPerRun(10, func() { b.Append(rs, nil) }); n != 0 {
		t.Errorf("%v allocations for 1000 readings", n)
	}
}

func manyReadings(n int) []gateway.Reading {
	rs := make([]gateway.Reading, n)
	for i := range rs {
		tag := &gateway.Tag{Device: fmt.Sprint("device", i/10), Name: fmt.Sprint("tag", i%10), Unit: "bar", Scale: gateway.One}
		rs[i] = reading(tag, int64(i), gateway.Float32(float32(i)/10))
	}
	return rs
}
