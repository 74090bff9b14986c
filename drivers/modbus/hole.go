package modbus

import (
	"slices"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// maxHoles bounds what is remembered of one device. What is beyond is found
// anew: its requests stay divided as they were.
const maxHoles = 256

// hole is where one request does not do: addresses first to last, which the
// instrument does not have. With last before first it is a seam: on both sides
// of it there is something, but no request may read across.
type hole struct {
	function    wire.Function
	first, last int
}

// crossed reports whether a request from start to before end reads a part of the
// hole and something else, or across the seam.
func (h hole) crossed(start, end int) bool {
	return start < h.first && end > h.first || start <= h.last && end > h.last+1
}

func crossesAny(holes []hole, f wire.Function, start, end int) bool {
	return slices.ContainsFunc(holes, func(h hole) bool { return h.function == f && h.crossed(start, end) })
}

// learn remembers a hole, for all sweeps of the device.
func (d *device) learn(h hole) {
	if len(d.holes) < maxHoles && !slices.Contains(d.holes, h) {
		d.holes = append(d.holes, h)
		d.learned++
	}
}

// answers forgets that a request reads what does not exist, and reports whether
// that had been learned.
func (d *device) answers(r wire.Request) bool {
	n := len(d.holes)
	if n == 0 {
		return false
	}
	h := hole{r.Function, int(r.Address), int(r.Address) + int(r.Count) - 1}
	d.holes = slices.DeleteFunc(d.holes, func(o hole) bool { return o == h })
	return len(d.holes) < n
}

// respect divides the requests that cross what another sweep of the device has
// learned.
func (s *sweep) respect() {
	s.seen = s.device.learned
	for i := 0; i < len(s.blocks); i++ {
		b := s.blocks[i]
		if len(b.tags) < 2 || !crossesAny(s.device.holes, b.request.Function, b.start(), b.end()) {
			continue
		}
		parts := plan(s.device.options, b.tags, s.device.holes...)
		s.blocks = slices.Replace(s.blocks, i, i+1, parts...)
		i += len(parts) - 1
	}
}

// divide replaces a block that the instrument refused by its two parts. Where
// both were answered before, what lies between them is a hole.
func (s *sweep) divide(i int) {
	b := s.blocks[i]
	first, second := b.split()
	if b.joined > 0 {
		first, second = newBlock(b.tags[:b.joined]), newBlock(b.tags[b.joined:])
		s.device.learn(hole{b.request.Function, first.end(), second.start() - 1})
		s.seen = s.device.learned
	}
	s.blocks = slices.Replace(s.blocks, i, i+1, first, second)
	s.divided = true
}

// heal joins two requests again that were parted while the one address was
// looked for that the instrument does not have. It joins one pair a sweep, so
// that a refusal tells where the hole is.
func (s *sweep) heal() {
	for i := range s.blocks[:len(s.blocks)-1] {
		a, b := s.blocks[i], s.blocks[i+1]
		if a.refused || b.refused || a.fails > 0 || b.fails > 0 || a.request.Function != b.request.Function {
			continue
		}
		tags := slices.Concat(a.tags, b.tags)
		if run(s.device.options, tags, s.device.holes) < len(tags) {
			continue
		}
		whole := newBlock(tags)
		whole.joined = len(a.tags)
		s.blocks = slices.Replace(s.blocks, i, i+2, whole)
		return
	}
	s.divided = false
}

func (b *block) start() int { return int(b.request.Address) }
func (b *block) end() int   { return int(b.request.Address) + int(b.request.Count) }
