package buffer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
	"pgregory.net/rapid"
)

type identity struct {
	epoch gateway.Epoch
	class gateway.Class
	seq   gateway.Seq
}

// server is what a far side has seen over all lives of the gateway.
type server struct {
	content map[identity]string
	place   map[string]identity
	covered map[string]map[claimKey]*gateway.Ranges // per uplink: delivered or given up
	sound   bool                                    // nobody damages the file
}

func newServer() *server {
	return &server{content: map[identity]string{}, place: map[string]identity{}, covered: map[string]map[claimKey]*gateway.Ranges{}}
}

// take checks one batch: no identity has two contents, no content has two identities.
func (v *server) take(uplink string, b gateway.Batch) error {
	from, to := b.Range()
	parts := gateway.Ranges{}
	for i, r := range b.Readings {
		id := identity{b.Epoch, b.Class, b.First + gateway.Seq(i)}
		text, _, _ := strings.Cut(r.Value.String(), " ")
		if had, ok := v.content[id]; ok && had != text {
			return fmt.Errorf("%v was %s and is %s now", id, had, text)
		}
		if had, ok := v.place[text]; ok && had != id {
			return fmt.Errorf("%s was %v and is %v now", text, had, id)
		}
		v.content[id], v.place[text] = text, id
		parts.Add(gateway.SeqRange{From: id.seq, To: id.seq})
	}
	for _, g := range b.Gaps {
		if g.Class != b.Class || g.Count != int(g.To-g.From+1) || g.Reason == "" || g.First.Boot == nil {
			return fmt.Errorf("gap %+v", g)
		}
		if v.sound && g.Reason == "damaged" {
			return fmt.Errorf("gap %+v, and nobody damaged anything", g)
		}
		if !parts.Add(gateway.SeqRange{From: g.From, To: g.To}) {
			return fmt.Errorf("gap %+v covers readings of its own batch", g)
		}
	}
	if len(parts) != 1 || parts[0] != (gateway.SeqRange{From: from, To: to}) {
		return fmt.Errorf("a batch has holes: %v of %d to %d", parts, from, to)
	}
	keys := v.covered[uplink]
	if keys == nil {
		keys = map[claimKey]*gateway.Ranges{}
		v.covered[uplink] = keys
	}
	key := claimKey{b.Epoch, b.Class}
	if keys[key] == nil {
		keys[key] = &gateway.Ranges{}
	}
	keys[key].Add(gateway.SeqRange{From: from, To: to})
	return nil
}

// machine is the buffer under random use.
type machine struct {
	t       *rapid.T
	tb      *testing.T
	dir     string
	boot    *gateway.Boot
	s       *running
	fault   *breakAt
	v       *server
	n       int
	pending [gateway.Classes]int
	high    [gateway.Classes]int
	rng     *rand.Rand
	boots   int
}

var machineUplinks = []string{"a", "b"}

func (m *machine) open(dir string) {
	m.dir, m.fault = dir, &breakAt{}
	o := testOptions(dir)
	o.Fast, o.MaxSize = time.Hour, 1<<20
	o.Fault = m.fault.fault
	m.s = start(m.tb, o, m.boot, machineUplinks...)
	m.pending = [gateway.Classes]int{}
	m.resync()
}

func (m *machine) resync() {
	for c, x := range m.s.Stats().Classes {
		m.high[c] = int(x.Committed)
	}
}

func (m *machine) readings(class gateway.Class, n, pad int) (rs []gateway.Reading) {
	for range n {
		m.n++
		noise := make([]byte, pad)
		for i := range noise {
			noise[i] = byte('!' + m.rng.IntN(90))
		}
		rs = append(rs, gateway.Reading{Tag: testTags[m.n%7], Class: class, Stamp: gateway.Stamp{Boot: m.boot, At: int64(m.n)},
			Value: gateway.Text(fmt.Sprintf("%d %s", m.n, noise))})
	}
	return rs
}

func (m *machine) draw() (gateway.Class, int, int) {
	return gateway.Class(rapid.IntRange(0, 2).Draw(m.t, "class")), rapid.IntRange(1, 60).Draw(m.t, "n"),
		rapid.SampledFrom([]int{0, 0, 200, 3000, 20_000}).Draw(m.t, "pad")
}

func (m *machine) append(t *rapid.T) {
	class, n, pad := m.draw()
	m.s.Append(m.readings(class, n, pad), nil)
	m.pending[class] += n
}

func (m *machine) commit(t *rapid.T) {
	if err := m.s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for c, x := range m.s.Stats().Classes {
		if m.high[c] += m.pending[c]; int(x.Committed) != m.high[c] {
			t.Fatalf("class %d: committed up to %d, want %d", c, x.Committed, m.high[c])
		}
		m.pending[c] = 0
	}
}

