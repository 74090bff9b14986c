package buffer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// vandal changes what is in a file behind the buffer's back.
type vandal struct{ statements []string }

func (v vandal) Load(tx *flash.Tx) error {
	for _, s := range v.statements {
		if err := tx.Exec(s); err != nil {
			return err
		}
	}
	return nil
}
func (vandal) Write(*flash.Tx) error { return nil }
func (vandal) Settled(error)         {}

func vandalise(t *testing.T, dir string, statements ...string) {
	t.Helper()
	f, err := flash.Open(flash.Options{Path: dbPath(dir), Log: quiet})
	if err == nil {
		err = errors.Join(f.Join(vandal{statements}), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// count follows an uplink to the end: what it got and what it was told is lost.
func count(t *testing.T, s *running, uplink string) (readings, lost int, reasons string) {
	t.Helper()
	v := newServer()
	for {
		b, err := s.Next(context.Background(), uplink, gateway.Want{Classes: gateway.AllClasses, Wait: s.Stats().Uplinks[uplink].Backlog > 0})
		if errors.Is(err, gateway.ErrNothing) {
			return readings, lost, reasons
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := v.take(uplink, b); err != nil {
			t.Fatal(err)
		}
		readings += len(b.Readings)
		for _, g := range b.Gaps {
			lost += g.Count
			if !strings.Contains(reasons, g.Reason) {
				reasons += g.Reason
			}
		}
		s.ack(uplink, b)
	}
}

// fill makes a file with several segments of one class, and stops.
func fill(t *testing.T, dir string, n int) (epoch gateway.Epoch) {
	t.Helper()
	boot := testBoot("b1")
	s := start(t, testOptions(dir), boot, "a", "b")
	for i := 0; i < n; i += 1000 {
		s.put(readings(boot, gateway.Normal, i+1, i+1000)...)
	}
	s.put(readings(boot, gateway.Alarm, n+1, n+3)...)
	epoch = s.Epoch()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	return epoch
}

func TestDamagedRowsBecomeAGapForEveryUplink(t *testing.T) {
	const second = "(SELECT id FROM segment1 ORDER BY id LIMIT 1 OFFSET 1)"
	for name, statement := range map[string]string{
		"body":         "UPDATE segment1 SET body=zeroblob(length(body)) WHERE id=" + second,
		"count":        "UPDATE segment1 SET n=n+5 WHERE id=" + second,
		"count zero":   "UPDATE segment1 SET n=0 WHERE id=" + second,
		"boot":         "UPDATE segment1 SET boot=77 WHERE id=" + second,
		"flags":        "UPDATE segment1 SET flags=0 WHERE id=" + second,
		"type":         "UPDATE segment1 SET body='text' WHERE id=" + second,
		"gone":         "DELETE FROM segment1 WHERE id=" + second,
		"another id":   "UPDATE segment1 SET id=id+3 WHERE id=" + second,
		"first":        "UPDATE segment1 SET crc=crc+1 WHERE id=(SELECT min(id) FROM segment1)",
		"first gone":   "DELETE FROM segment1 WHERE id=(SELECT min(id) FROM segment1)",
		"all but last": "UPDATE segment1 SET crc=crc+1 WHERE id<(SELECT max(id) FROM segment1)",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			epoch := fill(t, dir, 20_000)
			vandalise(t, dir, statement)
			s := start(t, testOptions(dir), testBoot("b1"), "a", "b")
			if s.Epoch() != epoch {
				t.Fatal("a new epoch for one damaged row")
			}
			for _, uplink := range []string{"a", "b"} {
				got, lost, reasons := count(t, s, uplink)
				if got+lost != 20_003 || lost == 0 || reasons != "damaged" {
					t.Fatalf("%s: %d readings, lost %v, %q", uplink, got, lost, reasons)
				}
			}
			s.put(readings(s.boot, gateway.Normal, 1, 10)...)
			if b := s.next("a", gateway.Want{}); b.First != 20_001 || len(b.Readings) != 10 {
				t.Fatalf("after that %d+%d", b.First, len(b.Readings))
			}
		})
	}
}

func TestDamagedRecordsAreNotBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		readings  int // that come, damaged or not, of the old epoch
		newEpoch  bool
	}{
		"last row":     {"UPDATE segment1 SET crc=crc+1 WHERE id=(SELECT max(id) FROM segment1)", -1, true},
		"epoch":        {"UPDATE epoch SET epoch=epoch+1", 0, true},
		"tag":          {"UPDATE tag SET unit='psi' WHERE id=1", -1, false},
		"acknowledged": {"UPDATE ack SET spans=x'01ff7f'", 20_003, false},
		"acks gone":    {"DELETE FROM ack WHERE class=1 AND uplink='a'", 20_003, false},
		"a gap":        {"INSERT INTO gap VALUES(1,'a',1,1,5,10000,1,1,1,1,'buffer full',99)", 20_003, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			epoch := fill(t, dir, 20_000)
			vandalise(t, dir, c.statement)
			s := start(t, testOptions(dir), testBoot("b1"), "a", "b")
			if (s.Epoch() != epoch) != c.newEpoch {
				t.Fatalf("epoch %v, then %v", epoch, s.Epoch())
			}
			got, lost, _ := count(t, s, "a")
			if c.readings >= 0 && got != c.readings {
				t.Fatalf("%d readings, lost %v", got, lost)
			}
			if c.readings < 0 && (lost == 0 || !c.newEpoch && got+lost != 20_003) {
				t.Fatalf("%d readings, lost %v: nobody noticed", got, lost)
			}
			s.put(readings(s.boot, gateway.Bulk, 1, 10)...)
			if b := s.next("a", gateway.Want{}); b.First != 1 || b.Epoch != s.Epoch() || len(b.Readings) != 10 {
				t.Fatalf("after that %d+%d", b.First, len(b.Readings))
			}
		})
	}
}

