package text

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// maxTemplate bounds what one command may be written as, and what a placeholder
// may grow to.
const (
	maxTemplate = 1024
	maxWidth    = 40
)

// escapes are what a backslash and one letter stand for.
var escapes = map[byte]byte{
	'r': '\r', 'n': '\n', 't': '\t', 'e': 0x1B, '0': 0, '\\': '\\', '{': '{', '}': '}',
}

// template is bytes with places for the address, a value and the checksum.
type template []part

// part is literal bytes, or what stands in their place.
type part struct {
	literal []byte
	name    string // "" for literal bytes
	format  format
}

// format is how a placeholder is written: [+][0][width][.decimals]verb.
type format struct {
	plus, zero bool
	width      int
	decimals   int  // -1 for as many as there are
	verb       byte // 0 as it is, d, f, x, X, or b for one byte
}

// placeholders are the names that may stand in braces.
var placeholders = []string{"address", "value", "checksum"}

// parseTemplate reads a command as it stands in a configuration.
func parseTemplate(s string) (template, error) {
	if len(s) > maxTemplate {
		return nil, fmt.Errorf("is longer than %d characters", maxTemplate)
	}
	var t template
	var literal []byte
	flush := func() {
		if len(literal) > 0 {
			t = append(t, part{literal: literal})
			literal = nil
		}
	}
	for len(s) > 0 {
		switch s[0] {
		case '\\':
			b, n, err := escape(s)
			if err != nil {
				return nil, err
			}
			literal, s = append(literal, b), s[n:]
		case '{':
			inner, rest, closed := strings.Cut(s[1:], "}")
			if !closed {
				return nil, errors.New(`has a { that is not closed; a brace itself is written \{`)
			}
			p, err := parsePlaceholder(inner)
			if err != nil {
				return nil, err
			}
			flush()
			t, s = append(t, p), rest
		default:
			literal, s = append(literal, s[0]), s[1:]
		}
	}
	flush()
	return t, nil
}

// escape reads one escape, and returns how many bytes it takes.
func escape(s string) (b byte, n int, err error) {
	if len(s) >= 4 && s[1] == 'x' {
		v, err := strconv.ParseUint(s[2:4], 16, 8)
		if err == nil {
			return byte(v), 4, nil
		}
	}
	if len(s) >= 2 {
		if b, ok := escapes[s[1]]; ok {
			return b, 2, nil
		}
	}
	return 0, 0, fmt.Errorf(`has %q, which is no escape; there are \r \n \t \e \0 \\ \{ \} and \x with two hexadecimal digits`, s[:min(len(s), 4)])
}

func parsePlaceholder(s string) (part, error) {
	name, spec, _ := strings.Cut(s, ":")
	known := false
	for _, p := range placeholders {
		known = known || p == name
	}
	if !known {
		return part{}, fmt.Errorf("has {%s}: %s", s, gateway.Unknown(name, "a placeholder", placeholders))
	}
	f, err := parseFormat(spec)
	if err != nil || name == "checksum" && spec != "" {
		return part{}, fmt.Errorf("has {%s}, whose format is none; write {address:02d}, {address:02X}, {address:byte} or {value:07.2f}", s)
	}
	return part{name: name, format: f}, nil
}

var formatPattern = regexp.MustCompile(`^(\+?)(0?)([1-9][0-9]?)?(?:\.([0-9]))?([dfxX])$`)

func parseFormat(s string) (format, error) {
	f := format{decimals: -1}
	if s == "" {
		return f, nil
	}
	if s == "byte" {
		f.verb = 'b'
		return f, nil
	}
	m := formatPattern.FindStringSubmatch(s)
	if m == nil {
		return f, errors.New("no format")
	}
	f.plus, f.zero, f.verb = m[1] != "", m[2] != "", m[5][0]
	f.width, _ = strconv.Atoi(m[3])
	if m[4] != "" {
		f.decimals = int(m[4][0] - '0')
	}
	if f.width > maxWidth || f.decimals >= 0 && f.verb != 'f' {
		return f, errors.New("no format")
	}
	return f, nil
}

// filling is what the placeholders of a template stand for.
type filling struct {
	address  string
	value    gateway.Value
	checksum *checksum // nil for none
	frame    *framing  // whose start and marker the checksum leaves out
}

// has reports whether the template has a placeholder of this name.
func (t template) has(name string) bool {
	for _, p := range t {
		if p.name == name {
			return true
		}
	}
	return false
}

