package modbus

import (
	"cmp"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// block is one request and the tags that its answer holds.
type block struct {
	request wire.Request
	tags    []*tag // by address

	joined   int  // the tag from which on it was joined to try; 0 if it was not
	refused  bool // when it was last asked for
	done     bool // in this sweep
	attempts int  // in this sweep, without a good reply
	fails    int  // requests in a row without one, over all sweeps
}

// bitsPerRegister lets as many bits as a register has stand for one in max_gap and max_registers.
const bitsPerRegister = 16

// plan merges tags of one device and interval into as few requests as its
// options and the holes that it is known to have allow.
func plan(d DeviceOptions, tags []*tag, known ...hole) []block {
	tags = slices.Clone(tags)
	slices.SortStableFunc(tags, func(a, b *tag) int {
		return cmp.Or(cmp.Compare(a.function, b.function), cmp.Compare(a.address, b.address), cmp.Compare(a.tag.Name, b.tag.Name))
	})
	var blocks []block
	for start := 0; start < len(tags); {
		n := run(d, tags[start:], known)
		blocks = append(blocks, newBlock(tags[start:start+n]))
		start += n
	}
	return blocks
}

// run returns how many of the tags, from the first on, go into one request.
func run(d DeviceOptions, tags []*tag, known []hole) int {
	limits, function := limitsOf(d, tags[0]), tags[0].function
	first, end := tags[0].address, tags[0].end()
	for i, t := range tags {
		whole := max(end, t.end())
		if t.function != function || t.wide != tags[0].wide || !limits.allow(first, end, t.address, whole) {
			return i
		}
		if i > 0 && whole > end && crossesAny(known, function, first, whole) {
			return i
		}
		end = whole
	}
	return len(tags)
}

// limits are what the configuration says of the requests to one table.
type limits struct {
	most, gap int
	apart     bool // no_merge
	holes     [][2]int
}

func limitsOf(d DeviceOptions, t *tag) limits {
	l := limits{most: d.maxRegisters(), gap: d.maxGap(), apart: d.NoMerge, holes: d.Holes}
	switch {
	case t.function.Bits():
		l.most, l.gap = min(wire.MaxBits, l.most*bitsPerRegister), l.gap*bitsPerRegister
	case t.wide:
		l.most, l.gap = max(1, l.most/2), l.gap/2
	}
	return l
}

// allow reports whether a request from first to before end may be widened to
// before whole for a tag at an address. Tags in the same registers always share one.
func (l limits) allow(first, end, address, whole int) bool {
	switch {
	case whole == end:
		return true
	case l.apart || address-end > l.gap || whole-first > l.most:
		return false
	}
	for _, h := range l.holes {
		if end <= h[0] && h[0] < whole || end <= h[1] && h[1] < whole {
			return false
		}
	}
	return true
}

func newBlock(tags []*tag) block {
	first, end := tags[0].address, 0
	for _, t := range tags {
		end = max(end, t.end())
	}
	return block{
		request: wire.Request{Function: tags[0].function, Address: uint16(first), Count: uint16(end - first), Wide: tags[0].wide},
		tags:    tags,
	}
}

// parts reports whether there is a tag that takes less than the whole block.
func (b *block) parts() bool {
	return slices.ContainsFunc(b.tags, func(t *tag) bool { return t.address > b.start() || t.end() < b.end() })
}

// split parts a block that the instrument refuses to answer whole: at the widest
// gap, which may hold registers that do not exist, else in the middle.
func (b block) split() (block, block) {
	at, widest := len(b.tags)/2, 0
	end := b.tags[0].end()
	for i, t := range b.tags {
		if gap := t.address - end; gap > widest {
			at, widest = i, gap
		}
		end = max(end, t.end())
	}
	return newBlock(b.tags[:at]), newBlock(b.tags[at:])
}

// probe returns a request for a part of the block whose reply has another
// length than the block's own, and false where there is none.
func (b block) probe() (wire.Request, bool) {
	r := b.request
	r.Count = uint16(b.tags[0].addresses())
	if r.DataSize() == b.request.DataSize() {
		r.Count = 1
	}
	return r, r.DataSize() != b.request.DataSize()
}

func (t *tag) end() int { return t.address + t.addresses() }

// group parts a device's tags by interval.
func group(d DeviceOptions, names []string, tags []*tag) map[time.Duration][]*tag {
	groups := make(map[time.Duration][]*tag)
	for i, t := range tags {
		interval := d.Tags[names[i]].Interval
		if interval == 0 {
			interval = d.Interval
		}
		groups[interval] = append(groups[interval], t)
	}
	return groups
}
