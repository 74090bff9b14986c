package text

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Write sets a tag that is writable, within its limits, and reads it back. It is
// never tried twice: an instrument that did not answer may have done it. The
// error says what is known; with one, the answer may hold what was read back.
func (d *Driver) Write(ctx context.Context, device, name string, v gateway.Value) (gateway.Answer, error) {
	dev, err := d.deviceOf(device)
	if err != nil {
		return gateway.Answer{}, err
	}
	t, err := dev.tagOf(name)
	if err != nil {
		return gateway.Answer{}, err
	}
	s, err := d.command(dev, t, v)
	if err != nil {
		return gateway.Answer{}, fmt.Errorf("write %s: %w", t.tag, err)
	}
	var a gateway.Answer
	var why error
	begun, err := d.request(ctx, dev, func(run context.Context, x *engine) (err error) {
		a, why, err = d.set(run, x, dev, t, s, v)
		return err
	})
	switch {
	case err != nil && begun:
		return gateway.Answer{}, fmt.Errorf("write %s: %w; whether it was done is not known", t.tag, err)
	case err != nil:
		return gateway.Answer{}, fmt.Errorf("write %s: nothing was sent: %w", t.tag, err)
	case why != nil:
		return a, fmt.Errorf("write %s: %w", t.tag, why)
	}
	return a, nil
}

// command makes the step that sets a tag.
func (d *Driver) command(dev *device, t *tag, v gateway.Value) (*step, error) {
	switch {
	case !d.writes:
		return nil, fmt.Errorf(`%w: writes = "never"; the configuration must say writes = "allowed"`, ErrRefused)
	case t.write == nil:
		return nil, fmt.Errorf("%w: it is not writable", ErrRefused)
	}
	number, err := gateway.ParseDecimal(v.String())
	if v.Kind() == gateway.KindBool || v.Kind() == gateway.KindText || err != nil {
		return nil, fmt.Errorf("%w: %s is not a number", ErrRefused, v)
	}
	if number.Cmp(*t.min) < 0 || number.Cmp(*t.max) > 0 {
		return nil, fmt.Errorf("%w: %s is outside %s to %s", ErrRefused, number, t.min, t.max)
	}
	raw, ok := t.conversion.Raw(number)
	if !ok {
		return nil, fmt.Errorf("%w: no number of the instrument is exactly %s", ErrRefused, number)
	}
	sent := gateway.Number(raw)
	if n := t.notation.decimals; n > 0 {
		sent = sent.Scaled(gateway.NewDecimal(1, n), gateway.Decimal{})
	}
	last := t.last(dev)
	s := &step{name: "write " + t.name, framing: last.framing, quiet: t.writeMatch == "", timeout: last.timeout, refuse: last.refuse, asserts: last.asserts}
	if s.request, err = t.write.render(dev.in.filling(sent, s.framing)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !s.quiet {
		bare := *last.framing
		bare.begins, bare.refusal = nil, nil
		s.framing = &bare
		s.match, s.loose, err = parsePattern(t.writeMatch, string(dev.in.options.Address), true)
	}
	return s, err
}

// last returns the step whose reply holds the tag.
func (t *tag) last(dev *device) *step {
	p := t.pollOf(dev)
	return p.steps[len(p.steps)-1]
}

func (t *tag) pollOf(dev *device) *poll {
	for _, p := range dev.in.polls {
		for _, other := range p.tags {
			if other == t {
				return p
			}
		}
	}
	return nil // a tag is of a poll
}

// set sends the command and reads the tag back. why is what went wrong with the
// instrument; err is that the line is lost.
func (d *Driver) set(ctx context.Context, x *engine, dev *device, t *tag, s *step, v gateway.Value) (a gateway.Answer, why, err error) {
	if _, _, err := d.rouse(ctx, x, dev); err != nil {
		return a, fmt.Errorf("nothing was sent: %w", err), lost(ctx, err)
	}
	d.catch.reset()
	r := result{sent: time.Now(), last: s}
	r.at, r.err = x.exchange(ctx, dev.in, s, &d.catch, d.patience(s), false)
	r.stamp = d.keep.Now()
	d.count(r.sent, r.at, r.err)
	switch {
	case r.err == nil:
	case lost(ctx, r.err) != nil:
		return a, r.err, lost(ctx, r.err)
	case errors.Is(r.err, errRefused):
		return a, r.err, nil
	default:
		d.missed(dev, r, false)
		return a, fmt.Errorf("%w; whether it was done is not known", r.err), nil
	}
	back, _, err := d.answer(ctx, x, dev, t.pollOf(dev), t.name)
	if err != nil || len(back) == 0 {
		return a, errors.New("it was sent, and could not be read back"), err
	}
	a = back[0]
	switch got := a.Reading.Value; {
	case got.IsNone():
		return a, fmt.Errorf("it was sent, and could not be read back: %s", a.Reading.Reason), nil
	case !same(got, v):
		return a, fmt.Errorf("it was sent, and reads %s", got), nil
	}
	return a, nil, nil
}

// lost returns the errors that end the work on a line.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if isLineError(err) {
		return err
	}
	return nil
}

// same compares numbers, however many zeros they end with.
func same(a, b gateway.Value) bool {
	x, err1 := gateway.ParseDecimal(a.String())
	y, err2 := gateway.ParseDecimal(b.String())
	return err1 == nil && err2 == nil && x.Cmp(y) == 0
}