// render returns the bytes that are sent.
func (t template) render(f filling) ([]byte, error) {
	var b []byte
	for _, p := range t {
		var err error
		switch p.name {
		case "":
			b = append(b, p.literal...)
		case "address":
			b, err = p.format.appendText(b, f.address, "the address")
		case "value":
			b, err = p.format.appendText(b, f.value.String(), "the value")
		case "checksum":
			if f.checksum != nil && f.checksum.tx {
				b = f.checksum.append(b, f.frame)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendText writes a text in the format; what must be a number for it is one, exactly.
func (f format) appendText(b []byte, s, what string) ([]byte, error) {
	if f.verb == 0 {
		for i := range len(s) {
			if s[i] < ' ' {
				return nil, fmt.Errorf("%s has the control character %q, which could end the command", what, s[i])
			}
		}
		return append(b, s...), nil
	}
	n, ok := new(big.Rat).SetString(s)
	if !ok || len(s) > maxWidth || strings.ContainsAny(s, "eE/_xX") {
		return nil, fmt.Errorf("%s is %q, and the command needs a number", what, s)
	}
	if f.verb == 'f' {
		return f.appendFixed(b, n, what)
	}
	if !n.IsInt() || !n.Num().IsInt64() {
		return nil, fmt.Errorf("%s is %q, and the command needs a whole number", what, s)
	}
	v := n.Num().Int64()
	switch f.verb {
	case 'b':
		if v < 0 || v > 255 {
			return nil, fmt.Errorf("%s is %d, and one byte holds 0 to 255", what, v)
		}
		return append(b, byte(v)), nil
	case 'd':
		return f.pad(b, v < 0, strings.TrimPrefix(strconv.FormatInt(v, 10), "-")), nil
	default:
		if v < 0 {
			return nil, fmt.Errorf("%s is %d, and hexadecimal digits have no sign", what, v)
		}
		digits := strconv.FormatInt(v, 16)
		if f.verb == 'X' {
			digits = strings.ToUpper(digits)
		}
		return f.pad(b, false, digits), nil
	}
}

// appendFixed never rounds: what an instrument is set to is what was asked for.
func (f format) appendFixed(b []byte, n *big.Rat, what string) ([]byte, error) {
	decimals := f.decimals
	if decimals < 0 {
		decimals, _ = n.FloatPrec()
	}
	s := n.FloatString(decimals)
	if back, ok := new(big.Rat).SetString(s); !ok || back.Cmp(n) != 0 {
		return nil, fmt.Errorf("%s has more than the %d decimals that the command holds", what, decimals)
	}
	return f.pad(b, n.Sign() < 0, strings.TrimPrefix(s, "-")), nil
}

// pad writes sign and digits at the width, with zeros or spaces before them.
func (f format) pad(b []byte, negative bool, digits string) []byte {
	sign := ""
	switch {
	case negative:
		sign = "-"
	case f.plus:
		sign = "+"
	}
	fill := bytes.Repeat([]byte{' '}, max(0, f.width-len(sign)-len(digits)))
	if f.zero {
		fill = bytes.ReplaceAll(fill, []byte{' '}, []byte{'0'})
		return append(append(append(b, sign...), fill...), digits...)
	}
	return append(append(append(b, fill...), sign...), digits...)
}

// Unescape reads bytes as they are written in an exchange of a profile: text
// with \r \n \t \e \0 \\ \{ \} and \xHH.
func Unescape(s string) ([]byte, error) {
	var out []byte
	for len(s) > 0 {
		if s[0] != '\\' {
			out, s = append(out, s[0]), s[1:]
			continue
		}
		b, n, err := escape(s)
		if err != nil {
			return nil, fmt.Errorf("%q %w", s, err)
		}
		out, s = append(out, b), s[n:]
	}
	return out, nil
}

// inPattern is an address placeholder in a pattern.
var inPattern = regexp.MustCompile(`\{address(?::([^}]*))?\}`)

// parsePattern reads a pattern, in which {address} stands for the device's. loose
// is the same pattern for any address; nil where it names none.
func parsePattern(s, address string, whole bool) (exact, loose *regexp.Regexp, err error) {
	if len(s) > maxTemplate {
		return nil, nil, fmt.Errorf("is longer than %d characters", maxTemplate)
	}
	var failed error
	named := inPattern.ReplaceAllStringFunc(s, func(match string) string {
		f, err := parseFormat(inPattern.FindStringSubmatch(match)[1])
		if err != nil {
			failed = fmt.Errorf("has %s, whose format is none", match)
			return ""
		}
		text, err := f.appendText(nil, address, "the address")
		if err != nil {
			failed = err
		}
		return regexp.QuoteMeta(latin1(text))
	})
	if failed != nil {
		return nil, nil, failed
	}
	if exact, err = anchored(named, whole); err != nil {
		return nil, nil, err
	}
	if any := inPattern.ReplaceAllString(s, `[^\x00-\x20]{1,32}?`); any != s {
		loose, err = anchored(any, whole)
	}
	return exact, loose, err
}

// anchored compiles a pattern that begins where the reply does, and ends there too.
func anchored(s string, whole bool) (*regexp.Regexp, error) {
	end := ""
	if whole {
		end = `\z`
	}
	r, err := regexp.Compile(`\A(?s:` + s + `)` + end)
	if err != nil {
		return nil, fmt.Errorf("%q is no pattern: %w", s, err)
	}
	return r, nil
}

// latin1 makes a string of bytes in which each byte is one character, as
// patterns see replies: \xE9 in a pattern is the byte E9.
func latin1(b []byte) string {
	for i, c := range b {
		if c >= 0x80 {
			var out strings.Builder
			out.Write(b[:i])
			for _, c := range b[i:] {
				out.WriteRune(rune(c))
			}
			return out.String()
		}
	}
	return string(b)
}
