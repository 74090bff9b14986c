package buffer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// The victim is this test binary again, with the directory in its environment.
const victimDir = "GAUGEWAY_BUFFER_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := victim(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// victim appends, sends and acknowledges until it is killed. It says
//
//	kept TEXT                     when a reading is promised to be on disk
//	sent EPOCH CLASS SEQ TEXT     before it acknowledges
//	gap EPOCH CLASS FROM TO
func victim(dir string, out io.Writer) error {
	o := testOptions(dir)
	o.MaxSize = 4 << 20
	s, err := Open(o, testBoot(fmt.Sprint("boot-", os.Getpid())), []string{"a"}, quiet)
	if err != nil {
		return err
	}
	go s.Run(context.Background())
	go func() {
		for {
			b, err := s.Next(context.Background(), "a", gateway.Want{Classes: gateway.AllClasses, MaxReadings: 50, Wait: true})
			if err != nil {
				return
			}
			say(out, b)
			from, to := b.Range()
			s.Ack(context.Background(), "a", b.Epoch, b.Class, from, to)
		}
	}()
	for n := 0; ; n++ {
		text := fmt.Sprintf("%d-%d", os.Getpid(), n)
		r := reading(s.boot, gateway.Class(n%3), n)
		r.Value = gateway.Text(text)
		done := make(chan struct{})
		s.Append([]gateway.Reading{r}, func(err error) {
			if err == nil {
				fmt.Fprintf(out, "kept %s\n", text)
			}
			close(done)
		})
		if n%5 == 0 {
			<-done
		}
	}
}

func say(out io.Writer, b gateway.Batch) {
	var text strings.Builder
	for i, r := range b.Readings {
		fmt.Fprintf(&text, "sent %v %d %d %s\n", b.Epoch, b.Class, b.First+gateway.Seq(i), r.Value)
	}
	for _, g := range b.Gaps {
		fmt.Fprintf(&text, "gap %v %d %d %d\n", b.Epoch, b.Class, g.From, g.To)
	}
	io.WriteString(out, text.String())
}

// witness remembers what victims said.
type witness struct {
	t       *testing.T
	kept    map[string]bool
	content map[string]string // identity to text
	place   map[string]string // text to identity
	gaps    int
}

func (w *witness) hear(r io.Reader, enough int, kill func()) {
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		if n == enough {
			kill()
		}
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "kept":
			w.kept[rest] = true
		case "sent":
			at := strings.LastIndexByte(rest, ' ')
			w.sent(rest[:at], rest[at+1:])
		case "gap":
			w.gaps++
		}
	}
}

func (w *witness) sent(id, text string) {
	if had, ok := w.content[id]; ok && had != text {
		w.t.Errorf("%s was %s and is %s now", id, had, text)
	}
	if had, ok := w.place[text]; ok && had != id {
		w.t.Errorf("%s was %s and is %s now", text, had, id)
	}
	w.content[id], w.place[text] = text, id
}

// startVictim runs this test binary again, by the emulator where the kernel
// cannot run it by itself.
func startVictim(t *testing.T, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{self}
	for {
		child := exec.Command(command[0], command[1:]...)
		child.Env = append(os.Environ(), victimDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		err = child.Start()
		if err == nil {
			return child, out
		}
		emulator := map[string]string{"arm": "qemu-arm-static", "arm64": "qemu-aarch64-static"}[runtime.GOARCH]
		if !errors.Is(err, syscall.ENOEXEC) || len(command) > 1 || emulator == "" {
			t.Fatal(err)
		}
		command = []string{emulator, self}
	}
}

func TestKillNineLosesNothingThatWasPromised(t *testing.T) {
	dir := t.TempDir()
	w := &witness{t: t, kept: map[string]bool{}, content: map[string]string{}, place: map[string]string{}}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 20 {
		child, out := startVictim(t, dir)
		w.hear(out, rng.IntN(3000), func() { child.Process.Kill() })
		if err := child.Wait(); err == nil {
			t.Fatal("the victim ended by itself")
		}
	}
	s := start(t, testOptions(dir), testBoot("last"), "a")
	for _, b := range s.drain("a") {
		var text strings.Builder
		say(&text, b)
		w.hear(strings.NewReader(text.String()), -1, nil)
	}
	if w.gaps > 0 {
		t.Errorf("%d gaps", w.gaps)
	}
	lost := 0
	for text := range w.kept {
		if _, ok := w.place[text]; !ok {
			lost++
		}
	}
	if lost > 0 || len(w.kept) == 0 {
		t.Errorf("lost %d of %d promised readings", lost, len(w.kept))
	}
	t.Logf("%d promised, %d sent", len(w.kept), len(w.place))
}
