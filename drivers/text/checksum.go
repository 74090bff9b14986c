package text

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/gaugeway/gaugeway/gateway"
)

// kinds has one row per way to protect a frame.
var kinds = []kind{
	{name: "none"},
	{"sum8_hex", 2, true, func(b, of []byte) []byte { return appendHex(b, uint16(sum(of)&0xFF), 2) }},                         // DCON, ADAM
	{"sum16_hex", 4, true, func(b, of []byte) []byte { return appendHex(b, uint16(sum(of)), 4) }},                             // Vaisala CS4
	{"lrc_hex", 2, true, func(b, of []byte) []byte { return appendHex(b, uint16(-sum(of)&0xFF), 2) }},                         // two's complement of the sum
	{"xor_hex", 2, true, func(b, of []byte) []byte { return appendHex(b, uint16(xor(of)), 2) }},                               // NMEA 0183
	{"sum8_mod100", 2, false, func(b, of []byte) []byte { return append(b, byte('0'+sum(of)%100/10), byte('0'+sum(of)%10)) }}, // Druck DPI 740
	{"crc16_le", 2, false, func(b, of []byte) []byte { c := crc16(of, 0xFFFF); return append(b, byte(c), byte(c>>8)) }},
	{"crc16_be", 2, false, func(b, of []byte) []byte { c := crc16(of, 0xFFFF); return append(b, byte(c>>8), byte(c)) }}, // Keller bus
	// SDI-12: three characters of six bits each.
	{"sdi12", 3, false, func(b, of []byte) []byte {
		c := crc16(of, 0)
		return append(b, 0x40|byte(c>>12), 0x40|byte(c>>6&0x3F), 0x40|byte(c&0x3F))
	}},
}

// kind is one row: how many bytes it has on the wire, and what they are.
type kind struct {
	name   string
	size   int
	hex    bool // either letter case is taken
	append func(b, of []byte) []byte
}

func sum(b []byte) (n uint32) {
	for _, c := range b {
		n += uint32(c)
	}
	return n
}

func xor(b []byte) (n byte) {
	for _, c := range b {
		n ^= c
	}
	return n
}

// crc16 is the CRC of Modbus, SDI-12 and the Keller bus: polynomial A001, reflected.
func crc16(b []byte, crc uint16) uint16 {
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func appendHex(b []byte, n uint16, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789ABCDEF"[n>>shift&0xF])
	}
	return b
}

// The ranges of a checksum: whether it covers the start of the frame, and the
// marker before it or the end of the frame.
const (
	overBetween   = "between"
	overFromStart = "from_start"
	overToEnd     = "to_end"
	overAll       = "all"
)

var ranges = []string{overBetween, overFromStart, overToEnd, overAll}

// checksum is a configured checksum.
type checksum struct {
	kind       *kind
	after      []byte
	start, end bool // covered as well
	lower      bool
	tx, rx     bool
	room       []byte // scratch
}

func kindNames() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// newChecksum returns nil for none.
func newChecksum(o ChecksumOptions, f *gateway.Faults) *checksum {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == o.Kind })
	switch {
	case o.Kind == "" && (o.After != "" || o.Over != "" || o.Case != "" || o.TX != nil || o.RX != nil):
		f.Add("checksum.kind", "is missing; use %s", strings.Join(kindNames(), ", "))
	case o.Kind != "" && i < 0:
		f.Add("checksum.kind", "%s", gateway.Unknown(o.Kind, "a checksum", kindNames()))
	}
	if o.Over != "" && !slices.Contains(ranges, o.Over) {
		f.Add("checksum.over", "%s", gateway.Unknown(o.Over, "what a checksum covers", ranges))
	}
	if o.Case != "" && o.Case != "upper" && o.Case != "lower" {
		f.Add("checksum.case", "%s", gateway.Unknown(o.Case, "a letter case", []string{"upper", "lower"}))
	}
	after, err := Unescape(o.After)
	if err != nil {
		f.Add("checksum.after", "%v", err)
	}
	if i <= 0 {
		return nil
	}
	return &checksum{
		kind: &kinds[i], after: after, lower: o.Case == "lower",
		start: o.Over == overFromStart || o.Over == overAll, end: o.Over == overToEnd || o.Over == overAll,
		tx: o.TX == nil || *o.TX, rx: o.RX == nil || *o.RX,
	}
}

// append adds the checksum of a command that stands before it.
func (c *checksum) append(b []byte, f *framing) []byte {
	of := b
	if !c.start && f != nil {
		of = bytes.TrimPrefix(of, f.start)
	}
	if !c.end {
		of = bytes.TrimSuffix(of, c.after)
	}
	from := len(b)
	b = c.kind.append(b, of)
	if c.lower && c.kind.hex {
		copy(b[from:], bytes.ToLower(b[from:]))
	}
	return b
}

// split parts a whole frame, which has so many bytes of start, end and trailer,
// into what it says and whether its checksum is right. The checksum stands at the
// end, or in the trailer.
func (c *checksum) split(raw []byte, start, end, trailer int) (says []byte, ok bool) {
	check, to := len(raw)-trailer, len(raw)-trailer
	if trailer > 0 {
		to -= end
		says = raw[start:to]
		if c.end {
			to += end
		}
	} else {
		check = len(raw) - end - c.kind.size
		if check < start {
			return raw[start : len(raw)-end], false
		}
		marker := len(c.after)
		if !bytes.HasSuffix(raw[start:check], c.after) {
			return raw[start : len(raw)-end], false
		}
		says, to = raw[start:check-marker], check
		if !c.end {
			to -= marker
		}
	}
	if c.start {
		start = 0
	}
	return says, c.right(raw[check:check+c.kind.size], raw[start:to])
}

// right compares, without regard to the case of letters in hexadecimal digits.
func (c *checksum) right(check, of []byte) bool {
	c.room = c.kind.append(c.room[:0], of)
	if c.kind.hex {
		return bytes.EqualFold(check, c.room)
	}
	return bytes.Equal(check, c.room)
}

// parseHex reads pairs of hexadecimal digits, and nothing else.
func parseHex(dst []byte, digits []byte) ([]byte, bool) {
	n := hex.DecodedLen(len(digits))
	dst = slices.Grow(dst[:0], n)[:n]
	if _, err := hex.Decode(dst, digits); err != nil || len(digits)%2 != 0 {
		return nil, false
	}
	return dst, true
}

// quote shows bytes to a person: text where they are text.
func quote(b []byte) string { return strconv.Quote(latin1(b)) }
