package scan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Setting is one way to speak to a line. BaudRate is 0 over a network.
type Setting struct {
	Protocol string
	BaudRate int
	Parity   string
	StopBits int
}

// String is the setting as people write it: "modbus-rtu 9600 8N1".
func (s Setting) String() string {
	if s.BaudRate == 0 {
		return s.Protocol
	}
	bits := 8
	if strings.Contains(s.Protocol, "ascii") {
		bits = 7
	}
	return fmt.Sprintf("%s %d %d%s%d", s.Protocol, s.BaudRate, bits, strings.ToUpper(s.Parity[:1]), s.StopBits)
}

// The rates and parities that instruments come with, the most common first.
var (
	BaudRates = []int{9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200}
	Parities  = []string{"none", "even", "odd"}
)

// Settings returns every combination, in the order in which they are worth a try.
func Settings(protocols []string, bauds []int, parities []string) []Setting {
	var all []Setting
	for _, protocol := range protocols {
		for _, baud := range bauds {
			for _, parity := range parities {
				// Serial line, 2.5.1: without parity there are two stop bits; hardly an
				// instrument follows, and one that does hears the difference as a pause.
				all = append(all, Setting{protocol, baud, parity, 1})
			}
		}
	}
	return all
}

// ParseIDs reads "1-32", "1,5,7-9". The result ascends.
func ParseIDs(text string) ([]byte, error) {
	var ids []byte
	for part := range strings.SplitSeq(text, ",") {
		low, high, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 8)
		to, err2 := strconv.ParseUint(high, 10, 8)
		if err := cmp.Or(err1, err2); err != nil || from > to {
			return nil, fmt.Errorf("%q is no list of unit ids; write it like 1-32 or 1,5,7-9", text)
		}
		for id := from; id <= to; id++ {
			ids = append(ids, byte(id))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
