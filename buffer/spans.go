package buffer

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"

	"github.com/gaugeway/gaugeway/gateway"
)

// span is a range of seqs, both included.
type span struct{ from, to gateway.Seq }

func (s span) count() int64 { return int64(s.to - s.from + 1) }

// spans is a set of seqs as disjoint ranges that do not touch, in order.
type spans []span

// at returns the place of the first span that ends at s or later.
func (x spans) at(s gateway.Seq) int {
	return sort.Search(len(x), func(i int) bool { return x[i].to >= s })
}

// add adds a range and reports whether anything of it was new.
func (x *spans) add(n span) bool {
	i := x.at(n.from)
	if i < len(*x) && (*x)[i].from <= n.from && (*x)[i].to >= n.to {
		return false
	}
	if n.from > 0 {
		i = x.at(n.from - 1) // one that ends just before joins
	}
	j := i
	for j < len(*x) && ((*x)[j].from <= n.to || (*x)[j].from == n.to+1) {
		n.from, n.to = min(n.from, (*x)[j].from), max(n.to, (*x)[j].to)
		j++
	}
	*x = slices.Replace(*x, i, j, n)
	return true
}

// firstMissing returns the first seq from s on that is not in the set.
func (x spans) firstMissing(s gateway.Seq) gateway.Seq {
	if i := x.at(s); i < len(x) && x[i].from <= s {
		return x[i].to + 1
	}
	return s
}

// nextFrom returns the first seq after s that is in the set, if there is one.
func (x spans) nextFrom(s gateway.Seq) (gateway.Seq, bool) {
	if i := x.at(s + 1); i < len(x) {
		return max(x[i].from, s+1), true
	}
	return 0, false
}

// missing returns the parts of a range that are not in the set.
func (x spans) missing(n span) spans {
	var out spans
	for i := x.at(n.from); n.from <= n.to; i++ {
		if i >= len(x) || x[i].from > n.to {
			return append(out, n)
		}
		if x[i].from > n.from {
			out = append(out, span{n.from, x[i].from - 1})
		}
		n.from = x[i].to + 1
	}
	return out
}

func (x spans) covers(n span) bool {
	i := x.at(n.from)
	return i < len(x) && x[i].from <= n.from && x[i].to >= n.to
}

func (x spans) intersect(y spans) spans {
	var out spans
	for i, j := 0, 0; i < len(x) && j < len(y); {
		if from, to := max(x[i].from, y[j].from), min(x[i].to, y[j].to); from <= to {
			out = append(out, span{from, to})
		}
		if x[i].to < y[j].to {
			i++
		} else {
			j++
		}
	}
	return out
}

func (x spans) count() (n int64) {
	for _, s := range x {
		n += s.count()
	}
	return n
}

// appendBinary writes the set as it rests on disk: distances and lengths.
func (x spans) appendBinary(b []byte) []byte {
	var last gateway.Seq
	for _, s := range x {
		b = binary.AppendUvarint(b, uint64(s.from-last))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		last = s.to
	}
	return b
}

var errSpans = errors.New("not a set of ranges")

func parseSpans(b []byte) (spans, error) {
	var x spans
	var last gateway.Seq
	for len(b) > 0 {
		skip, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errSpans
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || skip > math.MaxInt64-uint64(last) || length > math.MaxInt64-uint64(last)-skip || (len(x) > 0 && skip < 2) {
			return nil, errSpans
		}
		s := span{from: last + gateway.Seq(skip)}
		s.to = s.from + gateway.Seq(length)
		x, last, b = append(x, s), s.to, b[n+m:]
	}
	return x, nil
}
