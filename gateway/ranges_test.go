package gateway

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set of ranges behaves as a set of numbers.
func TestRangesAreASet(t *testing.T) {
	const size = 60
	drawRange := func(t *rapid.T, label string) SeqRange {
		from := rapid.IntRange(1, size-1).Draw(t, label)
		return SeqRange{Seq(from), Seq(rapid.IntRange(from, min(from+9, size-1)).Draw(t, label+" to"))}
	}
	rapid.Check(t, func(t *rapid.T) {
		var x, y Ranges
		var inX, inY [size + 1]bool
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			n := drawRange(t, "add")
			news := false
			for s := n.From; s <= n.To; s++ {
				news = news || !inX[s]
				inX[s] = true
			}
			if x.Add(n) != news {
				t.Fatalf("add %v says %v", n, !news)
			}
			m := drawRange(t, "other")
			y.Add(m)
			for s := m.From; s <= m.To; s++ {
				inY[s] = true
			}
		}
		for i := 1; i < len(x); i++ {
			if x[i].From <= x[i-1].To+1 {
				t.Fatalf("%v touch", x)
			}
		}
		n := 0
		both := x.Intersect(y)
		for s := Seq(1); s < size; s++ {
			if inX[s] {
				n++
			}
			if x.Has(SeqRange{s, s}) != inX[s] || both.Has(SeqRange{s, s}) != (inX[s] && inY[s]) {
				t.Fatalf("%d in %v, %v", s, x, both)
			}
			want := s
			for inX[want] {
				want++
			}
			if got := x.FirstMissing(s); got != want {
				t.Fatalf("first missing of %v from %d is %d, not %d", x, s, got, want)
			}
			next := s + 1
			for next < size && !inX[next] {
				next++
			}
			if got, ok := x.NextFrom(s); ok != (next < size) || ok && got != next {
				t.Fatalf("next of %v after %d is %d %v", x, s, got, ok)
			}
		}
		if x.Count() != int64(n) {
			t.Fatalf("count %d, want %d", x.Count(), n)
		}
		hole := drawRange(t, "missing")
		var got [size + 1]bool
		for _, m := range x.Missing(hole) {
			for s := m.From; s <= m.To; s++ {
				got[s] = true
			}
		}
		for s := range got {
			if got[s] != (Seq(s) >= hole.From && Seq(s) <= hole.To && !inX[s]) {
				t.Fatalf("missing of %v in %v: %v", x, hole, x.Missing(hole))
			}
		}
		back, err := ParseRanges(x.AppendBinary(nil))
		if err != nil || !slices.Equal(back, x) {
			t.Fatalf("%v came back as %v, %v", x, back, err)
		}
	})
}

func FuzzParseSpans(f *testing.F) {
	f.Add(Ranges{{1, 5}, {9, 9}}.AppendBinary(nil))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseRanges(b)
		if err != nil {
			return
		}
		for i := range x {
			if x[i].To < x[i].From || i > 0 && x[i].From <= x[i-1].To+1 {
				t.Fatalf("%v is not in order", x)
			}
		}
	})
}
