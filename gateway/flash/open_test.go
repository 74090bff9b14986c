package flash

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// spoil prepares a file with a ledger of two numbers and then spoils it.
func spoil(t *testing.T, how func(path string)) Options {
	t.Helper()
	o := options(t)
	l := &ledger{waiting: []int64{1, 2}}
	f := mustOpen(t, o, l)
	if err := f.commit(false); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	how(o.Path)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatCannotBeUsedIsMovedAside(t *testing.T) {
	noise := func(n int) []byte {
		b := make([]byte, n)
		r := rand.NewChaCha8([32]byte{1})
		r.Read(b)
		return b
	}
	for name, c := range map[string]struct {
		how  func(path string)
		want string // the end of the name it gets
	}{
		"random bytes":  {func(p string) { must(t, os.WriteFile(p, noise(100_000), 0o600)) }, "corrupt-1"},
		"short noise":   {func(p string) { must(t, os.WriteFile(p, noise(300), 0o600)) }, "corrupt-1"},
		"truncated":     {func(p string) { must(t, os.Truncate(p, 5000)) }, "corrupt-1"},
		"a directory":   {func(p string) { must(t, os.Remove(p)); must(t, os.Mkdir(p, 0o700)) }, "corrupt-1"},
		"a page erased": {func(p string) { overwrite(t, p, 4096, bytes.Repeat([]byte{0xff}, 4096)) }, "corrupt-1"},
		"of another program": {func(p string) {
			must(t, os.Remove(p))
			must(t, os.Remove(p+"-wal"))
			c, err := connect(p)
			must(t, err)
			must(t, c.exec("CREATE TABLE t(x)"))
			must(t, c.close())
		}, "corrupt-1"},
		"of a newer version": {func(p string) {
			c, err := connect(p)
			must(t, err)
			must(t, c.exec("PRAGMA user_version=99"))
			must(t, c.close())
		}, "newer-1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := spoil(t, c.how)
			l := &ledger{}
			f := mustOpen(t, o, l)
			if len(l.onFile) != 0 {
				t.Errorf("the new file has %v", l.onFile)
			}
			must(t, f.Close())
			if _, err := os.Stat(o.Path + "." + c.want); err != nil {
				entries, _ := os.ReadDir(filepath.Dir(o.Path))
				t.Errorf("%v; there are %v", err, entries)
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(b, at)
	must(t, errors.Join(err, f.Close()))
}

func TestOnlyTheNewestDamagedFileIsKept(t *testing.T) {
	o := spoil(t, func(path string) {
		for _, name := range []string{".corrupt-3", ".corrupt-3-wal", ".corrupt-x", ".newer-1"} {
			must(t, os.WriteFile(path+name, []byte("old"), 0o600))
		}
		must(t, os.WriteFile(path, []byte("this is no database, and longer than a header"), 0o600))
	})
	f := mustOpen(t, o)
	must(t, f.Close())
	var names []string
	entries, _ := os.ReadDir(filepath.Dir(o.Path))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"test.db", "test.db-wal", "test.db.corrupt-4", "test.db.corrupt-4-wal", "test.db.corrupt-x", "test.db.newer-1"}
	if !slices.Equal(names, want) {
		t.Fatalf("there are %v", names)
	}
}

func TestADamagedPageFoundWhileRunningMovesTheFileAside(t *testing.T) {
	o := options(t)
	l := &ledger{}
	f := mustOpen(t, o, l)
	for range 3 {
		f.fail(&damagedError{"a bad page"})
		if f.corrupt < 2 {
			f.recover()
		}
	}
	f.recover()
	if f.db == nil {
		t.Fatalf("not open: %v", f.broken.err)
	}
	must(t, f.Close())
	if _, err := os.Stat(o.Path + ".corrupt-1"); err != nil {
		t.Fatal(err)
	}
}

func TestTwoCannotShareAFile(t *testing.T) {
	o := options(t)
	f := mustOpen(t, o)
	if _, err := Open(o); !errors.Is(err, ErrInUse) {
		t.Fatalf("the second gets %v", err)
	}
	must(t, f.Close())
	f = mustOpen(t, o)
	must(t, f.Close())
}

func TestADirectoryThatCannotBeUsedIsATypedError(t *testing.T) {
	for name, dir := range map[string]func(t *testing.T) string{
		"a file in its place": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(path, nil, 0o600))
			return path
		},
		"below a file": func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			must(t, os.WriteFile(path, nil, 0o600))
			return filepath.Join(path, "below")
		},
		"not writable": func(t *testing.T) string {
			if os.Geteuid() == 0 {
				return "/proc/self" // root may write anywhere else
			}
			dir := t.TempDir()
			must(t, os.Chmod(dir, 0o500))
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Path: filepath.Join(dir(t), "test.db"), Log: quiet}
			_, err := Open(o)
			var unusable *UnusableError
			if !errors.As(err, &unusable) || unusable.Path != o.Path {
				t.Fatalf("open: %v", err)
			}
			f, err := OpenMemory(o, err)
			must(t, err)
			l := &ledger{waiting: []int64{1}}
			must(t, f.Join(l))
			must(t, f.commit(false))
			if st := f.Stats(); !st.InMemory || st.Trouble == "" || st.Commits == 0 {
				t.Fatalf("%+v", st)
			}
			must(t, f.Close())
		})
	}
}

func TestAPathMayHaveAnyCharacters(t *testing.T) {
	o := Options{Path: filepath.Join(t.TempDir(), "a b?c#d%20é", "test.db"), Log: quiet}
	f := mustOpen(t, o, &ledger{})
	must(t, f.Close())
	if _, err := os.Stat(o.Path); err != nil {
		t.Fatal(err)
	}
}

func TestALowerLimitThanTheFileHasIsNoError(t *testing.T) {
	o := options(t)
	l := &ledger{}
	f := mustOpen(t, o, l)
	for n := range int64(200_000) {
		l.waiting = append(l.waiting, n)
	}
	must(t, f.commit(false))
	must(t, f.Close())
	o.MaxSize = 64 << 10
	f = mustOpen(t, o, l)
	if len(l.onFile) != 200_000 {
		t.Fatalf("%d rows", len(l.onFile))
	}
	must(t, f.Close())
}