func TestADamagedClockIsEstimatedAgain(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1000)
	vandalise(t, dir, "UPDATE boot SET offset_ms=offset_ms+1")
	s := start(t, testOptions(dir), testBoot("b2"), "a")
	s.put(reading(s.boot, gateway.Bulk, 1))
	b := s.next("a", gateway.Want{})
	wall, quality := b.Readings[0].Stamp.Wall()
	if quality != gateway.Estimated || wall > 1_700_000_000_000 {
		t.Fatalf("%d, %v", wall, quality)
	}
}

// An older copy of the file would give out seqs a second time.
func TestAnOlderCopyOfTheFileBeginsANewEpoch(t *testing.T) {
	dir, boot := t.TempDir(), testBoot("b1")
	s := start(t, testOptions(dir), boot, "a")
	s.put(readings(boot, gateway.Normal, 1, 100)...)
	old := s.Epoch()
	s.stop()
	older, err := os.ReadFile(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, testOptions(dir), boot, "a")
	s.put(readings(boot, gateway.Normal, 101, 200)...)
	s.stop()
	if err := os.WriteFile(dbPath(dir), older, 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, testOptions(dir), boot, "a")
	if s.Epoch() == old {
		t.Fatal("the epoch goes on, and seqs 101 to 200 would be used twice")
	}
	s.put(readings(boot, gateway.Normal, 301, 310)...)
	b := s.next("a", gateway.Want{})
	if b.Epoch != old || b.First != 1 || len(b.Readings) != 100 {
		t.Fatalf("unsent readings of the old epoch: %v %d+%d", b.Epoch, b.First, len(b.Readings))
	}
	s.ack("a", b)
	if b = s.next("a", gateway.Want{}); b.Epoch != s.Epoch() || b.First != 1 || len(b.Readings) != 10 {
		t.Fatalf("readings of the new epoch: %v %d+%d", b.Epoch, b.First, len(b.Readings))
	}
	s.ack("a", b)
	epoch := s.Epoch()
	s.stop()
	s = start(t, testOptions(dir), boot, "a")
	if s.Epoch() != epoch {
		t.Fatal("one more epoch, for no reason")
	}
	s.nothing("a")
}

func TestTheGatewayAlwaysStarts(t *testing.T) {
	for name, how := range map[string]func(dir string) error{
		"random bytes":   func(dir string) error { return os.WriteFile(dbPath(dir), []byte(strings.Repeat("noise", 9999)), 0o600) },
		"truncated":      func(dir string) error { return os.Truncate(dbPath(dir), 10_000) },
		"empty":          func(dir string) error { return os.Truncate(dbPath(dir), 0) },
		"gone":           func(dir string) error { return os.Remove(dbPath(dir)) },
		"copy is noise":  func(dir string) error { return os.WriteFile(filepath.Join(dir, copyFile), []byte("{"), 0o600) },
		"copy is gone":   func(dir string) error { return os.Remove(filepath.Join(dir, copyFile)) },
		"a directory":    func(dir string) error { return errors.Join(os.Remove(dbPath(dir)), os.Mkdir(dbPath(dir), 0o700)) },
		"no directory":   func(dir string) error { return os.RemoveAll(dir) },
		"a file instead": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			epoch := fill(t, dir, 1000)
			if err := how(dir); err != nil {
				t.Fatal(err)
			}
			s := start(t, testOptions(dir), testBoot("b1"), "a")
			if same := strings.HasPrefix(name, "copy"); same != (s.Epoch() == epoch) {
				t.Fatalf("epoch %v, then %v", epoch, s.Epoch())
			}
			if st := s.Stats().File; st.InMemory != (name == "a file instead") || st.InMemory && st.Trouble == "" {
				t.Fatalf("%+v", st)
			}
			s.put(readings(s.boot, gateway.Normal, 1, 10)...)
			n := 0
			for _, b := range s.drain("a") {
				n += len(b.Readings)
			}
			if n < 10 {
				t.Fatalf("%d readings", n)
			}
		})
	}
}

func TestTwoGatewaysCannotShareADirectory(t *testing.T) {
	o := testOptions(t.TempDir())
	start(t, o, testBoot("b"))
	if _, err := Open(o, testBoot("b"), nil, quiet); !errors.Is(err, flash.ErrInUse) {
		t.Fatal(err)
	}
}
