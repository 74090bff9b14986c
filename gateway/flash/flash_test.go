package flash

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

// ledger is a participant that writes numbers down.
type ledger struct {
	waiting []int64
	taken   []int64
	loads   int
	onFile  []int64
	settled []error
	write   error // what Write returns, once
}

func (l *ledger) Load(tx *Tx) error {
	l.loads++
	l.onFile = nil
	if err := tx.Exec("CREATE TABLE IF NOT EXISTS ledger(n INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	return tx.Query("SELECT n FROM ledger ORDER BY n", func(r Row) error {
		l.onFile = append(l.onFile, r.Int(0))
		return nil
	})
}

func (l *ledger) Write(tx *Tx) error {
	l.taken, l.waiting = l.waiting, nil
	for _, n := range l.taken {
		if err := tx.Exec("INSERT INTO ledger(n) VALUES(?)", n); err != nil {
			return err
		}
	}
	err := l.write
	l.write = nil
	return err
}

func (l *ledger) Settled(err error) {
	if !errors.Is(err, ErrClosed) {
		l.settled = append(l.settled, err)
	}
}

func options(t *testing.T) Options {
	return Options{Path: filepath.Join(t.TempDir(), "state", "test.db"), MaxSize: 8 << 20, Log: quiet}
}

func mustOpen(t *testing.T, o Options, parts ...Participant) *File {
	t.Helper()
	f, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if err := f.Join(p); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// written returns what is on file, by opening it again.
func written(t *testing.T, o Options) []int64 {
	t.Helper()
	o.Fault = nil
	l := &ledger{}
	f := mustOpen(t, o, l)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return l.onFile
}

func TestEverySettingIsWhatItMustBe(t *testing.T) {
	o := options(t)
	f := mustOpen(t, o, &ledger{})
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "locking_mode": "exclusive", "page_size": "4096", "auto_vacuum": "0",
		"wal_autocheckpoint": "64", "journal_size_limit": "-1", "max_page_count": "2048", "cache_size": "-512", "temp_store": "2",
		"foreign_keys": "0", "user_version": "1", "application_id": "1734440295",
	} {
		if got, err := f.db.text("PRAGMA " + name); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(o.Path + "-shm"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a -shm file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(o.Path + "-wal"); err != nil {
		t.Errorf("the WAL did not stay for its next use: %v", err)
	}
}

func TestTheBuildIsTheOneThatWasMeasured(t *testing.T) {
	b, err := ThisBuild()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(b.Options, func(o string) bool { return strings.HasPrefix(o, "THREADSAFE") }) {
		t.Errorf("the compile options are %q", b.Options)
	}
	if !newEnough(b.SQLite) {
		t.Errorf("SQLite %s has the WAL-reset race of 3.7.0 to 3.51.2", b.SQLite)
	}
	flags := os.Getenv("CGO_CFLAGS")
	if wanted := strings.Contains(flags, "-DHAVE_FDATASYNC=1"); wanted != b.Fdatasync {
		t.Errorf("with CGO_CFLAGS=%q the build says fdatasync=%v", flags, b.Fdatasync)
	}
	if strings.Contains(flags, "-DSQLITE_DQS=0") && !slices.Contains(b.Options, "DQS=0") {
		t.Errorf("CGO_CFLAGS=%q did not reach SQLite: %q", flags, b.Options)
	}
	t.Logf("SQLite %s, fdatasync %v", b.SQLite, b.Fdatasync)
}

func newEnough(version string) bool {
	var n [3]int
	for i, part := range strings.SplitN(version, ".", 3) {
		for _, c := range part {
			n[i] = n[i]*10 + int(c-'0')
		}
	}
	return slices.Compare(n[:], []int{3, 51, 3}) >= 0
}

func TestWhatWaitsSharesACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &ledger{}, &ledger{}
		f := mustOpen(t, options(t), a, b)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		before := f.Stats().Commits
		commits := func() uint64 { synctest.Wait(); return f.Stats().Commits - before }
		wait := func(d time.Duration) { time.Sleep(d) }

		wait(time.Hour)
		if commits() != 0 {
			t.Fatalf("%d commits with nothing to write", commits())
		}
		a.waiting = []int64{1}
		f.Wake(5 * time.Second)
		wait(4 * time.Second)
		if commits() != 0 {
			t.Fatal("a commit before its time")
		}
		b.waiting = []int64{2}
		f.Wake(Acknowledgement)
		wait(100 * time.Millisecond)
		if commits() != 1 || len(a.settled) != 1 || len(b.settled) != 1 {
			t.Fatalf("%d commits within 100 ms of an urgent wish", commits())
		}
		wait(time.Hour)
		if commits() != 1 {
			t.Fatalf("%d commits for two wishes", commits())
		}
		f.Wake(0) // a wish, and nobody has anything
		if commits() != 1 {
			t.Fatal("a transaction without a row")
		}
		a.waiting = []int64{3}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := written(t, f.o); !slices.Equal(got, []int64{1, 2, 3}) {
			t.Fatalf("on file: %v", got)
		}
	})
}

