package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/gaugeway/gaugeway/gateway"
)

// A segment is consecutive readings of one class and one boot, as columns: what
// is alike lies together, and a column only ever grows at its end, so that the
// open segment is appended to and not made anew.
//
//	version, n, tags: number, row ids; then each column with its length
//
// The form is on disk. A change makes a new version beside the old one.
const segmentVersion = 1

// The columns.
const (
	colTag     = iota // place in the list of tags, as distance from the place after the last reading's
	colTime           // milliseconds since the last reading
	colQuality        // quality, reason and alarm, a byte each
	colHead           // kind and sign of the value
	colExp            // exponents of numbers
	colBits           // numbers and bools, as difference from the tag's last value
	colFloat32        // four planes of the difference, high bytes first
	colFloat64 = colFloat32 + 4
	colText    = colFloat64 + 8
	columns    = colText + 1
)

const (
	maxSegmentReadings = 4096     // bounds what Next has to unpack at once
	maxSegmentRaw      = 64 << 10 // of short readings
	maxText            = 2 << 20  // of one reading; a longer one is refused
	ownSegment         = 2 << 10  // a text this long does not share a segment
)

const maxQuality = 1<<24 - 1

const negativeHead = 0x80 // in the head byte of gateway.Value's binary form

// segment is a segment that is being filled. The zero value is empty.
type segment struct {
	n     int
	base  int64 // the first At
	last  int64 // the last At
	place int   // of the last reading's tag

	tags  []int64 // row ids
	index map[int64]int
	prev  []uint64 // per tag: the bits of its last number
	cols  [columns][]byte

	scratch []byte
}

func (g *segment) reset() {
	g.n, g.place = 0, -1
	g.tags, g.prev = g.tags[:0], g.prev[:0]
	clear(g.index)
	for i := range g.cols {
		if cap(g.cols[i]) > maxSegmentRaw {
			g.cols[i] = nil // a long message was here
		}
		g.cols[i] = g.cols[i][:0]
	}
	if cap(g.scratch) > maxSegmentRaw {
		g.scratch = nil
	}
}

// add appends one reading whose tag has this row.
func (g *segment) add(tag int64, r *gateway.Reading) {
	if g.n == 0 {
		g.reset()
		g.base, g.last = r.Stamp.At, r.Stamp.At
	}
	place := g.placeOf(tag)
	g.put(colTag, uint64zigzag(int64(place-g.place-1)))
	g.put(colTime, uint64zigzag(r.Stamp.At-g.last))
	g.put(colQuality, uint64(r.Quality)|uint64(r.Reason)<<8|uint64(r.Alarm)<<16)
	g.addValue(place, r.Value)
	g.place, g.last = place, r.Stamp.At
	g.n++
}

// size is how long all columns are together.
func (g *segment) size() (n int) {
	for i := range g.cols {
		n += len(g.cols[i])
	}
	return n
}

func (g *segment) put(col int, n uint64) { g.cols[col] = binary.AppendUvarint(g.cols[col], n) }

func (g *segment) placeOf(tag int64) int {
	if g.index == nil {
		g.index = map[int64]int{}
	}
	place, ok := g.index[tag]
	if !ok {
		place = len(g.tags)
		g.index[tag] = place
		g.tags = append(g.tags, tag)
		g.prev = append(g.prev, 0)
	}
	return place
}

