package wire

import (
	"math"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
)

func TestDecode(t *testing.T) {
	cases := []struct {
		typ, order, regs string
		want             string
		reason           gateway.Reason
	}{
		{"int16", "AB", "cfc7", "-12345", 0}, // Vaisala HMD60, test register 7937
		{"int16", "BA", "c7cf", "-12345", 0},
		{"uint16", "AB", "ffff", "65535", 0},
		{"uint16", "BA", "0100", "1", 0},
		{"int32", "ABCD", "80000000", "-2147483648", 0},
		{"int32", "CDAB", "fffeffff", "-2", 0},
		{"uint32", "ABCD", "01020304", "16909060", 0},
		{"uint32", "CDAB", "03040102", "16909060", 0},
		{"uint32", "BADC", "02010403", "16909060", 0},
		{"uint32", "DCBA", "04030201", "16909060", 0},
		{"int64", "ABCDEFGH", "8000000000000000", "-9223372036854775808", 0},
		{"uint64", "ABCDEFGH", "ffffffffffffffff", "18446744073709551615", 0},
		{"uint64", "ABCDEFGH", "0102030405060708", "72623859790382856", 0},
		{"uint64", "BADCFEHG", "0201040306050807", "72623859790382856", 0},
		{"uint64", "CDABGHEF", "0304010207080506", "72623859790382856", 0},
		{"uint64", "DCBAHGFE", "0403020108070605", "72623859790382856", 0},
		{"uint64", "EFGHABCD", "0506070801020304", "72623859790382856", 0},
		{"uint64", "FEHGBADC", "0605080702010403", "72623859790382856", 0},
		{"uint64", "GHEFCDAB", "0708050603040102", "72623859790382856", 0},
		{"uint64", "HGFEDCBA", "0807060504030201", "72623859790382856", 0},
		{"float32", "ABCD", "42c88000", "100.25", 0},  // Rosemount 3095FB
		{"float32", "ABCD", "c2f6e666", "-123.45", 0}, // Vaisala HMD60, 7938
		{"float32", "CDAB", "800042c8", "100.25", 0},
		{"float32", "ABCD", "7fc00000", "null", gateway.NaN},
		{"float32", "ABCD", "7f800000", "null", gateway.NaN},
		{"float32", "ABCD", "ff800000", "null", gateway.NaN},
		{"float64", "ABCDEFGH", "3ff3c0ca428c59fb", "1.2345678901234567", 0},
		{"float64", "HGFEDCBA", "fb598c42cac0f33f", "1.2345678901234567", 0},
		{"float64", "ABCDEFGH", "7ff0000000000000", "null", gateway.NaN},
		{"bcd16", "AB", "1234", "1234", 0},
		{"bcd16", "BA", "3412", "1234", 0},
		{"bcd16", "AB", "12a4", "null", gateway.DeviceFault},
		{"bcd32", "ABCD", "99999999", "99999999", 0},
		{"bcd32", "CDAB", "56781234", "12345678", 0},
		{"bcd32", "ABCD", "f0000000", "null", gateway.DeviceFault},
	}
	covered := make(map[string]bool)
	for _, c := range cases {
		typ, ok := TypeOf(c.typ)
		if !ok {
			t.Fatalf("no type %s", c.typ)
		}
		covered[c.typ] = true
		l := Layout{Type: typ, Order: Order(c.order)}
		if err := l.Check(); err != nil {
			t.Errorf("%s: %v", c.typ, err)
		}
		regs := unhex(t, c.regs)
		v, reason := l.Decode(regs)
		if v.String() != c.want || reason != c.reason || v.IsNone() != (reason != 0) {
			t.Errorf("%s %s %s: %v, %v, want %s, %v", c.typ, c.order, c.regs, v, reason, c.want, c.reason)
		}
		back := make([]byte, len(regs))
		l.PutBits(back, l.Bits(regs))
		if string(back) != string(regs) {
			t.Errorf("%s %s: %x came back as %x", c.typ, c.order, regs, back)
		}
	}
	for _, name := range Types() {
		if name != "bool" && name != "string" && !covered[name] {
			t.Errorf("no case for the type %s", name)
		}
	}
}

