package gateway

import "slices"

// SeqRange is a run of seqs, both ends included.
type SeqRange struct{ From, To Seq }

// Ranges is a set of seqs, kept as ascending runs that do not touch. The zero
// value is the empty set.
type Ranges []SeqRange

// Add puts the seqs of r into the set.
func (s *Ranges) Add(r SeqRange) {
	// The runs that r touches are those from the first that ends at or after its
	// neighbour on the left to the last that begins at or before the one on the right.
	first, _ := slices.BinarySearchFunc(*s, r, func(have, r SeqRange) int {
		if have.To+1 < r.From {
			return -1
		}
		return 1
	})
	last := first
	for ; last < len(*s) && (*s)[last].From <= r.To+1; last++ {
		r.From, r.To = min(r.From, (*s)[last].From), max(r.To, (*s)[last].To)
	}
	*s = slices.Replace(*s, first, last, r)
}

// Has reports whether every seq of r is in the set.
func (s Ranges) Has(r SeqRange) bool {
	i, _ := slices.BinarySearchFunc(s, r, func(have, r SeqRange) int {
		if have.To < r.From {
			return -1
		}
		return 1
	})
	return i < len(s) && s[i].From <= r.From && r.To <= s[i].To
}