// addValue takes the value apart by its binary form, which is promised to stay.
func (g *segment) addValue(place int, v gateway.Value) {
	g.scratch = v.AppendBinary(g.scratch[:0])
	head, rest := g.scratch[0], g.scratch[1:]
	g.cols[colHead] = append(g.cols[colHead], head)
	prev := &g.prev[place]
	switch gateway.Kind(head &^ negativeHead) {
	case gateway.KindBool:
		g.put(colBits, uint64zigzag(int64(uint64(rest[0])-*prev)))
		*prev = uint64(rest[0])
	case gateway.KindNumber:
		g.cols[colExp] = append(g.cols[colExp], rest[0])
		bits, _ := binary.Uvarint(rest[1:])
		g.put(colBits, uint64zigzag(int64(bits-*prev)))
		*prev = bits
	case gateway.KindFloat32:
		bits := binary.BigEndian.Uint32(rest)
		d := int32(bits - uint32(*prev))
		g.planes(colFloat32, uint64(uint32(d<<1)^uint32(d>>31))<<32, 4)
		*prev = uint64(bits)
	case gateway.KindFloat64:
		bits := binary.BigEndian.Uint64(rest)
		g.planes(colFloat64, uint64zigzag(int64(bits-*prev)), 8)
		*prev = bits
	case gateway.KindText, gateway.KindDigits, gateway.KindMessage:
		g.cols[colText] = append(g.cols[colText], rest...)
	}
}

func (g *segment) planes(col int, bits uint64, n int) {
	for i := range n {
		g.cols[col+i] = append(g.cols[col+i], byte(bits>>(56-8*i)))
	}
}

// appendBinary writes the segment as it is before compression.
func (g *segment) appendBinary(b []byte) []byte {
	b = append(b, segmentVersion)
	b = binary.AppendUvarint(b, uint64(g.n))
	b = binary.AppendVarint(b, g.base)
	b = binary.AppendUvarint(b, uint64(len(g.tags)))
	last := int64(0)
	for _, t := range g.tags {
		b = binary.AppendVarint(b, t-last)
		last = t
	}
	for _, c := range g.cols {
		b = append(binary.AppendUvarint(b, uint64(len(c))), c...)
	}
	return b
}

func uint64zigzag(n int64) uint64    { return uint64(n<<1) ^ uint64(n>>63) }
func zigzagInt64(n uint64) int64     { return int64(n>>1) ^ -int64(n&1) }
func zigzagInt32(n uint32) (d int32) { return int32(n>>1) ^ -int32(n&1) }

var errSegment = errors.New("segment is damaged")

// reader takes a segment apart. After the first error everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// decodeSegment reads what appendBinary wrote. tag gives the tag of a row, or
// nil. Whatever the bytes are, it takes no more memory than they justify.
func decodeSegment(b []byte, boot *gateway.Boot, class gateway.Class, tag func(row int64) *gateway.Tag) ([]gateway.Reading, error) {
	r := reader{b: b}
	if version := r.byte(); version != segmentVersion {
		return nil, fmt.Errorf("%w: version %d", errSegment, version)
	}
	n := r.uvarint()
	base := zigzagInt64(r.uvarint())
	number := r.uvarint()
	if r.bad || n == 0 || n > maxSegmentReadings || number > n {
		return nil, errSegment
	}
	tags := make([]*gateway.Tag, number)
	row := int64(0)
	for i := range tags {
		row += zigzagInt64(r.uvarint())
		if tags[i] = tag(row); tags[i] == nil {
			return nil, fmt.Errorf("%w: no tag %d", errSegment, row)
		}
	}
	var cols [columns]reader
	for i := range cols {
		cols[i].b = r.take(r.uvarint())
	}
	if r.bad || len(r.b) != 0 || uint64(len(cols[colHead].b)) != n {
		return nil, errSegment
	}
	d := decoder{cols: &cols, tags: tags, prev: make([]uint64, number), place: -1, at: base}
	out := make([]gateway.Reading, n)
	for i := range out {
		out[i].Class, out[i].Stamp.Boot = class, boot
		if err := d.next(&out[i]); err != nil {
			return nil, err
		}
	}
	for i := range cols {
		if cols[i].bad || len(cols[i].b) != 0 {
			return nil, errSegment
		}
	}
	return out, nil
}

type decoder struct {
	cols  *[columns]reader
	tags  []*gateway.Tag
	prev  []uint64
	place int
	at    int64
}