func TestText(t *testing.T) {
	typ, _ := TypeOf("string")
	for _, c := range []struct {
		order, regs, want string
	}{
		{"AB", "50542d31303000000000", "PT-100"},
		{"BA", "5450312d303000000000", "PT-100"},
		{"AB", "41422020200020200000", "AB"},
		{"AB", "ff410000000000000000", "\uFFFDA"},
		{"AB", "00000000000000000000", ""},
	} {
		l := Layout{Type: typ, Order: Order(c.order), Length: 5}
		v, reason := l.Decode(unhex(t, c.regs))
		if v.Kind() != gateway.KindText || v.String() != c.want || reason != 0 {
			t.Errorf("%s: %q, %v, want %q", c.regs, v, reason, c.want)
		}
	}
	l := Layout{Type: typ, Order: "BA", Length: 3}
	regs := make([]byte, 6)
	l.PutText(regs, "PT-10")
	if v, _ := l.Decode(regs); v.String() != "PT-10" {
		t.Errorf("%x came back as %q", regs, v)
	}
}

func TestBool(t *testing.T) {
	typ, _ := TypeOf("bool")
	for bit := range 16 {
		for order, regs := range map[Order][]byte{"AB": {0x80, 0x01}, "BA": {0x01, 0x80}} {
			v, _ := Layout{Type: typ, Order: order, Bit: bit}.Decode(regs)
			if want := gateway.Bool(bit == 0 || bit == 15); v != want {
				t.Errorf("bit %d of %s: %v, want %v", bit, order, v, want)
			}
		}
	}
	data := []byte{0xCD, 0x6B, 0x05} // application protocol, 6.1: coils 20 to 38
	want := "1011001111010110101"
	for i := range want {
		if Bit(data, i) != (want[i] == '1') {
			t.Errorf("bit %d is wrong", i)
		}
		copied := make([]byte, 3)
		PutBit(copied, i, true)
		if !Bit(copied, i) {
			t.Errorf("bit %d was not set", i)
		}
	}
}

func TestOrderOfADevice(t *testing.T) {
	for order, want := range map[Order]Order{"ABCD": "ABCDEFGH", "CDAB": "GHEFCDAB", "BADC": "BADCFEHG", "DCBA": "HGFEDCBA"} {
		if got := order.ForSize(8); got != want {
			t.Errorf("%s: %s, want %s", order, got, want)
		}
		if order.ForSize(4) != order || order.ForSize(2) != "AB" || order.ForSize(0) != "AB" {
			t.Errorf("%s is not kept for 4 bytes, or not AB for 2", order)
		}
	}
}

func TestShortDataIsNoValue(t *testing.T) {
	typ, _ := TypeOf("float32")
	if v, reason := (Layout{Type: typ, Order: "ABCD"}).Decode([]byte{1, 2}); !v.IsNone() || reason != gateway.DeviceFault {
		t.Errorf("%v, %v", v, reason)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint8(7), uint8(0), 0, 0, []byte{0x42, 0xC8, 0x80, 0})
	f.Add(uint8(11), uint8(1), 3, 2, []byte("PT-1"))
	f.Fuzz(func(t *testing.T, typ, order uint8, bit, length int, regs []byte) {
		l := Layout{Type: &types[int(typ)%len(types)], Bit: int(uint(bit) % 16), Length: int(uint(length) % 126)}
		size := l.Type.Size
		if size == 0 {
			size = 2
		}
		all := Orders(size)
		l.Order = all[int(order)%len(all)]
		v, reason := l.Decode(regs)
		if v.IsNone() != (reason != 0) {
			t.Fatalf("%v with reason %v", v, reason)
		}
		if f := v.Float64(); v.Kind() != gateway.KindText && !v.IsNone() && (math.IsNaN(f) || math.IsInf(f, 0)) {
			t.Fatalf("%v is a value", f)
		}
	})
}
