package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"
)

// What one message may hold. A batch rests compressed; JSON is about ten times
// as long, and brokers commonly refuse more than 1 MB.
const (
	maxBatchReadings = 2000
	maxBatchBytes    = 64 << 10
)

// The wait after a batch that could not be delivered grows between these, so
// that a server that takes connections but no data is not hammered.
const (
	minShipPause = time.Second
	maxShipPause = 30 * time.Second
)

// Ship carries the readings of a store to one uplink: alarms at once, the rest
// once per interval, oldest first. A batch that was not acknowledged is taken
// from the store again, so nothing is lost; the identities in it let the far
// side drop what came twice.
type Ship struct {
	Name     string // of the uplink
	Store    Store
	Uplink   Uplink
	Interval time.Duration
	Forward  []string // filters of the messages that go to this uplink
	Log      *slog.Logger
}

// Run ships until ctx ends, and returns why it ended.
func (s *Ship) Run(ctx context.Context) error {
	due := time.Now().Add(s.Interval)
	for {
		err := s.alarmsUntil(ctx, due)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = s.drain(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		for now := time.Now(); !due.After(now); {
			due = due.Add(s.Interval)
		}
	}
}

// alarmsUntil ships alarms as they come, until the next batch is due.
func (s *Ship) alarmsUntil(ctx context.Context, due time.Time) error {
	until, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	for {
		b, err := s.Store.Next(until, s.Name, Want{Classes: OnlyAlarms, MaxReadings: maxBatchReadings, MaxBytes: maxBatchBytes, Wait: true})
		switch {
		case until.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		if err := s.deliver(ctx, b); err != nil {
			return err
		}
	}
}

// drain ships until the store has nothing that is not acknowledged.
func (s *Ship) drain(ctx context.Context) error {
	for {
		b, err := s.Store.Next(ctx, s.Name, Want{Classes: AllClasses, MaxReadings: maxBatchReadings, MaxBytes: maxBatchBytes})
		if errors.Is(err, ErrNothing) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.deliver(ctx, b); err != nil {
			return err
		}
	}
}

// deliver sends a batch until it is acknowledged, and notes that in the store.
func (s *Ship) deliver(ctx context.Context, whole Batch) error {
	for _, b := range s.chosen(whole) {
		pause := minShipPause
		for {
			err := s.Uplink.Send(ctx, b)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if pause == minShipPause {
				s.Log.Warn("batch not delivered, trying again", "error", err)
			}
			if !Sleep(ctx, Jitter(pause)) {
				return ctx.Err()
			}
			pause = min(2*pause, maxShipPause)
		}
		from, to := b.Range()
		if err := s.Store.Ack(ctx, s.Name, b.Epoch, b.Class, from, to); err != nil {
			return err
		}
	}
	return nil
}

// NotForwarded is the reason of the gap that stands for messages which only
// another uplink forwards.
const NotForwarded = "not forwarded"

// chosen leaves out the messages that this uplink does not forward. A gap stands
// for them, so that the far side sees every seq accounted for.
func (s *Ship) chosen(b Batch) []Batch {
	if !slices.ContainsFunc(b.Readings, s.left) {
		return []Batch{b}
	}
	var parts []Batch
	part := Batch{Epoch: b.Epoch, Class: b.Class, First: b.First, Gaps: b.Gaps}
	for i := 0; i < len(b.Readings); {
		run := i + 1
		for run < len(b.Readings) && s.left(b.Readings[run]) == s.left(b.Readings[i]) {
			run++
		}
		if first := b.First + Seq(i); s.left(b.Readings[i]) {
			part.Gaps = append(slices.Clip(part.Gaps), Gap{
				Class: b.Class, From: first, To: b.First + Seq(run) - 1, Count: run - i, Reason: NotForwarded,
				First: b.Readings[i].Stamp, Last: b.Readings[run-1].Stamp,
			})
		} else {
			part.First, part.Readings = first, b.Readings[i:run]
			parts = append(parts, part)
			part = Batch{Epoch: b.Epoch, Class: b.Class}
		}
		i = run
	}
	if len(part.Gaps) > 0 {
		parts = append(parts, part)
	}
	return parts
}

func (s *Ship) left(r Reading) bool {
	if r.Tag != Foreign {
		return false
	}
	topic, _ := r.Value.Message()
	return !slices.ContainsFunc(s.Forward, func(filter string) bool { return MatchTopic(filter, topic) })
}

// Jitter spreads waits, so that a hundred gateways do not come back at the same instant.
func Jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}

// Sleep waits and reports whether it was not ended early by ctx.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
