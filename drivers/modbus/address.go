package modbus

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// The ways to write an address.
const (
	zeroBased = "zero-based" // as it goes on the wire
	modicon   = "modicon"    // 40001 is the first holding register
)

// registerTables are the values of the key register, and the digit that a
// Modicon number begins with.
var registerTables = []struct {
	name     string
	function wire.Function
	digit    int
}{
	{"holding", wire.ReadHoldingRegisters, 4},
	{"input", wire.ReadInputRegisters, 3},
	{"coil", wire.ReadCoils, 0},
	{"discrete", wire.ReadDiscreteInputs, 1},
}

// placed is where a tag lies in its device.
type placed struct {
	function wire.Function
	address  int
	layout   wire.Layout
	wide     bool // each address is a register of 32 bits
}

// addresses returns how many addresses, or bits of a bit table, the tag takes.
func (p placed) addresses() int {
	if p.wide {
		return p.layout.Type.Size / 4
	}
	return p.layout.Registers()
}

// at returns the tag's part of the data of registers from start on.
func (p placed) at(data []byte, start int) []byte {
	size := 2
	if p.wide {
		size = 4
	}
	return data[size*(p.address-start):]
}

// place works out where a tag of this device lies, or everything that is wrong.
func place(d DeviceOptions, t TagOptions) (placed, gateway.Faults) {
	var f gateway.Faults
	var p placed
	p.function = functionOf(&f, t.Register)
	if p.function == 0 {
		return p, f
	}
	if d.Addressing == modicon {
		p.function, p.address = modiconAddress(&f, t)
	} else {
		p.address = plainAddress(&f, d, t, p.function)
	}
	p.layout = layoutOf(&f, d, t, p.function)
	p.wide = d.RegisterSize == wideRegister && p.layout.Type != nil && p.layout.Type.Size >= 4
	p.address += d.AddressOffset
	switch {
	case len(f) > 0:
	case p.address < 0:
		f.Add("address", "%v and address_offset = %d is %d, which is no address", t.Address, d.AddressOffset, p.address)
	case p.address+p.addresses() > 1<<16:
		f.Add("address", "%d and the registers after it go beyond 65535, the last there is", p.address)
	}
	return p, f
}

// The values of register_size. With registers of 32 bits, values of 2 bytes and
// strings are still kept in ones of 16 (Daniel: 3001 to 4999 beside 5001 to 7999).
const (
	plainRegister = 16
	wideRegister  = 32
)

func functionOf(f *gateway.Faults, register string) wire.Function {
	if register == "" {
		return wire.ReadHoldingRegisters
	}
	var names []string
	for _, r := range registerTables {
		if r.name == register {
			return r.function
		}
		names = append(names, r.name)
	}
	f.Add("register", "%s", gateway.Unknown(register, "a register table", names))
	return 0
}

// number reads an address as TOML or a test gives it. text is what was written.
func number(f *gateway.Faults, address any) (n int, text string, ok bool) {
	switch a := address.(type) {
	case nil:
		f.Add("address", "is missing; write the 0-based address, e.g. address = 100")
	case int:
		return a, strconv.Itoa(a), true
	case int64:
		if a < 0 || a > 999_999 {
			f.Add("address", "%d is not an address; use 0 to 65535", a)
			return 0, "", false
		}
		return int(a), strconv.FormatInt(a, 10), true
	case string:
		n, err := strconv.ParseUint(a, 0, 20)
		if len(a) > 1 && a[0] == '0' && a[1] >= '0' && a[1] <= '9' { // "00017" is a coil, not octal
			n, err = strconv.ParseUint(a, 10, 20)
		}
		if err == nil {
			return int(n), a, true
		}
		f.Add("address", "%q is not an address; write a number", a)
	default:
		f.Add("address", "%v is not an address; write a whole number", a)
	}
	return 0, "", false
}

func plainAddress(f *gateway.Faults, d DeviceOptions, t TagOptions, function wire.Function) int {
	n, text, ok := number(f, t.Address)
	if !ok {
		return 0
	}
	if d.Addressing == "" {
		if register, address, is := looksModicon(n, function); is {
			f.Add("address", "%s looks like a Modicon number; write register = %q and address = %d, or addressing = %q on the device, or addressing = %q if %s really goes on the wire",
				text, register, address, modicon, zeroBased, text)
			return 0
		}
	}
	if n < 0 || n > 65535 {
		f.Add("address", "%s is not an address; use 0 to 65535", text)
	}
	return n
}

