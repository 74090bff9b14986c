package keeper

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// A port that is missing is looked for this often.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// ErrWorn means that a line should be opened anew although it is not lost.
var ErrWorn = errors.New("the line is to be opened anew")

// Work is what a driver does with its line, on the goroutine of Run.
type Work struct {
	// Poll works on an open line until ctx ends or the line is lost, and returns why.
	Poll func(ctx context.Context, l gateway.Line) error

	// Absent makes readings without a value of what is due, so that no interval
	// passes in silence while the line is not open. It returns when it has more to do.
	Absent func(now time.Time) (next time.Time)
}

// Run has a driver work until ctx ends, and returns ctx's error. It owns the lines
// that open returns, and calls open again after a line was lost.
func (k *Keeper) Run(ctx context.Context, open func(context.Context) (gateway.Line, error), work Work) error {
	k.work = work
	for {
		l, err := k.open(ctx, open)
		if err != nil {
			return err
		}
		err = k.poll(ctx, l)
		if l, is := err.(*loan); is { //nolint:errorlint // Poll returns it bare
			if err := k.lend(ctx, l); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.Log.Debug("line lost", "reason", err.Error())
		if k.proved || errors.Is(err, ErrWorn) {
			continue // most losses are of a connection that idled out: another is there at once
		}
		k.fail(err)
		if err := k.rest(ctx); err != nil {
			return err
		}
	}
}

// poll has the driver work on an open line, and closes it.
func (k *Keeper) poll(ctx context.Context, l gateway.Line) error {
	k.proved, k.down = false, false
	k.setPort(l)
	defer k.setPort(nil)
	err := k.work.Poll(ctx, l)
	if closeErr := l.Close(); closeErr != nil {
		k.Log.Debug("close", "reason", closeErr.Error())
	}
	return err
}

// Strange reports, once, whether somebody else may have asked something on the
// line: before it was opened for the first time, or while it was lent.
func (k *Keeper) Strange() bool {
	was := k.strange
	k.strange = false
	return was
}

// Down returns why a line has no values: NoReason while it may open yet.
func (k *Keeper) Down() gateway.Reason {
	switch {
	case k.lent:
		return gateway.Maintenance
	case k.down:
		return gateway.LineDown
	default:
		return gateway.NoReason
	}
}

type try struct {
	line gateway.Line
	err  error
}

// open tries until the line is open or ctx ends, whose error it returns.
func (k *Keeper) open(ctx context.Context, open func(context.Context) (gateway.Line, error)) (gateway.Line, error) {
	result := make(chan try, 1)
	for {
		go func() {
			l, err := open(ctx)
			result <- try{l, err}
		}()
		t, err := k.waitOpen(ctx, result)
		if err != nil {
			return nil, err
		}
		if t.err == nil {
			k.opened()
			return t.line, nil
		}
		k.fail(t.err)
		if err := k.rest(ctx); err != nil {
			return nil, err
		}
	}
}

// waitOpen waits for one try to open. A driver that stops waits for it as well,
// so that nothing stays open or goes on behind its back.
func (k *Keeper) waitOpen(ctx context.Context, result <-chan try) (try, error) {
	for {
		timer := time.NewTimer(time.Until(k.absent()))
		select {
		case t := <-result:
			timer.Stop()
			return t, nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if t := <-result; t.err == nil {
				return try{}, errors.Join(ctx.Err(), t.line.Close())
			}
			return try{}, ctx.Err()
		}
	}
}

// rest waits before the next try to open.
func (k *Keeper) rest(ctx context.Context) error {
	k.backoff = min(max(2*k.backoff, firstBackoff), lastBackoff)
	end := time.Now().Add(k.backoff/2 + rand.N(k.backoff/2))
	for {
		until := k.absent()
		if !time.Now().Before(end) {
			return nil
		}
		if end.Before(until) {
			until = end
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
		case l := <-k.loans.wanted():
			timer.Stop()
			return k.lend(ctx, l)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// absent does what there is to do while the line is not open.
func (k *Keeper) absent() (next time.Time) {
	if k.down {
		k.refuse()
	}
	return k.work.Absent(time.Now())
}

// fail notes that the line cannot be opened.
func (k *Keeper) fail(err error) {
	if text := err.Error(); text != k.lastErr {
		k.Log.Warn("line down", "reason", text)
		k.lastErr = text
	}
	k.closed(gateway.LineDown, err.Error(), "line down")
}
