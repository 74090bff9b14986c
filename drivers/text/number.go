package text

import (
	"bytes"

	"github.com/gaugeway/gaugeway/gateway"
)

// maxDigits bounds what is read as a number.
const maxDigits = 64

// notation is how an instrument writes numbers.
type notation struct {
	comma    bool
	decimals int // implied
}

// parse reads a number exactly: " -  1013.20", "+0.5E-3", "12,5". Two numbers,
// a unit behind it or anything else make it none: a value is never guessed.
func (n notation) parse(text []byte) (gateway.Value, bool) {
	text = trim(text)
	if len(text) == 0 || len(text) > maxDigits {
		return gateway.Value{}, false
	}
	var room [maxDigits]byte
	b := room[:0]
	if text[0] == '+' || text[0] == '-' {
		b, text = append(b, text[0]), bytes.TrimLeft(text[1:], " ")
	}
	if len(text) == 0 || !digit(text[0]) && text[0] != '.' && text[0] != ',' {
		return gateway.Value{}, false
	}
	for _, c := range text {
		switch {
		case n.comma && c == '.' || !n.comma && c == ',':
			return gateway.Value{}, false
		case c == ',':
			c = '.'
		}
		b = append(b, c)
	}
	d, err := gateway.ParseDecimal(string(b))
	if err != nil {
		return gateway.Value{}, false
	}
	v := gateway.Number(d)
	if n.decimals > 0 {
		v = v.Scaled(gateway.NewDecimal(1, -n.decimals), gateway.Decimal{})
	}
	return v, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// trim takes spaces and tabs off both ends.
func trim(b []byte) []byte { return bytes.Trim(b, " \t") }
