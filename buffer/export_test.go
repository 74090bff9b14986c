package buffer

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

func exported(t *testing.T, v *View, f Filter) (all []Exported, err error) {
	t.Helper()
	err = v.Export(context.Background(), f, func(r Exported) error { all = append(all, r); return nil })
	return all, err
}

func TestExportHasEveryReadingOnceAndAsItWas(t *testing.T) {
	dir := t.TempDir()
	epoch := fill(t, dir, 20_000)
	v, err := OpenView(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := exported(t, v, Filter{})
	if err != nil || len(all) != 20_003 {
		t.Fatalf("%d readings, %v", len(all), err)
	}
	for i, r := range all[3:] { // after the alarms
		if r.Seq != gateway.Seq(i+1) || r.Epoch != epoch || r.Value != gateway.Int(int64(i+1)) || r.Wall != 1_700_000_001_000+int64(i+1) || !r.Placed {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	from := time.UnixMilli(1_700_000_001_000 + 101)
	some, err := exported(t, v, Filter{From: from, To: from.Add(100 * time.Millisecond), Device: "device-1", Tag: "tag-12"})
	if err != nil || len(some) != 1 || some[0].Value != gateway.Int(112) {
		t.Fatalf("%+v, %v", some, err)
	}
}

func TestExportLeavesOutWhatIsDamagedAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 20_000)
	vandalise(t, dir, "UPDATE segment1 SET body=zeroblob(length(body)) WHERE id=(SELECT id FROM segment1 ORDER BY id LIMIT 1 OFFSET 1)")
	v, err := OpenView(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := exported(t, v, Filter{})
	if err == nil || !strings.Contains(err.Error(), "1 places") || len(all) == 0 || len(all) >= 20_003 {
		t.Fatalf("%d readings, %v", len(all), err)
	}
}

func TestExportKnowsNoTimeWhereNobodyDoes(t *testing.T) {
	dir := t.TempDir()
	boot := gateway.NewBoot("without a clock")
	s := start(t, testOptions(dir), boot)
	s.put(readings(boot, gateway.Normal, 1, 10)...)
	s.stop()
	v, err := OpenView(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all, err := exported(t, v, Filter{})
	if err != nil || len(all) != 10 || all[0].Placed {
		t.Fatalf("%+v, %v", all, err)
	}
	if sum, err := v.Summary(context.Background()); err != nil || sum.Boots[0].Clock != "unknown" {
		t.Fatalf("%+v, %v", sum, err)
	}
}

func TestSummaryTellsWhatEachUplinkOwes(t *testing.T) {
	s := start(t, testOptions(t.TempDir()), testBoot("b1"), "a", "b")
	s.put(readings(s.boot, gateway.Normal, 1, 3000)...)
	s.ack("a", s.next("a", gateway.Want{MaxReadings: 500}))
	s.put(readings(s.boot, gateway.Normal, 3001, 3001)...) // the ack rides on it
	sum, err := s.View().Summary(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	a, b := sum.Uplinks["a"], sum.Uplinks["b"]
	if a.Backlog != 2501 || b.Backlog != 3001 || a.Oldest == nil || a.Oldest.UnixMilli() != 1_700_000_001_501 || b.Oldest.UnixMilli() != 1_700_000_001_001 {
		t.Fatalf("%+v %+v", a, b)
	}
	if c := sum.Epochs[0].Classes["normal"]; c.First != 1 || c.Committed != 3001 || sum.MaxBytes != 64<<20 || sum.Boots[0].Clock != "synced" {
		t.Fatalf("%+v", sum)
	}
}
