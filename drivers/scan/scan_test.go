package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// plant is a line with instruments that answer only at their own setting.
type plant struct {
	at     Setting
	units  map[byte]map[int]uint16 // holding registers
	now    Setting
	opened int
	closed int
	asked  int
	broken error
}

func (p *plant) open(_ context.Context, s Setting) (Asker, error) {
	p.now = s
	p.opened++
	return p, nil
}

func (p *plant) Close() error { p.closed++; return nil }

func (p *plant) Do(_ context.Context, unit byte, r wire.Request) ([]byte, error) {
	p.asked++
	regs, there := p.units[unit]
	switch {
	case p.broken != nil:
		return nil, p.broken
	case !there:
		return nil, modbus.ErrNoAnswer
	case p.now != p.at:
		return nil, modbus.ErrDamaged
	case r.Function != wire.ReadHoldingRegisters:
		return nil, wire.IllegalFunction
	}
	var data []byte
	for i := range int(r.Count) {
		w, ok := regs[int(r.Address)+i]
		if !ok {
			return nil, wire.IllegalAddress
		}
		data = append(data, byte(w>>8), byte(w))
	}
	return data, nil
}

func mustExpect(t *testing.T, text string) Expect {
	t.Helper()
	e, err := ParseExpect(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestScanFindsSettingUnitAndValue(t *testing.T) {
	// 12.5 as float32 CDAB at 100, among registers that mean nothing; 1 to 3 do not exist.
	p := &plant{at: Setting{"modbus-rtu", 19200, "even", 1}, units: map[byte]map[int]uint16{7: {0: 3, 4: 17, 100: 0x0000, 101: 0x4148, 102: 0xFFFF}}}
	var progress []Progress
	r, err := Run(context.Background(), Options{
		Settings: Settings([]string{"modbus-rtu"}, BaudRates, Parities), IDs: []byte{5, 6, 7, 8},
		Expect: []Expect{mustExpect(t, "5..60 bar")}, First: 0, Last: 127, Open: p.open,
	}, func(p Progress) { progress = append(progress, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Found) != 1 || r.Found[0].Unit != 7 || r.Found[0].Setting != p.at {
		t.Fatalf("found %+v", r)
	}
	if got := r.Found[0].Guesses[0].String(); got != "holding 100 float32 CDAB = 12.5 bar" {
		t.Errorf("the best guess is %s, of %v", got, r.Found[0].Guesses)
	}
	if want := []string{"modbus-rtu 9600 8N1", "modbus-rtu 9600 8E1", "modbus-rtu 9600 8O1", "modbus-rtu 19200 8N1"}; !slices.Equal(r.Garbled, want) {
		t.Errorf("garbled with %v, want %v", r.Garbled, want)
	}
	if p.opened != 5 || p.closed != 5 {
		t.Errorf("opened %d times, closed %d times", p.opened, p.closed)
	}
	if last := progress[len(progress)-1]; len(progress) != 20 || last.Done != 19 || last.Total != 96 || last.Unit != 8 {
		t.Errorf("%d times told, last %+v", len(progress), last)
	}
}

func TestScanEndsWithALineThatIsLost(t *testing.T) {
	p := &plant{broken: errors.New("the port is gone")}
	r, err := Run(context.Background(), Options{Settings: Settings([]string{"modbus-rtu"}, []int{9600}, []string{"none"}), IDs: []byte{1, 2}, Open: p.open}, func(Progress) {})
	if err == nil || len(r.Found) != 0 || p.closed != 1 || p.asked != 1 {
		t.Errorf("%+v, %v; asked %d, closed %d", r, err, p.asked, p.closed)
	}
}

func TestGuesses(t *testing.T) {
	for _, c := range []struct {
		name   string
		words  map[int]uint16
		expect string
		want   string
	}{
		{"float32", map[int]uint16{2: 0x41C8, 3: 0}, "5..60 bar", "holding 2 float32 ABCD = 25 bar"},
		{"float32 with its bytes swapped", map[int]uint16{2: 0xC841, 3: 0x0010}, "5..60 bar", "holding 2 float32 BADC = 25.007812 bar"},
		{"a scaled integer", map[int]uint16{9: 253}, "20..30 degC", "holding 9 int16 × 0.1 = 25.3 degC"},
		{"below zero", map[int]uint16{9: 0xFF38}, "-30..-10 degC", "holding 9 int16 × 0.1 = -20 degC"},
		{"a long integer", map[int]uint16{0: 0x0012, 1: 0xD687}, "12000..13000 m3", "holding 0 int32 ABCD × 0.01 = 12345.67 m3"},
		{"zeros fit nothing", map[int]uint16{0: 0, 1: 0, 2: 0, 3: 0}, "-1..1 bar", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := guess(registers{wire.ReadHoldingRegisters, c.words}, []Expect{mustExpect(t, c.expect)})
			sortGuesses(all)
			got := ""
			if len(all) > 0 {
				got = all[0].String()
			}
			if got != c.want {
				t.Errorf("best is %q, want %q, of %v", got, c.want, all)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{"1-3": "[1 2 3]", "5,1,2-3": "[1 2 3 5]", "7": "[7]", "1-3,2": "[1 2 3]", "0,255": "[0 255]"} {
		if ids, err := ParseIDs(text); err != nil || fmt.Sprint(ids) != want {
			t.Errorf("%q is %v, %v", text, ids, err)
		}
	}
	for _, text := range []string{"", "x", "3-1", "256", "1-", "-1"} {
		if ids, err := ParseIDs(text); err == nil {
			t.Errorf("%q is %v", text, ids)
		}
	}
	for _, text := range []string{"", "5", "60..5 bar", "a..b", "5..5"} {
		if e, err := ParseExpect(text); err == nil {
			t.Errorf("%q is %+v", text, e)
		}
	}
}
