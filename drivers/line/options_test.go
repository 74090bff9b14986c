package line

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	cases := []struct {
		name string
		o    Options
		want string // "key text" of each fault, by | ; text is a part
	}{
		{"serial", Options{Serial: "/dev/ttyUSB0", BaudRate: 9600, Parity: "none"}, ""},
		{"tcp", Options{Address: "10.0.0.20:502"}, ""},
		{"tcp v6", Options{Address: "[fd00::1]:502"}, ""},
		{"nothing", Options{}, ": serial, address or listen is missing"},
		{"both", Options{Serial: "/dev/ttyUSB0", Address: "h:502", BaudRate: 9600, Parity: "none"}, ": one of serial, address and listen"},
		{"listen", Options{Listen: ":5020"}, ""},
		{"listen without a port", Options{Listen: "5020"}, "listen: has no port"},
		{"direction", Options{Serial: "/dev/ttyUSB0", BaudRate: 9600, Parity: "none", RS485: "kernl"}, `rs485: did you mean "kernel"?`},
		{"direction over tcp", Options{Address: "h:502", RS485: "kernel"}, ": belong to a serial line"},
		{"bare serial", Options{Serial: "/dev/ttyUSB0"}, "baud_rate: is missing|parity: is missing"},
		{"odd serial", Options{Serial: "/dev/ttyUSB0", BaudRate: 9, Parity: "evn", DataBits: 9, StopBits: 3}, "baud_rate: 50 to|parity: none, even or odd|data_bits: 7 or 8|stop_bits: 1 or 2"},
		{"no port", Options{Address: "10.0.0.20"}, `address: "10.0.0.20:502"`},
		{"bad port", Options{Address: "h:99999"}, "address: 1 to 65535"},
		{"no host", Options{Address: ":502"}, "address: no host"},
		{"baud over tcp", Options{Address: "h:502", BaudRate: 9600}, ": belong to a serial line"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			faults := c.o.Validate()
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "|")
			}
			if len(faults) != len(want) {
				t.Fatalf("%v, want %v", faults, want)
			}
			for i, f := range faults {
				key, text, _ := strings.Cut(want[i], ": ")
				if f.Key != strings.TrimSpace(key) || !strings.Contains(f.Text, text) {
					t.Errorf("%+v, want %s", f, want[i])
				}
			}
		})
	}
}

func TestCharTime(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want time.Duration
	}{
		{Options{Serial: "x", BaudRate: 9600, Parity: "none"}, 1041667 * time.Nanosecond},
		{Options{Serial: "x", BaudRate: 9600, Parity: "even"}, 1145834 * time.Nanosecond},
		{Options{Serial: "x", BaudRate: 1200, Parity: "even", DataBits: 7, StopBits: 2}, 9166667 * time.Nanosecond},
		{Options{Address: "h:1"}, 0},
	} {
		if got := c.o.CharTime(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.o, got, c.want)
		}
	}
}
