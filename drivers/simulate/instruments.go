package simulate

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Instruments are slaves that share a line. All methods are safe for concurrent
// use, so that values and faults can change while they are polled.
type Instruments struct {
	started time.Time

	mu       sync.Mutex
	units    map[byte]*Unit
	seq      uint64
	fault    Fault
	rng      *rand.Rand
	counters Counters
	observe  func(Event)
	script   []exchange // of a text instrument
}

// Event is one answered, or deliberately not answered, request.
type Event struct {
	Call
	Unit    byte
	Request wire.Request
	Fate    Fate
}

// Call is what a register's function is told.
type Call struct {
	Seq uint64        // of the request, over all instruments; the first is 1
	At  time.Duration // since the instruments were made
}

// NewInstruments returns a line without any instrument on it.
func NewInstruments() *Instruments {
	return &Instruments{started: time.Now(), units: make(map[byte]*Unit), rng: rand.New(rand.NewPCG(0, 0))}
}

// Observe has f called for every request, before the answer leaves. f must not
// call back.
func (in *Instruments) Observe(f func(Event)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.observe = f
}

// Unit returns the instrument with this slave id, which is put on the line if
// it was not there.
func (in *Instruments) Unit(id byte) *Unit {
	in.mu.Lock()
	defer in.mu.Unlock()
	u := in.units[id]
	if u == nil {
		u = &Unit{in: in, cells: make(map[place]cell), writable: make(map[place]bool)}
		in.units[id] = u
	}
	return u
}

// Unit is one instrument.
type Unit struct {
	in       *Instruments
	cells    map[place]cell
	writable map[place]bool
	identity []wire.Object
	silent   bool
}

type place struct {
	table   wire.Function
	address uint16
}

// cell is one register or bit: a word, or part i of what a function computes.
type cell struct {
	word uint16
	from *source
	i    int
}

type source struct {
	compute func(Call, []uint16)
	words   []uint16
	seq     uint64 // of the request they were computed for
}

// Silence makes the instrument answer nothing, until it is called with false.
func (u *Unit) Silence(on bool) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	u.silent = on
}

// SetWords sets registers as they go on the wire, from an address on.
func (u *Unit) SetWords(table wire.Function, address int, words ...uint16) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	for i, w := range words {
		u.cells[place{table, uint16(address + i)}] = cell{word: w}
	}
}

// SetBits sets coils or discrete inputs.
func (u *Unit) SetBits(table wire.Function, address int, bits ...bool) {
	for i, on := range bits {
		word := uint16(0)
		if on {
			word = 1
		}
		u.SetWords(table, address+i, word)
	}
}

// SetComputed has count registers computed anew for every request that touches them.
// compute must not call back.
func (u *Unit) SetComputed(table wire.Function, address, count int, compute func(c Call, words []uint16)) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	s := &source{compute: compute, words: make([]uint16, count)}
	for i := range count {
		u.cells[place{table, uint16(address + i)}] = cell{from: s, i: i}
	}
}

// Remove takes registers away, so that asking for one is an illegal address.
func (u *Unit) Remove(table wire.Function, address, count int) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	for i := range count {
		delete(u.cells, place{table, uint16(address + i)})
	}
}

// Writable lets a master write coils or holding registers, which keep what was
// written. Where they do not exist yet they are 0.
func (u *Unit) Writable(table wire.Function, address, count int) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	for i := range count {
		at := place{table, uint16(address + i)}
		u.writable[at] = true
		if _, ok := u.cells[at]; !ok {
			u.cells[at] = cell{}
		}
	}
}

// Identity is what the instrument says it is; without one it refuses the question.
func (u *Unit) Identity(objects ...wire.Object) {
	u.in.mu.Lock()
	defer u.in.mu.Unlock()
	u.identity = objects
}

// Set sets a value of a type and byte order that package wire knows. x is an
// int, int64, uint64, float64 or string.
func (u *Unit) Set(table wire.Function, address int, typ, order string, x any) error {
	l, err := layout(typ, order, x)
	if err != nil {
		return err
	}
	words := make([]uint16, l.Registers())
	if err := put(l, x, words); err != nil {
		return err
	}
	u.SetWords(table, address, words...)
	return nil
}

// SetFunc has a value computed anew for every request that touches it. at is the
// time since the instruments were made. f must return what Set takes.
func (u *Unit) SetFunc(table wire.Function, address int, typ, order string, f func(at time.Duration) any) error {
	l, err := layout(typ, order, f(0))
	if err != nil {
		return err
	}
	u.SetComputed(table, address, l.Registers(), func(c Call, words []uint16) {
		if err := put(l, f(c.At), words); err != nil {
			clear(words)
		}
	})
	return nil
}

// Sine is a slow wave, rounded to a thousandth, as of a pressure.
func Sine(mean, amplitude float64, period time.Duration) func(time.Duration) any {
	return func(at time.Duration) any {
		v := mean + amplitude*math.Sin(2*math.Pi*at.Seconds()/period.Seconds())
		return math.Round(v*1000) / 1000
	}
}

// Counter grows by one each step, without noise, so that a missing or a doubled
// reading can be seen.
func Counter(step time.Duration) func(time.Duration) any {
	return func(at time.Duration) any { return int64(at / step) }
}