// looksModicon reports whether a number is written in the way of old manuals.
// Discrete inputs count only where they are asked for: 10001 is a common address
// of registers.
func looksModicon(n int, function wire.Function) (register string, address int, is bool) {
	for _, r := range registerTables {
		if r.digit == 0 || r.digit == 1 && function != wire.ReadDiscreteInputs {
			continue
		}
		if five := n - r.digit*10_000; five >= 1 && five <= 9_999 && !function.Bits() == !r.function.Bits() {
			return r.name, five - 1, true
		}
		if six := n - r.digit*100_000; six >= 1 && six <= 65_536 {
			return r.name, six - 1, true
		}
	}
	return "", 0, false
}

// modiconAddress reads "40101" and "400101" alike. The number names the table,
// so register is not needed, but must not contradict.
func modiconAddress(f *gateway.Faults, t TagOptions) (wire.Function, int) {
	n, text, ok := number(f, t.Address)
	if !ok {
		return wire.ReadHoldingRegisters, 0
	}
	digit, rest := n/10_000, n%10_000
	if n >= 100_000 || len(text) == 6 {
		digit, rest = n/100_000, n%100_000
	}
	for _, r := range registerTables {
		if r.digit != digit {
			continue
		}
		if rest < 1 || rest > 65_536 {
			break
		}
		if t.Register != "" && t.Register != r.name {
			f.Add("register", "%q contradicts address %s, which is of the table %s; remove register", t.Register, text, r.name)
		}
		return r.function, rest - 1
	}
	f.Add("address", "%s is not a Modicon number; holding registers are 40001 to 49999 or 400001 to 465536, input registers begin with 3, discrete inputs with 1, coils with 0", text)
	return wire.ReadHoldingRegisters, 0
}

func layoutOf(f *gateway.Faults, d DeviceOptions, t TagOptions, function wire.Function) wire.Layout {
	name := t.Type
	if name == "" && function.Bits() {
		name = "bool"
	}
	typ, ok := wire.TypeOf(name)
	switch {
	case name == "":
		f.Add("type", "is missing; write how the value lies in its registers, e.g. type = \"float32\"")
		return wire.Layout{}
	case !ok:
		f.Add("type", "%s", gateway.Unknown(name, "a type", wire.Types()))
		return wire.Layout{}
	case function.Bits() && name != "bool":
		f.Add("type", "a %s is always a bool; remove type", function)
		return wire.Layout{}
	}
	l := wire.Layout{Type: typ, Order: orderOf(d, t, typ), Length: t.Length}
	if err := l.Check(); err != nil {
		f.Add("byte_order", "%v", err)
	}
	layoutBit(f, &l, t, function)
	layoutBits(f, &l, t)
	switch isString := name == "string"; {
	case isString && (t.Length < 1 || t.Length > wire.MaxRegisters):
		f.Add("length", "a string needs length = its number of registers, 1 to %d", wire.MaxRegisters)
	case !isString && t.Length != 0:
		f.Add("length", "is only for strings; remove it")
	}
	return l
}

func layoutBit(f *gateway.Faults, l *wire.Layout, t TagOptions, function wire.Function) {
	inRegister := l.Type.Name == "bool" && !function.Bits()
	switch {
	case inRegister && t.Bit == nil:
		f.Add("bit", "a bool in a register needs bit = 0 to 15; 0 is the least significant")
	case inRegister && (*t.Bit < 0 || *t.Bit > 15):
		f.Add("bit", "%d is not a bit of a register; use 0 to 15", *t.Bit)
	case inRegister:
		l.Bit = *t.Bit
	case t.Bit != nil:
		f.Add("bit", "is only for a bool in a holding or input register; remove it")
	}
}

// layoutBits takes the part of a number that the tag is.
func layoutBits(f *gateway.Faults, l *wire.Layout, t TagOptions) {
	last := 8*l.Type.Size - 1
	switch b := t.Bits; {
	case len(b) == 0:
	case !strings.HasPrefix(l.Type.Name, "uint"):
		f.Add("bits", "is only for numbers without a sign; write type = \"uint16\", \"uint32\" or \"uint64\"")
	case len(b) != 2 || b[0] < 0 || b[0] > b[1] || b[1] > last:
		f.Add("bits", "%v are not bits of a %s; write the lowest and the highest, 0 to %d", b, l.Type.Name, last)
	case b[1]-b[0] < last:
		l.Low, l.Width = b[0], b[1]-b[0]+1
	}
}

func orderOf(d DeviceOptions, t TagOptions, typ *wire.Type) wire.Order {
	if t.ByteOrder != "" {
		return wire.Order(t.ByteOrder)
	}
	device := wire.Order(d.ByteOrder)
	if !slices.Contains(wire.Orders(4), device) {
		device = "ABCD"
	}
	return device.ForSize(typ.Size)
}
