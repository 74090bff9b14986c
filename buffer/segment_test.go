package buffer

import (
	"math"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
	"pgregory.net/rapid"
)

// values are those that have something special about them.
var values = []gateway.Value{
	{},
	gateway.Bool(true), gateway.Bool(false),
	gateway.Int(0), gateway.Int(1), gateway.Int(-1), gateway.Int(100), gateway.Int(math.MaxInt64), gateway.Int(math.MinInt64),
	gateway.Uint(math.MaxUint64), gateway.Uint(1 << 63),
	gateway.Number(gateway.NewDecimal(1234, -2)), gateway.Number(gateway.NewDecimal(-1230, -2)), gateway.Number(gateway.NewDecimal(7, 20)),
	gateway.Int(-5).Scaled(gateway.Decimal{}, gateway.Decimal{}),                 // a minus zero
	gateway.Int(50).Scaled(gateway.NewDecimal(1, -1), gateway.Decimal{}),         // 5.0, with its zero
	gateway.Uint(math.MaxUint64).Scaled(gateway.NewDecimal(11, -1), gateway.One), // too long for a number
	gateway.Float32(0), gateway.Float32(float32(math.Copysign(0, -1))), gateway.Float32(math.MaxFloat32), gateway.Float32(-1.5),
	gateway.Float32(math.Float32frombits(0x7fc12345)), gateway.Float32(float32(math.Inf(-1))),
	gateway.Float64(math.Pi), gateway.Float64(math.Float64frombits(0x7ff8000000000123)), gateway.Float64(math.Inf(1)),
	gateway.Text(""), gateway.Text("naïve\x00"), gateway.Text(strings.Repeat("x", 5000)),
	gateway.Message("a/b", []byte{0, 1, 2}), gateway.Message("a", nil),
}

func drawReading(t *rapid.T, boot *gateway.Boot) gateway.Reading {
	v := rapid.OneOf(
		rapid.SampledFrom(values),
		rapid.Map(rapid.Float32(), gateway.Float32),
		rapid.Map(rapid.Float64(), gateway.Float64),
		rapid.Map(rapid.Int64(), gateway.Int),
		rapid.Map(rapid.Uint64(), gateway.Uint),
		rapid.Custom(func(t *rapid.T) gateway.Value {
			return gateway.Number(gateway.NewDecimal(rapid.Int64().Draw(t, "n"), rapid.IntRange(-40, 40).Draw(t, "exp")))
		}),
	).Draw(t, "value")
	return gateway.Reading{
		Tag:     testTags[rapid.IntRange(0, 9).Draw(t, "tag")],
		Stamp:   gateway.Stamp{Boot: boot, At: rapid.OneOf(rapid.Int64Range(1e6, 2e6), rapid.Int64()).Draw(t, "at")},
		Value:   v,
		Quality: gateway.Quality(rapid.IntRange(0, 2).Draw(t, "quality")),
		Reason:  gateway.Reason(rapid.Uint8().Draw(t, "reason")),
		Class:   gateway.Bulk,
	}
}

func tagByRow(row int64) *gateway.Tag {
	if row < 0 || row >= int64(len(testTags)) {
		return nil
	}
	return testTags[row]
}

// What goes into a segment comes out, whatever it is.
func TestSegmentKeepsEveryReadingExactly(t *testing.T) {
	p := newPacker()
	boot := testBoot("b")
	rapid.Check(t, func(t *rapid.T) {
		var g segment
		rows := map[*gateway.Tag]int64{}
		for i, tag := range testTags {
			rows[tag] = int64(i)
		}
		var in []gateway.Reading
		for range rapid.IntRange(1, 40).Draw(t, "n") {
			r := drawReading(t, boot)
			in = append(in, r)
			g.add(rows[r.Tag], &r)
		}
		body, flags := p.pack(&g)
		raw, err := p.unpack(body, flags)
		if err != nil {
			t.Fatal(err)
		}
		out, err := decodeSegment(raw, boot, gateway.Bulk, tagByRow)
		if err != nil || len(out) != len(in) {
			t.Fatalf("%d readings came back as %d, %v", len(in), len(out), err)
		}
		for i := range in {
			if out[i] != in[i] {
				t.Fatalf("%+v came back as %+v", in[i], out[i])
			}
		}
	})
}

func FuzzDecodeSegment(f *testing.F) {
	boot := testBoot("b")
	for n := 1; n <= len(values); n += 5 {
		var g segment
		for i, v := range values[:n] {
			g.add(int64(i%7), &gateway.Reading{Stamp: gateway.Stamp{At: int64(i)}, Value: v, Quality: gateway.Bad, Reason: gateway.Timeout})
		}
		f.Add(g.appendBinary(nil))
	}
	f.Add([]byte{1, 0xff, 0x1f, 0, 0xff, 0x1f})
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := decodeSegment(b, boot, gateway.Normal, tagByRow)
		if err != nil {
			return
		}
		var g segment
		for i := range rs { // what can be read can be written and read again
			g.add(int64(i%3), &rs[i])
		}
		again, err := decodeSegment(g.appendBinary(nil), boot, gateway.Normal, tagByRow)
		if err != nil || len(again) != len(rs) {
			t.Fatalf("%d readings, then %d, %v", len(rs), len(again), err)
		}
	})
}

// A flipped bit anywhere in a row shows.
func TestEveryFlippedBitOfARowShows(t *testing.T) {
	r := row{id: 1<<44 | 77, n: 12, boot: 3, t0: 1000, t1: 2000, flags: 1, body: []byte("some body")}
	r.crc = r.sum()
	for _, field := range []*int64{&r.id, &r.n, &r.boot, &r.t0, &r.t1, &r.flags, &r.crc} {
		for bit := range 63 {
			*field ^= 1 << bit
			if r.crc == r.sum() {
				t.Fatalf("bit %d of a field is not covered", bit)
			}
			*field ^= 1 << bit
		}
	}
	for bit := range len(r.body) * 8 {
		r.body[bit/8] ^= 1 << (bit % 8)
		if r.crc == r.sum() {
			t.Fatalf("bit %d of the body is not covered", bit)
		}
		r.body[bit/8] ^= 1 << (bit % 8)
	}
}