func (m *machine) asked(t *rapid.T) {
	class, n, pad := m.draw()
	done := make(chan error, 1)
	m.s.Append(m.readings(class, n, pad), func(err error) { done <- err })
	m.pending[class] += n
	m.commit(t)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// diskFails breaks one commit, before or after it reached the disk.
func (m *machine) diskFails(t *rapid.T) {
	m.commit(t) // else one that an uplink woke for its clock could take the fault, and nobody asked for that one
	class, n, _ := m.draw()
	m.s.Append(m.readings(class, n, 0), nil)
	m.pending[class] += n
	*m.fault = breakAt{step: rapid.SampledFrom([]flash.Step{flash.StepCommit, flash.StepSync}).Draw(t, "step"), times: 1}
	err := m.s.Flush(context.Background())
	if err == nil {
		t.Fatal("a broken commit was believed")
	}
	m.commit(t) // nobody asked for these: they are in the file now, once
}

func (m *machine) send(t *rapid.T) {
	uplink := rapid.SampledFrom(machineUplinks).Draw(t, "uplink")
	want := gateway.Want{Classes: gateway.AllClasses, MaxReadings: rapid.IntRange(1, 100).Draw(t, "max")}
	if rapid.Bool().Draw(t, "only alarms") {
		want.Classes = gateway.OnlyAlarms
	}
	b, err := m.s.Next(context.Background(), uplink, want)
	if errors.Is(err, gateway.ErrNothing) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.v.take(uplink, b); err != nil {
		t.Fatal(err)
	}
	from, to := b.Range()
	switch rapid.SampledFrom([]string{"all", "all", "a part", "lost"}).Draw(t, "acked") {
	case "all":
		m.s.ack(uplink, b)
	case "a part": // of an uplink that sends several at a time
		from = gateway.Seq(rapid.Uint64Range(uint64(from), uint64(to)).Draw(t, "from"))
		to = gateway.Seq(rapid.Uint64Range(uint64(from), uint64(to)).Draw(t, "to"))
		if err := m.s.Ack(context.Background(), uplink, b.Epoch, b.Class, from, to); err != nil {
			t.Fatal(err)
		}
	}
}

// kill goes on with a copy of the file as it is between two commits, as after kill -9.
func (m *machine) kill(t *rapid.T) {
	dir := m.tb.TempDir()
	epoch, high := m.s.Epoch(), [gateway.Classes]int{}
	err := m.s.file.Read(context.Background(), func(*flash.Tx) (err error) {
		for _, name := range []string{fileName, fileName + "-wal", copyFile} {
			b, readErr := os.ReadFile(filepath.Join(m.dir, name))
			if readErr == nil {
				err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600))
			}
		}
		for c, x := range m.s.Stats().Classes {
			high[c] = int(x.Committed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.s.stop()
	m.reboot(t)
	m.open(dir)
	if m.s.Epoch() != epoch || m.high != high {
		t.Fatalf("after a kill: epoch %v, %v; before: %v, %v", m.s.Epoch(), m.high, epoch, high)
	}
}

func (m *machine) restart(t *rapid.T) {
	epoch := m.s.Epoch()
	if err := m.s.stop(); err != nil {
		t.Fatal(err)
	}
	for c := range m.high {
		m.high[c] += m.pending[c]
	}
	high := m.high
	m.reboot(t)
	m.open(m.dir)
	if m.s.Epoch() != epoch || m.high != high {
		t.Fatalf("after a restart: epoch %v, %v; before: %v, %v", m.s.Epoch(), m.high, epoch, high)
	}
}

func (m *machine) reboot(t *rapid.T) {
	if rapid.Bool().Draw(t, "reboot") {
		m.boots++
		m.boot = testBoot(fmt.Sprintf("boot-%d", m.boots))
	}
}

// check drains everything: each seq was delivered or is covered by a gap.
func (m *machine) check(t *rapid.T) {
	m.commit(t)
	for _, uplink := range machineUplinks {
		for _, b := range m.s.drain(uplink) {
			if err := m.v.take(uplink, b); err != nil {
				t.Fatal(err)
			}
		}
		for c, high := range m.high {
			var covered gateway.Ranges
			if x := m.v.covered[uplink][claimKey{m.s.Epoch(), gateway.Class(c)}]; x != nil {
				covered = *x
			}
			if missing := covered.Missing(gateway.SeqRange{From: 1, To: gateway.Seq(high)}); high > 0 && len(missing) > 0 {
				t.Fatalf("uplink %s never heard of %v %v", uplink, gateway.Class(c), missing)
			}
		}
		if st := m.s.Stats().Uplinks[uplink]; st.Backlog != 0 || st.Gaps != 0 {
			t.Fatalf("uplink %s has everything, and a backlog of %+v", uplink, st)
		}
	}
	if st := m.s.Stats().File; st.Size > 1<<20 {
		t.Fatalf("the file grew to %d", st.Size)
	}
}

// Whatever happens and whatever dies: no identity has two contents, and every
// uplink hears of every seq.
func TestEverySeqIsDeliveredOrCoveredByAGap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: rt, tb: t, boot: testBoot("boot-0"), v: newServer(), rng: rand.New(rand.NewPCG(1, 2))}
		m.v.sound = true
		m.open(t.TempDir())
		defer func() { m.s.stop() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append more": m.append, "append most": m.append, "asked": m.asked, "commit": m.commit,
			"send": m.send, "send more": m.send, "disk fails": m.diskFails, "kill": m.kill, "restart": m.restart,
		})
		m.check(rt)
	})
}
