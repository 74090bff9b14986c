package gateway

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sort"
)

// SeqRange is a range of seqs, both included.
type SeqRange struct{ From, To Seq }

// Count returns how many seqs there are in the range.
func (s SeqRange) Count() int64 { return int64(s.To - s.From + 1) }

// Ranges is a set of seqs as disjoint ranges that do not touch, in order. The
// zero value is the empty set.
type Ranges []SeqRange

// at returns the place of the first range that ends at s or later.
func (x Ranges) at(s Seq) int {
	return sort.Search(len(x), func(i int) bool { return x[i].To >= s })
}

// Add adds a range and reports whether anything of it was new.
func (x *Ranges) Add(n SeqRange) bool {
	i := x.at(n.From)
	if i < len(*x) && (*x)[i].From <= n.From && (*x)[i].To >= n.To {
		return false
	}
	if n.From > 0 {
		i = x.at(n.From - 1) // one that ends just before joins
	}
	j := i
	for j < len(*x) && ((*x)[j].From <= n.To || (*x)[j].From == n.To+1) {
		n.From, n.To = min(n.From, (*x)[j].From), max(n.To, (*x)[j].To)
		j++
	}
	*x = slices.Replace(*x, i, j, n)
	return true
}

// FirstMissing returns the first seq from s on that is not in the set.
func (x Ranges) FirstMissing(s Seq) Seq {
	if i := x.at(s); i < len(x) && x[i].From <= s {
		return x[i].To + 1
	}
	return s
}

// NextFrom returns the first seq after s that is in the set, if there is one.
func (x Ranges) NextFrom(s Seq) (Seq, bool) {
	if i := x.at(s + 1); i < len(x) {
		return max(x[i].From, s+1), true
	}
	return 0, false
}

// Missing returns the parts of a range that are not in the set.
func (x Ranges) Missing(n SeqRange) Ranges {
	var out Ranges
	for i := x.at(n.From); n.From <= n.To; i++ {
		if i >= len(x) || x[i].From > n.To {
			return append(out, n)
		}
		if x[i].From > n.From {
			out = append(out, SeqRange{n.From, x[i].From - 1})
		}
		n.From = x[i].To + 1
	}
	return out
}

// Has reports whether every seq of a range is in the set.
func (x Ranges) Has(n SeqRange) bool {
	i := x.at(n.From)
	return i < len(x) && x[i].From <= n.From && x[i].To >= n.To
}

// Intersect returns the set of what is in both.
func (x Ranges) Intersect(y Ranges) Ranges {
	var out Ranges
	for i, j := 0, 0; i < len(x) && j < len(y); {
		if from, to := max(x[i].From, y[j].From), min(x[i].To, y[j].To); from <= to {
			out = append(out, SeqRange{from, to})
		}
		if x[i].To < y[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// Count returns how many seqs there are in the set.
func (x Ranges) Count() (n int64) {
	for _, s := range x {
		n += s.Count()
	}
	return n
}

// AppendBinary writes the set as it rests on disk: distances and lengths.
func (x Ranges) AppendBinary(b []byte) []byte {
	var last Seq
	for _, s := range x {
		b = binary.AppendUvarint(b, uint64(s.From-last))
		b = binary.AppendUvarint(b, uint64(s.To-s.From))
		last = s.To
	}
	return b
}

var errRanges = errors.New("not a set of ranges")

// ParseRanges reads what AppendBinary writes.
func ParseRanges(b []byte) (Ranges, error) {
	var x Ranges
	var last Seq
	for len(b) > 0 {
		skip, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errRanges
		}
		length, m := binary.Uvarint(b[n:])
		if m <= 0 || skip > math.MaxInt64-uint64(last) || length > math.MaxInt64-uint64(last)-skip || (len(x) > 0 && skip < 2) {
			return nil, errRanges
		}
		s := SeqRange{From: last + Seq(skip)}
		s.To = s.From + Seq(length)
		x, last, b = append(x, s), s.To, b[n+m:]
	}
	return x, nil
}
