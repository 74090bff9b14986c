package buffer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// small is a buffer of 1 MiB that is soon full.
func small(t *testing.T, uplinks ...string) *running {
	o := testOptions(t.TempDir())
	o.Fast, o.MaxSize = time.Hour, 1<<20
	return start(t, o, testBoot("b"), uplinks...)
}

var serial int

// long makes readings of 1000 incompressible bytes each.
func long(s *running, class gateway.Class, n int) (rs []gateway.Reading) {
	for range n {
		serial++
		var text strings.Builder
		for i := 0; text.Len() < 1000; i++ {
			fmt.Fprintf(&text, "%x", uint64(serial*1000+i)*0x9e3779b97f4a7c15)
		}
		rs = append(rs, gateway.Reading{Tag: testTags[0], Class: class, Stamp: gateway.Stamp{Boot: s.boot, At: int64(serial)}, Value: gateway.Text(text.String())})
	}
	return rs
}

func lostOf(batches []gateway.Batch) (got, lost [gateway.Classes]int) {
	for _, b := range batches {
		got[b.Class] += len(b.Readings)
		for _, g := range b.Gaps {
			lost[b.Class] += g.Count
		}
	}
	return got, lost
}

func TestDeliveredHistoryGoesFirstAndWithoutAGap(t *testing.T) {
	s := small(t, "a")
	s.put(long(s, gateway.Alarm, 100)...)
	s.drain("a")
	for range 20 {
		s.put(long(s, gateway.Bulk, 100)...)
		if got, lost := lostOf(s.drain("a")); got[gateway.Bulk] != 100 || lost != [gateway.Classes]int{} {
			t.Fatalf("got %v, lost %v", got, lost)
		}
	}
	st := s.Stats()
	if st.File.Used > 1<<20*92/100 || st.File.Used < 1<<20*6/10 {
		t.Fatalf("%d bytes in use", st.File.Used)
	}
	if st.Classes[gateway.Bulk].Dropped != 0 {
		t.Fatalf("%+v", st.Classes)
	}
}

func TestBulkIsDroppedBeforeNormalAndAlarmsLast(t *testing.T) {
	s := small(t, "a")
	s.put(long(s, gateway.Alarm, 100)...)
	s.put(long(s, gateway.Bulk, 300)...)
	for range 15 {
		s.put(long(s, gateway.Normal, 100)...)
		if dropped := s.Stats().Classes; dropped[gateway.Normal].Dropped > 0 && dropped[gateway.Bulk].Dropped < 300 {
			t.Fatalf("normal readings are dropped while there are bulk ones: %+v", dropped)
		}
	}
	got, lost := lostOf(s.drain("a"))
	if got[gateway.Alarm] != 100 || lost[gateway.Bulk] != 300 || lost[gateway.Normal] == 0 || got[gateway.Normal]+lost[gateway.Normal] != 1500 {
		t.Fatalf("got %v, lost %v", got, lost)
	}
}

func TestAlarmsHaveAReserve(t *testing.T) {
	s := small(t, "a")
	for range 12 {
		s.put(long(s, gateway.Alarm, 100)...)
		s.put(long(s, gateway.Normal, 100)...)
	}
	used := s.Stats().File.Used
	if used <= 1<<20*9/10 || used > 1<<20 {
		t.Fatalf("%d bytes in use", used)
	}
	got, lost := lostOf(s.drain("a"))
	if got[gateway.Normal] != 0 || lost[gateway.Normal] != 1200 || got[gateway.Alarm] < 600 || got[gateway.Alarm]+lost[gateway.Alarm] != 1200 {
		t.Fatalf("got %v, lost %v", got, lost)
	}
}

func TestGapsJoinUntilTheyAreSent(t *testing.T) {
	s := small(t, "a", "b")
	for range 10 {
		s.put(long(s, gateway.Normal, 300)...)
	}
	if n := len(s.uplinks["a"].claim(claimKey{s.Epoch(), gateway.Normal}).gaps); n != 1 {
		t.Fatalf("%d gap records for one loss", n)
	}
	first := s.next("a", gateway.Want{})
	for range 5 {
		s.put(long(s, gateway.Normal, 300)...)
	}
	again := s.next("a", gateway.Want{})
	if again.Gaps[0] != first.Gaps[0] {
		t.Fatalf("a gap that was sent grew from %+v to %+v", first.Gaps[0], again.Gaps[0])
	}
	for _, uplink := range []string{"a", "b"} {
		got, lost := lostOf(s.drain(uplink))
		if got[gateway.Normal]+lost[gateway.Normal] != 4500 || lost[gateway.Normal] == 0 {
			t.Fatalf("%s: got %v, lost %v", uplink, got, lost)
		}
	}
}

// A delivery that is acknowledged late beats the gap.
func TestALateAckTakesTheGapAway(t *testing.T) {
	s := small(t, "a")
	s.put(long(s, gateway.Normal, 300)...)
	b := s.next("a", gateway.Want{MaxReadings: 100})
	for range 5 {
		s.put(long(s, gateway.Normal, 300)...)
	}
	s.ack("a", b)
	got, lost := lostOf(s.drain("a"))
	if got[gateway.Normal]+lost[gateway.Normal] != 1700 {
		t.Fatalf("got %v, lost %v", got, lost)
	}
	s.put(long(s, gateway.Normal, 1)...) // the gaps go with the next commit
	if gaps := s.uplinks["a"].claim(claimKey{s.Epoch(), gateway.Normal}).gaps; len(gaps) != 0 {
		t.Fatalf("still %+v", gaps)
	}
}