func layout(typ, order string, x any) (wire.Layout, error) {
	t, ok := wire.TypeOf(typ)
	if !ok || typ == "bool" {
		return wire.Layout{}, fmt.Errorf("simulate: %q is not a type of registers", typ)
	}
	l := wire.Layout{Type: t, Order: wire.Order(order)}
	if order == "" {
		l.Order = wire.Order("ABCD").ForSize(t.Size)
	}
	if text, is := x.(string); is {
		l.Length = max(1, (len(text)+1)/2)
	}
	return l, l.Check()
}

func put(l wire.Layout, x any, words []uint16) error {
	regs := make([]byte, 2*len(words))
	if text, is := x.(string); is && l.Type.Name == "string" {
		l.PutText(regs, text)
	} else {
		bits, err := bitsOf(l.Type, x)
		if err != nil {
			return err
		}
		l.PutBits(regs, bits)
	}
	for i := range words {
		words[i] = binary.BigEndian.Uint16(regs[2*i:])
	}
	return nil
}

// bitsOf returns the bits of a value of this type.
func bitsOf(t *wire.Type, x any) (uint64, error) {
	var whole uint64
	var float float64
	switch v := x.(type) {
	case int:
		whole, float = uint64(v), float64(v)
	case int64:
		whole, float = uint64(v), float64(v)
	case uint64:
		whole, float = v, float64(v)
	case float64:
		whole, float = uint64(int64(math.Round(v))), v
	default:
		return 0, fmt.Errorf("simulate: %T cannot be a %s", x, t.Name)
	}
	switch t.Name {
	case "float32":
		return uint64(math.Float32bits(float32(float))), nil
	case "float64":
		return math.Float64bits(float), nil
	case "bcd16", "bcd32":
		bits := uint64(0)
		for shift := 0; shift < 8*t.Size; shift += 4 {
			bits |= whole % 10 << shift
			whole /= 10
		}
		return bits, nil
	default:
		return whole, nil
	}
}

// answer works out the PDU that answers a request, without faults. ok is false
// when nobody does.
func (in *Instruments) answer(unit byte, pdu []byte) (reply []byte, e Event, ok bool) {
	u := in.units[unit]
	if u == nil || u.silent {
		in.counters.Silent++
		return nil, e, false
	}
	in.seq++
	e.Call = Call{Seq: in.seq, At: time.Since(in.started)}
	e.Unit = unit
	if wire.IsIdentityRequest(pdu) && len(u.identity) > 0 {
		e.Request.Function = wire.Identify
		return wire.AppendIdentityReply(nil, pdu, u.identity), e, true
	}
	r, err := wire.ParseRequest(pdu)
	e.Request = r
	if err == nil && r.Function == wire.ReadWrite {
		_, err = u.data(r, e.Call) // what it would refuse to read, it does not write for either
	}
	if err == nil {
		err = u.write(r)
	}
	if err == nil && r.Function.Writes() {
		return r.AppendConfirmation(nil), e, true
	}
	if err == nil {
		var data []byte
		if data, err = u.data(r, e.Call); err == nil {
			return r.AppendReply(nil, data), e, true
		}
	}
	in.counters.Exceptions++
	return wire.AppendException(nil, r.Function, err.(wire.Exception)), e, true //nolint:errorlint // always one
}

// data collects what a request asks for. A register that was never set is an
// illegal address.
func (u *Unit) data(r wire.Request, c Call) ([]byte, error) {
	data := make([]byte, r.DataSize())
	for i := range int(r.Count) {
		cell, ok := u.cells[place{r.Function.Table(), r.Address + uint16(i)}]
		if !ok {
			return nil, wire.IllegalAddress
		}
		if s := cell.from; s != nil {
			if s.seq != c.Seq {
				s.compute(c, s.words)
				s.seq = c.Seq
			}
			cell.word = s.words[cell.i]
		}
		if r.Function.Bits() {
			wire.PutBit(data, i, cell.word != 0)
		} else {
			binary.BigEndian.PutUint16(data[2*i:], cell.word)
		}
	}
	return data, nil
}

// write does what a request writes. Nothing is changed where a part of it may not be.
func (u *Unit) write(r wire.Request) error {
	words, first := written(r)
	table := wire.ReadHoldingRegisters
	if r.Function == wire.WriteCoil || r.Function == wire.WriteCoils {
		table = wire.ReadCoils
	}
	for i := range words {
		if !u.writable[place{table, first + uint16(i)}] {
			return wire.IllegalAddress
		}
	}
	for i, w := range words {
		at := place{table, first + uint16(i)}
		if r.Function == wire.MaskRegister {
			and := r.Count
			w = u.cells[at].word&and | w&^and // application protocol, 6.16
		}
		u.cells[at] = cell{word: w}
	}
	return nil
}

// written returns the words, or bits, that a request writes, and where they begin.
func written(r wire.Request) (words []uint16, first uint16) {
	count := int(r.Count)
	first = r.Address
	switch r.Function {
	case wire.WriteCoil:
		return []uint16{r.Count >> 15}, first // CoilOn or 0
	case wire.WriteRegister:
		return []uint16{r.Count}, first
	case wire.WriteCoils:
		for i := range count {
			bit := uint16(0)
			if wire.Bit(r.Data[:], i) {
				bit = 1
			}
			words = append(words, bit)
		}
		return words, first
	case wire.MaskRegister:
		count = 1
	case wire.ReadWrite:
		count, first = int(r.WriteCount), r.WriteAddress
	case wire.WriteRegisters:
	default:
		return nil, 0
	}
	for i := range count {
		words = append(words, binary.BigEndian.Uint16(r.Data[2*i:]))
	}
	return words, first
}
