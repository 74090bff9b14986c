package gateway

import (
	"testing"
	"time"
)

func TestMatchTopic(t *testing.T) {
	// Examples of MQTT 3.1.1, 4.7.1 and 4.7.2, and their neighbours.
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true}, {"#", "a/b", true}, {"#", "/", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false}, {"sport/+", "sport/", true},
		{"+/+", "/finance", true}, {"/+", "/finance", true}, {"+", "/finance", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true},
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a", false}, {"a", "a/b", false}, {"a/", "a", false},
		{"a/+/#", "a", false}, {"a/+/#", "a/b", true},
	} {
		if got := MatchTopic(c.filter, c.topic); got != c.want {
			t.Errorf("MatchTopic(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func TestValidFilterAndTopic(t *testing.T) {
	for filter, want := range map[string]bool{
		"a": true, "#": true, "+": true, "a/#": true, "+/b/+": true, "/": true, "a//b": true,
		"": false, "a#": false, "a/#/b": false, "#/a": false, "a+": false, "a/b+/c": false, "a\x00": false, "\xff": false,
	} {
		if got := ValidFilter(filter) == nil; got != want {
			t.Errorf("ValidFilter(%q) = %v", filter, ValidFilter(filter))
		}
	}
	for topic, want := range map[string]bool{"a/b": true, "/": true, "": false, "a/+": false, "#": false, "a\x00b": false} {
		if got := ValidTopic(topic) == nil; got != want {
			t.Errorf("ValidTopic(%q) = %v", topic, ValidTopic(topic))
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{"pad-7": true, "7": true, "A_b": true, "": false, "-a": false, "a.b": false, "a/b": false, "é": false} {
		if got := ValidName(name) == nil; got != want {
			t.Errorf("ValidName(%q) = %v", name, ValidName(name))
		}
	}
}

func TestStampWall(t *testing.T) {
	boot := NewBoot("x")
	at := Stamp{Boot: boot, At: 1000}
	if _, q := at.Wall(); q != Estimated {
		t.Errorf("unknown offset gives %v", q)
	}
	boot.SetOffset(Offset{Milli: 10})
	boot.SetOffset(Offset{Milli: 99}) // an estimate does not replace an estimate
	if ms, q := at.Wall(); ms != 1010 || q != Estimated {
		t.Errorf("estimate gives %d %v", ms, q)
	}
	boot.SetOffset(Offset{Milli: 20, Trusted: true, SyncedAt: 2000})
	if boot.SetOffset(Offset{Milli: 30, Trusted: true}) {
		t.Error("a trusted offset was changed")
	}
	if ms, q := at.Wall(); ms != 1020 || q != Corrected {
		t.Errorf("before the sync: %d %v", ms, q)
	}
	if ms, q := (Stamp{Boot: boot, At: 2000}).Wall(); ms != 2020 || q != Synced {
		t.Errorf("after the sync: %d %v", ms, q)
	}
}

func TestThisBootRunsOn(t *testing.T) {
	boot, err := ThisBoot()
	if err != nil || len(boot.ID) != 36 {
		t.Fatalf("boot id %q, %v", boot.ID, err)
	}
	first := boot.Now()
	if second := boot.Now(); second.At < first.At || first.At <= 0 || first.Boot != boot {
		t.Errorf("stamps %v, %v", first, second)
	}
	if Boottime() > 100*365*24*time.Hour {
		t.Errorf("boottime %v", Boottime())
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"256MB": 256e6, "64KiB": 65536, "1.5GB": 1.5e9, "10B": 10, "4 MB": 4e6} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q = %d, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "256", "MB", "-1MB", "1e99GB", "xMB"} {
		var s Size
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q = %d", bad, s)
		}
	}
	if got := Size(256e6).String(); got != "256MB" {
		t.Error(got)
	}
}

func TestBatchRange(t *testing.T) {
	gap := Gap{From: 3, To: 9}
	for _, c := range []struct {
		batch    Batch
		from, to Seq
	}{
		{Batch{First: 10, Readings: make([]Reading, 2)}, 10, 11},
		{Batch{First: 10, Readings: make([]Reading, 2), Gaps: []Gap{gap}}, 3, 11},
		{Batch{Gaps: []Gap{gap}}, 3, 9},
	} {
		if from, to := c.batch.Range(); from != c.from || to != c.to {
			t.Errorf("range %d..%d, want %d..%d", from, to, c.from, c.to)
		}
	}
}
