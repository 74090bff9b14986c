package modbus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Location is where a tag lies in its instrument.
type Location struct {
	Function wire.Function // that reads it
	Address  int           // as it goes on the wire
	Layout   wire.Layout
}

// Locate works out where a tag of valid options lies.
func Locate(d DeviceOptions, t TagOptions) Location {
	p, _ := place(d, t)
	return Location{p.function, p.address, p.layout}
}

// NoValue returns the bits with which an instrument says that it has no value:
// the first of bad_values, or NaN; 0 where there is no way to say it.
func NoValue(l wire.Layout, t TagOptions) uint64 {
	bad, _ := sentinels(l.Type, t.BadValues)
	switch {
	case len(bad) > 0 && bad[0].by == byBits:
		return bad[0].bits
	case l.Type.Name == "float32":
		return uint64(math.Float32bits(float32(math.NaN())))
	case l.Type.Name == "float64":
		return math.Float64bits(math.NaN())
	default:
		return 0
	}
}

// Decode reads what the tags of a device make of a reply, without a line: both
// are RTU frames. With no request it is the one of the device's whose answer
// has this length, if there is exactly one.
func Decode(d DeviceOptions, request, reply []byte) ([]gateway.Reading, error) {
	tags := d.tags("device")
	r, err := requestOf(d, tags, request, reply)
	if err != nil {
		return nil, err
	}
	r.Wide = slices.ContainsFunc(tags, func(t *tag) bool {
		return t.wide && t.function == r.Function && t.address >= int(r.Address) && t.end() <= int(r.Address)+int(r.Count)
	})
	f, n, status := wire.RTUReplyAt(reply)
	if status != wire.Complete || n != len(reply) {
		return nil, errors.New("the reply is no RTU frame with a right checksum; paste all its bytes, from the unit to the CRC")
	}
	data, err := r.ParseReply(f.PDU)
	var exception wire.Exception
	if err != nil && !errors.As(err, &exception) {
		return nil, fmt.Errorf("the reply is not to %s %d and the %d after it", r.Function, r.Address, r.Count)
	}
	var readings []gateway.Reading
	for _, t := range tags {
		if t.function != r.Function || t.address < int(r.Address) || t.end() > int(r.Address)+int(r.Count) {
			continue
		}
		reading := gateway.Reading{Tag: t.tag, Class: t.class}
		if err != nil {
			reading.Fail(gateway.Exception)
		} else {
			t.read(&reading, data, int(r.Address))
		}
		readings = append(readings, reading)
	}
	if len(readings) == 0 {
		return nil, fmt.Errorf("no tag lies within %s %d and the %d after it", r.Function, r.Address, r.Count)
	}
	return readings, nil
}

// tags makes the tags that are read, by name.
func (o DeviceOptions) tags(device string) []*tag {
	var tags []*tag
	for _, name := range slices.Sorted(maps.Keys(o.Tags)) {
		if o.Tags[name].IsEnabled() {
			tags = append(tags, newTag(device, name, o))
		}
	}
	return tags
}

func requestOf(d DeviceOptions, tags []*tag, request, reply []byte) (wire.Request, error) {
	if len(request) > 0 {
		f, _, ok := wire.FindRTURequest(request)
		if !ok {
			return wire.Request{}, errors.New("the request is no RTU frame with a right checksum")
		}
		r, err := wire.ParseRequest(bytes.Clone(f.PDU))
		if err != nil {
			return r, fmt.Errorf("the request: %w", err)
		}
		return r, nil
	}
	var fit []wire.Request
	var names []string
	for _, b := range plan(d, tags) {
		names = append(names, fmt.Sprintf("%s %d, %d bytes", b.request.Function, b.request.Address, wire.RTUReplySize(b.request)))
		if wire.RTUReplySize(b.request) == len(reply) {
			fit = append(fit, b.request)
		}
	}
	if len(fit) != 1 {
		return wire.Request{}, fmt.Errorf("a reply of %d bytes does not tell which request it answers (%s); give the request as well", len(reply), strings.Join(names, "; "))
	}
	return fit[0], nil
}
