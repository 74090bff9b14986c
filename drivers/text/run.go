package text

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

	// strangerWait bounds how long answers to others are waited for.
	strangerWait = 500 * time.Millisecond
)

// Run reads until ctx ends, and returns ctx's error. It owns the lines that open
// returns, and calls open again after a line was lost.
func (d *Driver) Run(ctx context.Context, open func(context.Context) (gateway.Line, error), publish gateway.Sink) error {
	if !d.mute { // a listener hears although nobody asked
		d.publish = publish
	}
	start := time.Now()
	for _, s := range d.sweeps {
		s.due = start
	}
	for {
		l, err := d.open(ctx, open)
		if err != nil {
			return err
		}
		d.proved, d.downKnown = false, false
		x := newEngine(l, d)
		d.hasPort(l)
		err = d.work(ctx, x)
		d.hasPort(nil)
		if ctx.Err() != nil {
			d.hush(x)
		}
		if closeErr := l.Close(); closeErr != nil {
			d.log.Debug("close", "reason", closeErr.Error())
		}
		if l, is := err.(*gateway.Loan); is { //nolint:errorlint // poll returns it bare
			if err := d.lend(ctx, l); err != nil {
				return err
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.log.Debug("line lost", "reason", err.Error())
		if d.proved {
			continue // most losses are of a connection that idled out: another is there at once
		}
		d.down(err)
		if err := d.rest(ctx); err != nil {
			return err
		}
	}
}

// distrust leaves the line alone for a while after it was opened for the first
// time, or after a loan: a reply may still come that somebody else asked for, or
// this program before it was started anew.
func (d *Driver) distrust() {
	if d.known {
		return
	}
	d.known = true
	until := time.Now().Add(min(d.timeout, strangerWait))
	if until.After(d.blockedUntil) {
		d.blockedUntil = until
	}
	for _, s := range d.sweeps {
		if !s.active && s.due.Before(until) {
			s.due = until
		}
	}
}

// hush stops a stream that we have started, as the last thing on the line.
func (d *Driver) hush(x *engine) {
	if dev := d.listener(); dev != nil && dev.in.stop != nil {
		if _, err := x.send(dev.in, dev.in.stop); err != nil {
			d.log.Debug("stop", "reason", err.Error())
		}
	}
}

type opened struct {
	line gateway.Line
	err  error
}

// open tries until the line is open or ctx ends, whose error it returns.
// Meanwhile every interval yields readings without a value.
func (d *Driver) open(ctx context.Context, open func(context.Context) (gateway.Line, error)) (gateway.Line, error) {
	result := make(chan opened, 1)
	for {
		go func() {
			l, err := open(ctx)
			result <- opened{l, err}
		}()
		o, err := d.waitOpen(ctx, result)
		if err != nil {
			return nil, err
		}
		if o.err == nil {
			d.up()
			return o.line, nil
		}
		d.down(o.err)
		if err := d.rest(ctx); err != nil {
			return nil, err
		}
	}
}

// waitOpen waits for one try to open. A driver that stops waits for it as well,
// so that nothing stays open or goes on behind its back.
func (d *Driver) waitOpen(ctx context.Context, result <-chan opened) (opened, error) {
	for {
		timer := time.NewTimer(time.Until(d.wakeDown()))
		select {
		case o := <-result:
			timer.Stop()
			return o, nil
		case <-timer.C:
			d.begin(time.Now(), true)
		case <-ctx.Done():
			timer.Stop()
			if o := <-result; o.err == nil {
				return opened{}, errors.Join(ctx.Err(), o.line.Close())
			}
			return opened{}, ctx.Err()
		}
	}
}

// rest waits before the next try to open.
func (d *Driver) rest(ctx context.Context) error {
	d.backoff = min(max(2*d.backoff, firstBackoff), lastBackoff)
	end := time.Now().Add(d.backoff/2 + rand.N(d.backoff/2))
	for {
		now := time.Now()
		if !now.Before(end) {
			return nil
		}
		until := d.wakeDown()
		if end.Before(until) {
			until = end
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-timer.C:
			d.begin(time.Now(), true)
		case l := <-d.loans.Asked():
			timer.Stop()
			return d.lend(ctx, l)
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// wakeDown returns when begin has something to do while the line is not open.
func (d *Driver) wakeDown() time.Time {
	next := time.Now().Add(gateway.MaxInterval)
	for _, s := range d.sweeps {
		due := s.due
		if !d.downKnown {
			due = due.Add(s.interval)
		}
		if due.Before(next) {
			next = due
		}
	}
	return next
}

// up notes that the line is open.
func (d *Driver) up() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.status.Open {
		d.status.Open, d.status.Since, d.status.Reason = true, d.now(), ""
	}
}

// down notes that the line cannot be opened: what waits for it fails.
func (d *Driver) down(err error) {
	if text := err.Error(); text != d.lastErr {
		d.log.Warn("line down", "reason", text)
		d.lastErr = text
	}
	d.downKnown = true
	d.close(gateway.LineDown, err.Error())
	d.begin(time.Now(), true)
}

// close notes that the line is not open: what waits for it fails.
func (d *Driver) close(cause gateway.Reason, reason string) {
	d.mu.Lock()
	if d.status.Open {
		d.status.Since = d.now()
	}
	d.status.Open, d.status.Reason = false, reason
	for i := range d.status.Devices {
		s := &d.status.Devices[i]
		if s.Online {
			s.Online, s.Since = false, d.now()
		}
		s.Cause, s.Reason = cause, "line down"
		if cause == gateway.Maintenance {
			s.Reason = reason
		}
	}
	d.mu.Unlock()
	for _, s := range d.sweeps {
		if s.active {
			s.finish(d.publish, cause, d.now())
		}
	}
	d.refuseErrands()
}
