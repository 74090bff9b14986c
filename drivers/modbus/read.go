package modbus

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Read reads a tag of a device now, between what Run does; with "" as the tag,
// every tag of the device, by name. What the instrument does not answer is a
// reading without a value, not an error. The error is that nothing was asked:
// ErrUnknown, ErrLineDown, or ctx's. It is safe for concurrent use; ctx must end
// some time, or Run must be running.
func (d *Driver) Read(ctx context.Context, device, name string) ([]gateway.Answer, error) {
	dev, err := d.deviceOf(device)
	if err != nil {
		return nil, err
	}
	tags := slices.Collect(maps.Values(dev.tags))
	if name != "" {
		t, err := dev.tagOf(name)
		if err != nil {
			return nil, err
		}
		tags = []*tag{t}
	}
	var answers []gateway.Answer
	for _, b := range plan(dev.options, tags) {
		more, err := d.readBlock(ctx, dev, b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", device, err)
		}
		answers = append(answers, more...)
	}
	slices.SortFunc(answers, func(a, b gateway.Answer) int { return cmp.Compare(a.Reading.Tag.Name, b.Reading.Tag.Name) })
	return answers, nil
}

// readBlock reads the tags of one request; of several, if the instrument refuses
// to answer them in one piece.
func (d *Driver) readBlock(ctx context.Context, dev *device, b block) ([]gateway.Answer, error) {
	res, err := d.askAgain(ctx, dev.unit, b.request)
	if err != nil {
		return nil, err
	}
	if e, is := res.err.(wire.Exception); is && divisible(e) && b.parts() { //nolint:errorlint // the engine returns it bare
		first, second := b.split()
		answers, err := d.readBlock(ctx, dev, first)
		if err != nil {
			return nil, err
		}
		more, err := d.readBlock(ctx, dev, second)
		return append(answers, more...), err
	}
	answers := make([]gateway.Answer, len(b.tags))
	for i, t := range b.tags {
		answers[i] = res.answer(t, b.request)
	}
	return answers, nil
}

// askAgain asks as often as polling does until there is an answer.
func (d *Driver) askAgain(ctx context.Context, u *unit, r wire.Request) (res result, err error) {
	for range 1 + d.retries {
		if res, err = d.ask(ctx, u, r); err != nil || !isMiss(res.err) {
			break
		}
	}
	return res, err
}

// answer is what a result says of a tag. The tag is a copy that nobody else uses.
func (res result) answer(of *tag, r wire.Request) gateway.Answer {
	t := *of
	a := gateway.Answer{
		Reading: gateway.Reading{Tag: t.tag, Stamp: res.stamp, Class: t.class},
		Request: res.sent, Reply: res.got, Took: res.took,
	}
	if res.err != nil {
		a.Reading.Fail(reasonOf(res.err))
	} else {
		t.read(&a.Reading, res.data, int(r.Address))
	}
	return a
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
	if t := dev.tags[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknown, gateway.Unknown(name, "a tag of "+dev.name, slices.Sorted(maps.Keys(dev.tags))))
}
