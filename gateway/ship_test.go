package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Store of one uplink, the simplest thing that keeps the contract.
type memory struct {
	mu    sync.Mutex
	log   [Classes][]Reading
	acked [Classes]Ranges
	more  chan struct{}
}

func newMemory() *memory { return &memory{more: make(chan struct{})} }

func (m *memory) Append(rs []Reading, done func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rs {
		m.log[r.Class] = append(m.log[r.Class], r)
	}
	close(m.more)
	m.more = make(chan struct{})
	if done != nil {
		done(nil)
	}
}

func (m *memory) Next(ctx context.Context, _ string, want Want) (Batch, error) {
	for {
		b, more := m.next(want)
		if len(b.Readings) > 0 {
			return b, nil
		}
		if !want.Wait {
			return Batch{}, ErrNothing
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		}
	}
}

func (m *memory) next(want Want) (Batch, chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range Class(Classes) {
		if !want.Classes.Has(c) {
			continue
		}
		b := Batch{Class: c}
		for i := range m.log[c] {
			if seq := Seq(i) + 1; !m.acked[c].Has(SeqRange{seq, seq}) {
				b.First = seq
				b.Readings = m.log[c][i:min(len(m.log[c]), i+want.MaxReadings)]
				return b, nil
			}
		}
	}
	return Batch{}, m.more
}

func (m *memory) Ack(_ context.Context, _ string, _ Epoch, class Class, from, to Seq) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[class].Add(SeqRange{from, to})
	return nil
}

// server is an Uplink that notes what it was sent.
type server struct {
	began time.Time
	got   []string
	fail  int // how many of the next batches fail
}

func (s *server) Send(ctx context.Context, b Batch) error {
	if s.fail > 0 {
		s.fail--
		return errors.New("no acknowledgement")
	}
	from, to := b.Range()
	line := fmt.Sprintf("%v %s %d-%d", time.Since(s.began), b.Class, from, to)
	for _, g := range b.Gaps {
		line += fmt.Sprintf(" gap %d-%d %s", g.From, g.To, g.Reason)
	}
	s.got = append(s.got, line)
	return nil
}

func ship(t *testing.T, s *server, forward []string, run func(m *memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := newMemory()
		s.began = time.Now()
		ended := make(chan error)
		go func() {
			sh := Ship{Name: "u", Store: m, Uplink: s, Interval: 10 * time.Second, Forward: forward, Log: slog.New(slog.DiscardHandler)}
			ended <- sh.Run(ctx)
		}()
		run(m)
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestShipBatchesAndSendsAlarmsAtOnce(t *testing.T) {
	s := &server{}
	tag := &Tag{Device: "d", Name: "t"}
	ship(t, s, nil, func(m *memory) {
		time.Sleep(time.Second / 2) // off the beat of the batches
		for range 12 {
			m.Append([]Reading{{Tag: tag, Class: Normal}, {Tag: tag, Class: Bulk}}, nil)
			time.Sleep(time.Second)
		}
		m.Append([]Reading{{Tag: tag, Class: Alarm}}, nil)
		time.Sleep(10 * time.Second)
	})
	want := []string{"10s normal 1-10", "10s bulk 1-10", "12.5s alarm 1-1", "20s normal 11-12", "20s bulk 11-12"}
	if !slices.Equal(s.got, want) {
		t.Errorf("got %q, want %q", s.got, want)
	}
}

func TestShipTriesAgain(t *testing.T) {
	s := &server{fail: 3}
	ship(t, s, nil, func(m *memory) {
		m.Append([]Reading{{Tag: &Tag{}, Class: Alarm}}, nil)
		time.Sleep(time.Minute)
	})
	if len(s.got) != 1 {
		t.Errorf("got %q", s.got)
	}
}

func TestShipTakesBigBacklogsInParts(t *testing.T) {
	s := &server{}
	ship(t, s, nil, func(m *memory) {
		m.Append(slices.Repeat([]Reading{{Tag: &Tag{}, Class: Normal}}, 2*maxBatchReadings+1), nil)
		time.Sleep(11 * time.Second)
	})
	if want := []string{"10s normal 1-2000", "10s normal 2001-4000", "10s normal 4001-4001"}; !slices.Equal(s.got, want) {
		t.Errorf("got %q, want %q", s.got, want)
	}
}

func TestShipLeavesOutWhatIsNotForwardedHere(t *testing.T) {
	s := &server{}
	message := func(topic string) Reading {
		return Reading{Tag: Foreign, Class: Normal, Value: Message(topic, nil)}
	}
	own := Reading{Tag: &Tag{Device: "d"}, Class: Normal}
	ship(t, s, []string{"hmi/alarms/#"}, func(m *memory) {
		m.Append([]Reading{message("x"), own, message("hmi/alarms/a"), message("y"), message("z"), own, message("w")}, nil)
		time.Sleep(11 * time.Second)
	})
	want := []string{
		"10s normal 1-3 gap 1-1 not forwarded",
		"10s normal 4-6 gap 4-5 not forwarded",
		"10s normal 7-7 gap 7-7 not forwarded",
	}
	if !slices.Equal(s.got, want) {
		t.Errorf("got %q, want %q", s.got, want)
	}
}

func TestForwarder(t *testing.T) {
	m := newMemory()
	f := Forwarder{Filters: []string{"hmi/alarms/#"}, Store: m}
	if f.Wants("hmi/other") || !f.Wants("hmi/alarms/esd") {
		t.Error("wrong topics wanted")
	}
	f.Append([]Reading{{Tag: Foreign, Value: Message("hmi/alarms/esd", nil)}}, nil)
	f.Append([]Reading{{Tag: &Tag{}, Class: Bulk}}, nil)
	if len(m.log[Normal]) != 1 || len(m.log[Bulk]) != 1 {
		t.Errorf("classes %v", m.log)
	}
}
