package text

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/gaugeway/gaugeway/gateway"
)

// Decode reads what the tags of a device make of a reply, without a line. poll
// names the poll that it answers; "" where the request tells, or there is only
// one that the reply fits. Of a poll with several steps the tags are decoded that
// the reply holds.
func Decode(o DeviceOptions, poll string, request, reply []byte) ([]gateway.Reading, error) {
	in, faults := compile("device", o)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s: %s", faults[0].Key, faults[0].Text)
	}
	candidates, err := in.candidates(poll, request)
	if err != nil {
		return nil, err
	}
	reply = in.filter(bytes.Clone(reply))
	var all []error
	for _, p := range candidates {
		readings, err := p.decode(in, request, reply)
		if err == nil {
			return readings, nil
		}
		all = append(all, fmt.Errorf("poll %s: %w", p.name, err))
	}
	return nil, errors.Join(all...)
}

// candidates are the polls that a reply may answer.
func (in *instrument) candidates(name string, request []byte) ([]*poll, error) {
	var names []string
	var fit []*poll
	for _, p := range in.polls {
		names = append(names, p.name)
		if p.name == name || name == "" && (len(request) == 0 || in.options.listens() || p.sends(request)) {
			fit = append(fit, p)
		}
	}
	switch {
	case len(fit) > 0:
		return fit, nil
	case name != "":
		return nil, errors.New(gateway.Unknown(name, "a poll of the device", names))
	default:
		return nil, fmt.Errorf("no poll sends %s; leave the request out, or give the poll: %v", quote(request), names)
	}
}

func (p *poll) sends(request []byte) bool {
	return slices.ContainsFunc(p.steps, func(s *step) bool { return bytes.Equal(s.request, request) })
}

// decode tries the steps of a poll, the last one first: it has the values.
func (p *poll) decode(in *instrument, request, reply []byte) ([]gateway.Reading, error) {
	var err error
	for _, s := range slices.Backward(p.steps) {
		if s.quiet || len(request) > 0 && len(p.steps) > 1 && !bytes.Equal(s.request, request) {
			continue
		}
		var c catch
		var why error
		if why = s.decode(&c, reply); why == nil || errors.Is(why, errRefused) {
			return p.decoded(s, &c, why), nil
		}
		err = errors.Join(err, why)
	}
	if err == nil {
		return nil, errors.New("no step of it has a reply to this request")
	}
	return nil, err
}

// decode finds the reply to the step among the bytes.
func (s *step) decode(c *catch, b []byte) error {
	if len(s.request) > 0 {
		b = bytes.TrimPrefix(b, s.request) // an echo
	}
	var seen error
	for len(b) > 0 {
		f, used, _, ok := s.framing.next(b, true)
		if !ok {
			break
		}
		switch s.judge(f, c) {
		case ours:
			return nil
		case refused:
			return errRefused
		case damaged:
			seen = errDamaged
		default:
			if seen == nil {
				seen = fmt.Errorf("%w: %s", errNonsense, quote(f.says))
			}
		}
		b = b[used:]
	}
	if seen == nil {
		return errors.New("the reply is not whole; give all its bytes, its end included")
	}
	return seen
}

// decoded makes the readings of the tags that the step holds.
func (p *poll) decoded(s *step, c *catch, why error) []gateway.Reading {
	var readings []gateway.Reading
	for _, t := range p.tags {
		if len(p.steps) > 1 && t.place.field != "" && why == nil {
			if _, ok := c.field(t.place.field); !ok {
				continue
			}
		}
		r := gateway.Reading{Tag: t.tag, Class: t.class}
		if why != nil {
			r.Fail(reasonOf(why))
		} else {
			t.read(&r, c)
		}
		readings = append(readings, r)
	}
	return readings
}
