package text

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Read reads a tag of a device now, between what Run does; with "" as the tag,
// every tag of the device, by name. What the instrument does not answer is a
// reading without a value, not an error; of one that talks by itself it is what
// it said last. The error is that nothing was asked: ErrUnknown, ErrLineDown, or
// ctx's. It is safe for concurrent use; ctx must end some time, or Run must be running.
func (d *Driver) Read(ctx context.Context, device, name string) ([]gateway.Answer, error) {
	dev, err := d.deviceOf(device)
	if err != nil {
		return nil, err
	}
	if name != "" {
		if _, err := dev.tagOf(name); err != nil {
			return nil, err
		}
	}
	var answers []gateway.Answer
	for _, p := range dev.in.polls {
		if !slices.ContainsFunc(p.tags, func(t *tag) bool { return name == "" || t.name == name }) {
			continue
		}
		more, err := d.readPoll(ctx, dev, p, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", device, err)
		}
		answers = append(answers, more...)
	}
	slices.SortFunc(answers, func(a, b gateway.Answer) int { return cmp.Compare(a.Reading.Tag.Name, b.Reading.Tag.Name) })
	return answers, nil
}

// readPoll asks a poll as often as polling does until there is an answer.
func (d *Driver) readPoll(ctx context.Context, dev *device, p *poll, name string) (answers []gateway.Answer, err error) {
	if dev.in.options.listens() {
		return d.readHeard(ctx, dev, p, name)
	}
	for range 1 + d.retriesOf(dev) {
		again := false
		var got []gateway.Answer // of this try: the owner of the line may be at it still when ctx has ended
		_, err = d.request(ctx, dev, func(run context.Context, x *engine) (err error) {
			got, again, err = d.answer(run, x, dev, p, name)
			return err
		})
		if err != nil {
			return nil, err
		}
		if answers = got; !again {
			break
		}
	}
	return answers, nil
}

// answer asks once, on the goroutine that owns the line. again says that it is
// worth to ask once more.
func (d *Driver) answer(ctx context.Context, x *engine, dev *device, p *poll, name string) (answers []gateway.Answer, again bool, err error) {
	r, err := d.transact(ctx, x, dev, p, maxPause)
	if err != nil {
		return nil, false, err
	}
	for _, t := range p.tags {
		if name != "" && t.name != name {
			continue
		}
		a := gateway.Answer{
			Reading: gateway.Reading{Tag: t.tag, Stamp: r.stamp, Class: t.class},
			Request: bytes.Clone(x.sent), Reply: bytes.Clone(x.got), Took: r.at.Sub(r.sent),
		}
		if r.err != nil {
			a.Reading.Fail(reasonOf(r.err))
		} else {
			t.read(&a.Reading, &d.catch)
		}
		answers = append(answers, a)
	}
	return answers, isMiss(r.err), nil
}

// readHeard returns what a listener heard last. One that has only begun to listen
// is given the time that its instrument may be silent.
func (d *Driver) readHeard(ctx context.Context, dev *device, p *poll, name string) ([]gateway.Answer, error) {
	patience := time.Now().Add(d.staleOf(p) + stopCheck)
	for {
		var got []gateway.Answer
		_, err := d.request(ctx, dev, func(context.Context, *engine) error { got = d.said(p, name); return nil })
		if err != nil {
			return nil, err
		}
		starting := slices.ContainsFunc(got, func(a gateway.Answer) bool { return a.Reading.Reason == gateway.Starting })
		if !starting || time.Now().After(patience) {
			return got, nil
		}
		select {
		case <-time.After(stopCheck):
		case <-ctx.Done():
			return nil, d.keep.Late(ctx)
		}
	}
}

func (d *Driver) staleOf(p *poll) (longest time.Duration) {
	for _, s := range d.sweeps {
		if s.poll == p {
			longest = max(longest, s.stale())
		}
	}
	return longest
}

// said is what a listener heard last.
func (d *Driver) said(p *poll, name string) (answers []gateway.Answer) {
	for _, s := range d.sweeps {
		if s.poll != p {
			continue
		}
		for _, r := range s.readings {
			if name != "" && r.Tag.Name != name {
				continue
			}
			if r.Stamp.Boot == nil {
				r.Stamp = d.keep.Now()
				r.Fail(gateway.Starting)
			}
			answers = append(answers, gateway.Answer{Reading: r})
		}
	}
	return answers
}

func (d *Driver) deviceOf(name string) (*device, error) {
	var names []string
	for _, dev := range d.devices {
		if dev.name == name {
			return dev, nil
		}
		names = append(names, dev.name)
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, gateway.Unknown(name, "a device of line "+d.keep.Line, names))
}

func (dev *device) tagOf(name string) (*tag, error) {
	if t := dev.in.tagNamed(name); t != nil {
		return t, nil
	}
	var names []string
	for _, p := range dev.in.polls {
		for _, t := range p.tags {
			names = append(names, t.name)
		}
	}
	slices.Sort(names)
	return nil, fmt.Errorf("%w: %s", ErrUnknown, gateway.Unknown(name, "a tag of "+dev.name, names))
}
