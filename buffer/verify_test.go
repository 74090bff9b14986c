package buffer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

func verify(t *testing.T, path string) Verified {
	t.Helper()
	v, err := OpenView(path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	x, err := v.Verify(context.Background(), func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// everything returns what is in a directory, byte for byte, and when it was written.
func everything(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		b, readErr := os.ReadFile(filepath.Join(dir, e.Name()))
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %v %v\n%s\n", e.Name(), info.ModTime(), info.Mode(), b)
	}
	return all.String()
}

func TestVerifyFindsNothingInAGoodFile(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 20_000)
	before := everything(t, dir)
	if x := verify(t, dbPath(dir)); x.Readings != 20_003 || len(x.Faults) != 0 || x.Segments < 5 {
		t.Fatalf("%+v", x)
	}
	if everything(t, dir) != before {
		t.Fatal("the file, or what lies beside it, changed")
	}
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	const second = "(SELECT id FROM segment1 ORDER BY id LIMIT 1 OFFSET 1)"
	for name, c := range map[string]struct{ statement, want string }{
		"body":       {"UPDATE segment1 SET body=zeroblob(length(body)) WHERE id=" + second, "wrong checksum"},
		"count":      {"UPDATE segment1 SET n=n+5 WHERE id=" + second, "wrong checksum"},
		"gone":       {"DELETE FROM segment1 WHERE id=" + second, "missing, and neither delivered nor in a gap of uplink a"},
		"first gone": {"DELETE FROM segment1 WHERE id=(SELECT min(id) FROM segment1)", "seq 1 to"},
		"another id": {"UPDATE segment1 SET id=id+3 WHERE id=" + second, "wrong checksum"},
		"tag":        {"UPDATE tag SET unit='psi' WHERE id=1", "no tag 1"},
		"boot":       {"UPDATE boot SET offset_ms=offset_ms+1", "the clock of boot b1"},
		"boot gone":  {"DELETE FROM boot", "no record of boot 1"},
		"epoch":      {"UPDATE epoch SET epoch=epoch+1", "nobody can say"},
		"ack":        {"UPDATE ack SET spans=x'01ff7f' WHERE uplink='a'", "what uplink a has delivered"},
		"a gap":      {"INSERT INTO gap VALUES(1,'a',1,1,5,10000,1,1,1,1,'buffer full',99)", "gap 1 of uplink a"},
		"older copy": {"DELETE FROM segment0", "it is an older copy"},
		"no table":   {"DROP TABLE segment2", "segment2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, 20_000)
			vandalise(t, dir, c.statement)
			if name == "older copy" {
				vandalise(t, dir, "UPDATE epoch SET high0=high0") // the copy of the epoch still knows three alarms
			}
			v, err := OpenView(dbPath(dir))
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			x, err := v.Verify(context.Background(), func(int64, int64) {})
			if name == "no table" {
				if err == nil && len(x.Faults) == 0 {
					t.Fatal("nobody noticed")
				}
				return
			}
			if all := fmt.Sprint(x.Faults); err != nil || !strings.Contains(all, c.want) {
				t.Fatalf("%v, %v; want %q", all, err, c.want)
			}
		})
	}
}

// Whatever bit flips in a segment, verify names the seqs, and export has the rest.
func TestVerifyFindsEveryBitThatFlips(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 20_000)
	good, err := os.ReadFile(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "taken-home.db")
	for at := 4096 * 12; at < len(good); at += len(good)/60 | 1 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, bad, 0o400); err != nil {
			t.Fatal(err)
		}
		v, err := OpenView(path)
		if err != nil {
			t.Fatal(err)
		}
		x, err := v.Verify(context.Background(), func(int64, int64) {})
		v.Close()
		os.Remove(path)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if x.Readings < 20_003 && len(x.Faults) == 0 {
			t.Fatalf("byte %d: %d readings and no fault", at, x.Readings)
		}
	}
}

func TestVerifyOfATruncatedFileSaysSo(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 20_000)
	info, err := os.Stat(dbPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{info.Size() * 3 / 4, info.Size() / 2 / 4096 * 4096} {
		if err := os.Truncate(dbPath(dir), size); err != nil {
			t.Fatal(err)
		}
		v, err := OpenView(dbPath(dir))
		if err != nil {
			t.Logf("%d bytes: %v", size, err)
			continue
		}
		x, err := v.Verify(context.Background(), func(int64, int64) {})
		v.Close()
		if err != nil || len(x.Faults) == 0 {
			t.Fatalf("%d bytes: %v, %+v", size, err, x)
		}
		t.Log(size, x.Readings, x.Faults[0])
	}
}

func TestViewRefusesWhatIsNoBuffer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(path, []byte(strings.Repeat("noise", 999)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenView(path); !errors.Is(err, flash.ErrNotOurs) {
		t.Fatal(err)
	}
	if _, err := OpenView(path + "-not-there"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestVerifyOfARunningBuffer(t *testing.T) {
	s := start(t, testOptions(t.TempDir()), testBoot("b1"), "a")
	s.put(readings(s.boot, gateway.Normal, 1, 3000)...)
	s.ack("a", s.next("a", gateway.Want{MaxReadings: 500}))
	x, err := s.View().Verify(context.Background(), func(int64, int64) {})
	if err != nil || x.Readings != 3000 || len(x.Faults) != 0 {
		t.Fatalf("%+v, %v", x, err)
	}
}