func TestAReadSeesOnlyWhatIsCommittedAndCannotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		f := mustOpen(t, options(t), l)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		l.waiting = []int64{1}
		f.Wake(0)
		synctest.Wait()
		count := func() (n int64) {
			err := f.Read(t.Context(), func(tx *Tx) error {
				if tx.Exec("DELETE FROM ledger") == nil {
					t.Error("a read could write")
				}
				return tx.Query("SELECT count(*) FROM ledger", func(r Row) error { n = r.Int(0); return Stop })
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		if count() != 1 {
			t.Error("the read does not see the commit")
		}
		cancel()
		<-ended
		if err := f.Read(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("a read after Run: %v", err)
		}
	})
}

// After a failed COMMIT nobody is told that all is well, the file is opened
// again, and what Load then sees is the truth.
func TestAFailedCommitIsNotTriedAgainAndBelieved(t *testing.T) {
	for step, want := range map[Step][]int64{StepCommit: nil, StepSync: {1}} {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			o := options(t)
			broken := false
			o.Fault = func(s Step) error {
				if broken && s == step {
					broken = false
					return errors.New("EIO")
				}
				return nil
			}
			f := mustOpen(t, o, l)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- f.Run(ctx) }()
			l.waiting, broken = []int64{1}, true
			f.Wake(0)
			synctest.Wait()
			if len(l.settled) == 0 || l.settled[0] == nil {
				t.Fatalf("step %d: settled with %v", step, l.settled)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if l.loads != 2 || !slices.Equal(l.onFile, want) {
				t.Fatalf("step %d: %d loads, on file %v, want %v", step, l.loads, l.onFile, want)
			}
			if f.Stats().Trouble != "" {
				t.Fatalf("still in trouble: %s", f.Stats().Trouble)
			}
			l.waiting = []int64{2}
			f.Wake(0)
			synctest.Wait()
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := written(t, o); !slices.Equal(got, append(want, 2)) {
				t.Fatalf("step %d: on file %v", step, got)
			}
		})
	}
}

func TestAParticipantsErrorUndoesEverybodysRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &ledger{}, &ledger{}
		f := mustOpen(t, options(t), a, b)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		a.waiting, b.write = []int64{1}, errors.New("no")
		f.Wake(0)
		synctest.Wait()
		if len(a.settled) != 1 || a.settled[0] == nil {
			t.Fatalf("settled with %v", a.settled)
		}
		a.waiting = []int64{2}
		f.Wake(time.Hour)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if a.loads != 2 {
			t.Fatalf("%d loads: the participants may believe what was undone", a.loads)
		}
		cancel()
		<-ended
		if got := written(t, f.o); !slices.Equal(got, []int64{2}) {
			t.Fatalf("on file: %v", got)
		}
	})
}

func TestAFullFileIsSaidToBeFull(t *testing.T) {
	o := options(t)
	o.MaxSize = 64 << 10
	l := &ledger{}
	f := mustOpen(t, o, l)
	for n := range int64(100_000) {
		l.waiting = append(l.waiting, n)
	}
	if err := f.commit(false); !errors.Is(err, ErrFull) {
		t.Fatalf("commit: %v", err)
	}
	l.waiting = []int64{1}
	if err := f.commit(false); err != nil { // the connection lives
		t.Fatal(err)
	}
	f.Close()
	if got := written(t, o); !slices.Equal(got, []int64{1}) {
		t.Fatalf("on file: %v", got)
	}
}

func TestADiskThatStaysAwayLeavesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t)
		broken := false
		o.Fault = func(Step) error {
			if broken {
				return errors.New("EIO")
			}
			return nil
		}
		l := &ledger{}
		f := mustOpen(t, o, l)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.Run(ctx) }()
		l.waiting, broken = []int64{1}, true
		f.Wake(0)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if st := f.Stats(); st.Trouble == "" || st.InMemory {
			t.Fatalf("after 3 s: %+v", st)
		}
		if err := f.Read(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("read: %v", err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !f.Stats().InMemory {
			t.Fatalf("after 13 s: %+v", f.Stats())
		}
		broken = false
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(o.Path)); len(entries) > 2 {
			t.Fatalf("a disk that was away is no reason to move the file: %v", entries)
		}
	})
}
