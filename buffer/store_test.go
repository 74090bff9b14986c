package buffer

import (
	"context"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
)

func TestReadingsComeBackInOrderUntilAcknowledged(t *testing.T) {
	boot := testBoot("b1")
	s := start(t, testOptions(t.TempDir()), boot, "scada")
	s.put(readings(boot, gateway.Normal, 1, 5000)...)
	n := 0
	for n < 5000 {
		b := s.next("scada", gateway.Want{MaxReadings: 700})
		again := s.next("scada", gateway.Want{MaxReadings: 700})
		if again.First != b.First || len(again.Readings) != len(b.Readings) {
			t.Fatalf("asked again without an ack: %d+%d, then %d+%d", b.First, len(b.Readings), again.First, len(again.Readings))
		}
		if b.First != gateway.Seq(n+1) || b.Epoch != s.Epoch() || len(b.Readings) > 700 {
			t.Fatalf("batch begins at %d with %d readings, want %d", b.First, len(b.Readings), n+1)
		}
		for _, r := range b.Readings {
			n++
			if r != reading(boot, gateway.Normal, n) {
				t.Fatalf("reading %d is %+v", n, r)
			}
		}
		s.ack("scada", b)
	}
	s.nothing("scada")
}

func TestReadingsSurviveARestart(t *testing.T) {
	dir, boot := t.TempDir(), testBoot("b1")
	s := start(t, testOptions(dir), boot, "scada")
	s.put(readings(boot, gateway.Normal, 1, 300)...)
	b := s.next("scada", gateway.Want{MaxReadings: 100})
	s.ack("scada", b)
	epoch := s.Epoch()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, testOptions(dir), gateway.NewBoot("b1"), "scada")
	if s.Epoch() != epoch {
		t.Fatalf("epoch %v became %v", epoch, s.Epoch())
	}
	s.put(readings(s.boot, gateway.Normal, 301, 400)...)
	n := 100
	for _, b := range s.drain("scada") {
		for i, r := range b.Readings {
			n++
			want := reading(s.boot, gateway.Normal, n)
			if b.First+gateway.Seq(i) != gateway.Seq(n) || *r.Tag != *want.Tag || r.Value != want.Value || r.Stamp != want.Stamp {
				t.Fatalf("seq %d: %+v, want %+v", n, r, want)
			}
			if wall, _ := r.Stamp.Wall(); wall != 1_700_000_000_000+r.Stamp.At {
				t.Fatalf("the clock of the boot was not kept: %d", wall)
			}
		}
	}
	if n != 400 {
		t.Fatalf("got %d readings", n)
	}
}

func TestANewUplinkBeginsNowAndAGoneOneDropsItsClaim(t *testing.T) {
	dir, boot := t.TempDir(), testBoot("b1")
	s := start(t, testOptions(dir), boot, "a")
	s.put(readings(boot, gateway.Normal, 1, 10)...)
	s.stop()
	s = start(t, testOptions(dir), boot, "a", "b")
	s.nothing("b")
	s.put(readings(boot, gateway.Normal, 11, 12)...)
	if b := s.next("b", gateway.Want{}); b.First != 11 || len(b.Readings) != 2 {
		t.Fatalf("the new uplink begins at %d with %d", b.First, len(b.Readings))
	}
	if b := s.next("a", gateway.Want{}); b.First != 1 || len(b.Readings) != 12 {
		t.Fatalf("the old uplink has %d+%d", b.First, len(b.Readings))
	}
	s.stop()
	s = start(t, testOptions(dir), boot, "b")
	s.stop()
	s = start(t, testOptions(dir), boot, "a", "b")
	s.nothing("a")
	if b := s.next("b", gateway.Want{}); b.First != 11 {
		t.Fatalf("the uplink that stayed begins at %d", b.First)
	}
	if _, err := s.Next(context.Background(), "c", gateway.Want{}); err == nil {
		t.Fatal("an unknown uplink got something")
	}
}

func TestTheMostUrgentClassGoesFirst(t *testing.T) {
	boot := testBoot("b1")
	s := start(t, testOptions(t.TempDir()), boot, "a")
	s.put(reading(boot, gateway.Bulk, 1), reading(boot, gateway.Normal, 2), reading(boot, gateway.Alarm, 3))
	for _, want := range []gateway.Class{gateway.Alarm, gateway.Normal, gateway.Bulk} {
		b := s.next("a", gateway.Want{})
		if b.Class != want || b.First != 1 {
			t.Fatalf("got %v %d, want %v", b.Class, b.First, want)
		}
		s.ack("a", b)
	}
}