func (d *decoder) next(r *gateway.Reading) error {
	place := int64(d.place) + 1 + zigzagInt64(d.cols[colTag].uvarint())
	if place < 0 || place >= int64(len(d.tags)) {
		return errSegment
	}
	d.place = int(place)
	d.at += zigzagInt64(d.cols[colTime].uvarint())
	quality := d.cols[colQuality].uvarint()
	r.Tag, r.Stamp.At = d.tags[place], d.at
	r.Quality, r.Reason, r.Alarm = gateway.Quality(quality), gateway.Reason(quality>>8), gateway.AlarmState(quality>>16)
	if d.cols[colTag].bad || d.cols[colTime].bad || d.cols[colQuality].bad || quality > maxQuality {
		return errSegment
	}
	return d.value(&r.Value)
}

func (d *decoder) value(v *gateway.Value) error {
	head := d.cols[colHead].byte()
	prev := &d.prev[d.place]
	kind := gateway.Kind(head &^ negativeHead)
	if head&negativeHead != 0 && kind != gateway.KindNumber {
		return errSegment
	}
	switch kind {
	case gateway.KindNone:
	case gateway.KindBool:
		*prev += uint64(zigzagInt64(d.cols[colBits].uvarint()))
		*v = gateway.Bool(*prev != 0)
	case gateway.KindNumber:
		*prev += uint64(zigzagInt64(d.cols[colBits].uvarint()))
		return number(v, head, d.cols[colExp].byte(), *prev)
	case gateway.KindFloat32:
		bits := uint32(*prev) + uint32(zigzagInt32(uint32(d.planes(colFloat32, 4)>>32)))
		*prev = uint64(bits)
		*v = gateway.Float32(math.Float32frombits(bits))
	case gateway.KindFloat64:
		*prev += uint64(zigzagInt64(d.planes(colFloat64, 8)))
		*v = gateway.Float64(math.Float64frombits(*prev))
	case gateway.KindText, gateway.KindDigits, gateway.KindMessage:
		return d.text(v, head)
	default:
		return fmt.Errorf("%w: a value of kind %d", errSegment, kind)
	}
	return nil
}

func (d *decoder) planes(col, n int) (bits uint64) {
	for i := range n {
		bits |= uint64(d.cols[col+i].byte()) << (56 - 8*i)
	}
	return bits
}

func (d *decoder) text(v *gateway.Value, head byte) (err error) {
	c := &d.cols[colText]
	whole := c.b
	n := c.uvarint()
	c.take(n)
	if c.bad {
		return errSegment
	}
	text := whole[:len(whole)-len(c.b)]
	*v, _, err = gateway.DecodeValue(append([]byte{head}, text...))
	return err
}

// number makes a KindNumber with exactly these bits; the constructors that bring
// numbers into their shortest form serve where that changes nothing.
func number(v *gateway.Value, head, exp byte, bits uint64) (err error) {
	negative := head&negativeHead != 0
	switch {
	case exp == 0 && !negative:
		*v = gateway.Uint(bits)
	case exp == 0 && bits > 0 && bits <= math.MaxInt64:
		*v = gateway.Int(-int64(bits))
	case bits > 0 && bits <= math.MaxInt64 && bits%10 != 0 && int8(exp) >= -60 && int8(exp) <= 60:
		n := int64(bits)
		if negative {
			n = -n
		}
		*v = gateway.Number(gateway.NewDecimal(n, int(int8(exp))))
	default:
		var b [2 + binary.MaxVarintLen64]byte
		b[0], b[1] = head, exp
		size := binary.PutUvarint(b[2:], bits)
		*v, _, err = gateway.DecodeValue(b[:2+size])
	}
	return err
}

// How segments rest in their row.
const flagZstd = 1

// row is one row of a segment table.
type row struct {
	id, n, boot, t0, t1, flags int64
	crc                        int64
	body                       []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of everything in the row, since a bit may flip in a
// number as well as in the body.
func (r *row) sum() int64 {
	var b [48]byte
	for i, n := range [...]int64{r.id, r.n, r.boot, r.t0, r.t1, r.flags} {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(n))
	}
	return int64(crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, r.body))
}
