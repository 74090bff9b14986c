package buffer

import (
	"slices"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
	"pgregory.net/rapid"
)

// A set of ranges behaves as a set of numbers.
func TestSpansAreASet(t *testing.T) {
	const size = 60
	drawSpan := func(t *rapid.T, label string) span {
		from := rapid.IntRange(1, size-1).Draw(t, label)
		return span{gateway.Seq(from), gateway.Seq(rapid.IntRange(from, min(from+9, size-1)).Draw(t, label+" to"))}
	}
	rapid.Check(t, func(t *rapid.T) {
		var x, y spans
		var inX, inY [size + 1]bool
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			n := drawSpan(t, "add")
			news := false
			for s := n.from; s <= n.to; s++ {
				news = news || !inX[s]
				inX[s] = true
			}
			if x.add(n) != news {
				t.Fatalf("add %v says %v", n, !news)
			}
			m := drawSpan(t, "other")
			y.add(m)
			for s := m.from; s <= m.to; s++ {
				inY[s] = true
			}
		}
		for i := 1; i < len(x); i++ {
			if x[i].from <= x[i-1].to+1 {
				t.Fatalf("%v touch", x)
			}
		}
		n := 0
		both := x.intersect(y)
		for s := gateway.Seq(1); s < size; s++ {
			if inX[s] {
				n++
			}
			if x.covers(span{s, s}) != inX[s] || both.covers(span{s, s}) != (inX[s] && inY[s]) {
				t.Fatalf("%d in %v, %v", s, x, both)
			}
			want := s
			for inX[want] {
				want++
			}
			if got := x.firstMissing(s); got != want {
				t.Fatalf("first missing of %v from %d is %d, not %d", x, s, got, want)
			}
			next := s + 1
			for next < size && !inX[next] {
				next++
			}
			if got, ok := x.nextFrom(s); ok != (next < size) || ok && got != next {
				t.Fatalf("next of %v after %d is %d %v", x, s, got, ok)
			}
		}
		if x.count() != int64(n) {
			t.Fatalf("count %d, want %d", x.count(), n)
		}
		hole := drawSpan(t, "missing")
		var got [size + 1]bool
		for _, m := range x.missing(hole) {
			for s := m.from; s <= m.to; s++ {
				got[s] = true
			}
		}
		for s := range got {
			if got[s] != (gateway.Seq(s) >= hole.from && gateway.Seq(s) <= hole.to && !inX[s]) {
				t.Fatalf("missing of %v in %v: %v", x, hole, x.missing(hole))
			}
		}
		back, err := parseSpans(x.appendBinary(nil))
		if err != nil || !slices.Equal(back, x) {
			t.Fatalf("%v came back as %v, %v", x, back, err)
		}
	})
}

func FuzzParseSpans(f *testing.F) {
	f.Add(spans{{1, 5}, {9, 9}}.appendBinary(nil))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseSpans(b)
		if err != nil {
			return
		}
		for i := range x {
			if x[i].to < x[i].from || i > 0 && x[i].from <= x[i-1].to+1 {
				t.Fatalf("%v is not in order", x)
			}
		}
	})
}