func TestWithoutUplinksReadingsAreHistory(t *testing.T) {
	s := small(t)
	for range 20 {
		s.put(long(s, gateway.Normal, 100)...)
	}
	st := s.Stats().Classes[gateway.Normal]
	if st.Committed != 2000 || st.Stored < 500 || st.Stored > 1000 || st.Dropped != 0 {
		t.Fatalf("%+v", st)
	}
	high := st.Committed
	dir := s.o.Directory
	s.stop()
	o := testOptions(dir)
	if s = start(t, o, testBoot("b")); s.Stats().Classes[gateway.Normal].Committed != high {
		t.Fatal("seqs would be used twice")
	}
}

func TestSeqsGoOnAfterAWholeClassWasDropped(t *testing.T) {
	s := small(t, "a")
	s.put(long(s, gateway.Bulk, 100)...)
	s.drain("a")
	for range 20 {
		s.put(long(s, gateway.Normal, 100)...)
		s.drain("a")
	}
	if stored := s.Stats().Classes[gateway.Bulk].Stored; stored != 0 {
		t.Fatalf("%d bulk readings are still there", stored)
	}
	s.put(long(s, gateway.Bulk, 1)...) // its open row is gone
	if got, lost := lostOf(s.drain("a")); got[gateway.Bulk] != 1 || lost[gateway.Bulk] != 0 {
		t.Fatalf("got %v, lost %v", got, lost)
	}
	for range 20 {
		s.put(long(s, gateway.Normal, 100)...)
		s.drain("a")
	}
	epoch := s.Epoch()
	s.stop()
	s = start(t, testOptions(s.o.Directory), s.boot, "a")
	if high := s.Stats().Classes[gateway.Bulk].Committed; high != 101 || s.Epoch() != epoch {
		t.Fatalf("bulk goes on after %d in epoch %v, it was %v", high, s.Epoch(), epoch)
	}
}

func TestHistoryAges(t *testing.T) {
	o := testOptions(t.TempDir())
	o.Fast = time.Hour
	boot := testBoot("b")
	now := int64(0)
	o.Now = func() gateway.Stamp { return gateway.Stamp{Boot: boot, At: now} }
	o.KeepDelivered = 10 * time.Minute
	s := start(t, o, boot)
	for range 80 {
		s.put(long(s, gateway.Normal, 4)...)
	}
	stored := s.Stats().Classes[gateway.Normal].Stored
	now = 3_600_000
	s.expired = time.Time{} // of the committer, which has nothing to do now
	s.put(long(s, gateway.Normal, 1)...)
	if left := s.Stats().Classes[gateway.Normal].Stored; left > stored-64 || left == 0 {
		t.Fatalf("%d readings, then %d", stored, left)
	}
}

func TestAMessageOfAMegabyteFits(t *testing.T) {
	o := testOptions(t.TempDir())
	o.MaxSize = 8 << 20
	boot := testBoot("b")
	s := start(t, o, boot, "a")
	payload := make([]byte, 1<<20)
	for i := range payload {
		payload[i] = byte(i * i >> 7)
	}
	message := func(p []byte) gateway.Reading {
		return gateway.Reading{Tag: gateway.Foreign, Stamp: gateway.Stamp{Boot: boot, At: 5}, Value: gateway.Message("hmi/image", p), Class: gateway.Normal}
	}
	var answers []error
	note := func(err error) { answers = append(answers, err) }
	s.Append([]gateway.Reading{reading(boot, gateway.Normal, 1), message(payload), reading(boot, gateway.Normal, 2)}, note)
	s.Append([]gateway.Reading{message(make([]byte, maxText))}, note)
	s.flush()
	if len(answers) != 2 || answers[0] != nil || answers[1] == nil {
		t.Fatalf("answers %v", answers)
	}
	batches := s.drain("a")
	var got []gateway.Reading
	for _, b := range batches {
		got = append(got, b.Readings...)
	}
	if len(got) != 3 || got[1] != message(payload) || got[1].Tag != gateway.Foreign {
		t.Fatalf("%d readings", len(got))
	}
	for range 40 { // and drops out again when it must
		s.put(message(payload))
		s.drain("a")
	}
	if used := s.Stats().File.Used; used > 8<<20 {
		t.Fatalf("%d bytes", used)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if f := Defaults().Validate(); len(f) != 0 {
		t.Fatalf("the defaults are wrong: %v", f)
	}
	f := Options{CommitInterval: time.Hour, MaxSize: 1, KeepDelivered: -1}.Validate()
	if len(f) != 4 {
		t.Fatalf("%v", f)
	}
	var o Options
	if o.Defaults(); o.Directory != Defaults().Directory || o.MaxSize != Defaults().MaxSize {
		t.Fatalf("%+v", o)
	}
}
