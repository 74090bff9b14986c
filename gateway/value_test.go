package gateway

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"testing"
)

func decimal(t testing.TB, s string) Decimal {
	t.Helper()
	d, err := ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestValuePrintsExactly(t *testing.T) {
	for _, c := range []struct {
		value Value
		want  string
	}{
		{Value{}, "null"},
		{Bool(true), "true"},
		{Int(math.MinInt64), "-9223372036854775808"},
		{Uint(math.MaxUint64), "18446744073709551615"},
		{Float32(99.73), "99.73"},
		{Float32(float32(math.Copysign(0, -1))), "-0"},
		{Float32(1e-7), "1e-07"},
		{Float64(0.1), "0.1"},
		{Float32(float32(math.NaN())), "null"},
		{Float64(math.Inf(-1)), "null"},
		{Text("a\"\\\n\x01é\xff"), `"a\"\\\n\u0001é` + "\ufffd\""},
		{Number(NewDecimal(-123, -2)), "-1.23"},
		{Number(NewDecimal(5, -3)), "0.005"},
		{Number(NewDecimal(12, 3)), "12000"},
		{Number(NewDecimal(1230, -2)), "12.3"},
		{Number(NewDecimal(0, -2)), "0"},
	} {
		if got := string(c.value.AppendJSON(nil)); got != c.want {
			t.Errorf("%#v prints %s, want %s", c.value, got, c.want)
		}
	}
}

func TestScaled(t *testing.T) {
	for _, c := range []struct {
		value         Value
		scale, offset string
		want          string
	}{
		{Int(364), "0.1", "0", "36.4"},
		{Uint(math.MaxUint64), "0.1", "0", "1844674407370955161.5"},
		{Uint(math.MaxUint64), "0.25", "-1", "4611686018427387902.75"},
		{Int(math.MinInt64), "1e-3", "0", "-9223372036854775.808"},
		{Int(250), "0.1", "-25", "0"},
		{Int(1), "0.001", "-40", "-39.999"},
		{Int(-1), "1", "1", "0"},
		{Int(7), "10", "0", "70"},
		{Float32(997.3), "0.1", "0", "99.73"},
		{Float64(0.1), "3", "0", "0.3"},
		{Float32(float32(math.Inf(1))), "3", "0", "null"},
		{Bool(true), "3", "1", "true"},
		{Text("x"), "3", "1", `"x"`},
	} {
		got := c.value.Scaled(decimal(t, c.scale), decimal(t, c.offset))
		if string(got.AppendJSON(nil)) != c.want {
			t.Errorf("%v × %s + %s = %s, want %s", c.value, c.scale, c.offset, got.AppendJSON(nil), c.want)
		}
	}
}

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0.1", "0.1"}, {"-40", "-40"}, {"1e-3", "0.001"}, {"12.500", "12.5"}, {"1000", "1000"}, {"0", "0"}, {"-0.0", "0"}, {"+2", "2"}, {"1E3", "1000"},
	} {
		d, err := ParseDecimal(c.in)
		if err != nil || d.String() != c.want {
			t.Errorf("ParseDecimal(%q) = %v, %v; want %s", c.in, d, err, c.want)
		}
	}
	for _, bad := range []string{"", ".", "-", "x", "1x", "1e", "1e99", "99999999999999999999999", "1..2", "--1.", "0x10", "NaN"} {
		if d, err := ParseDecimal(bad); err == nil {
			t.Errorf("ParseDecimal(%q) = %v", bad, d)
		}
	}
	if decimal(t, "100") != NewDecimal(1, 2) || decimal(t, "1.0") != One {
		t.Error("equal decimals are not equal structs")
	}
}

func FuzzScaled(f *testing.F) {
	f.Add(int64(364), int64(1), int8(-1), int64(0), int8(0))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int8(20), int64(-7), int8(-20))
	f.Fuzz(func(t *testing.T, n, scale int64, scaleExp int8, offset int64, offsetExp int8) {
		s, o := NewDecimal(scale, int(scaleExp)%30), NewDecimal(offset, int(offsetExp)%30)
		want := new(big.Rat).SetInt64(n)
		want.Mul(want, s.big()).Add(want, o.big())
		got, ok := new(big.Rat).SetString(string(Int(n).Scaled(s, o).AppendJSON(nil)))
		if !ok || got.Cmp(want) != 0 {
			t.Errorf("%d × %v + %v = %v, want %v", n, s, o, got, want)
		}
	})
}

func FuzzDecodeValue(f *testing.F) {
	for _, v := range []Value{{}, Bool(true), Int(-5), Number(NewDecimal(-123, -2)), Float32(1.5), Float64(-2.5), Text("bar"), Message("a/b", []byte{0, 1}), Uint(math.MaxUint64).Scaled(NewDecimal(3, -1), Decimal{})} {
		f.Add(v.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := DecodeValue(b)
		if err != nil {
			return
		}
		again, _, err := DecodeValue(v.AppendBinary(nil))
		if err != nil || again != v || len(rest) > len(b) {
			t.Errorf("%#v comes back as %#v, %v", v, again, err)
		}
		v.AppendJSON(nil)
	})
}

func TestValueBinaryRoundTrip(t *testing.T) {
	var b []byte
	values := []Value{{}, Bool(false), Bool(true), Int(math.MinInt64), Uint(math.MaxUint64), Number(NewDecimal(-123, -2)),
		Float32(float32(math.Copysign(0, -1))), Float64(math.Pi), Text(""), Text("bar"), Message("a", nil)}
	for _, v := range values {
		b = v.AppendBinary(b)
	}
	for _, want := range values {
		var got Value
		var err error
		if got, b, err = DecodeValue(b); err != nil || got != want {
			t.Errorf("got %#v, %v; want %#v", got, err, want)
		}
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left over", len(b))
	}
}

func TestAppendJSONStringAgreesWithEncodingJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "äöü€𝄞", "\xff\xfe", string(rune(0x2028))} {
		var got string
		if err := json.Unmarshal(AppendJSONString(nil, s), &got); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		text, _ := json.Marshal(s)
		var want string
		if err := json.Unmarshal(text, &want); err != nil || got != want {
			t.Errorf("%q reads back as %q, want %q", s, got, want)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	v := Float32(12.34)
	buf := make([]byte, 0, 64)
	for b.Loop() {
		buf = v.AppendJSON(buf[:0])
	}
	if _, err := strconv.ParseFloat(string(buf), 64); err != nil {
		b.Fatal(err)
	}
}
