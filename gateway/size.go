package gateway

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written "256MB" (decimal) or "256MiB" (binary).
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a size: "256MB", "64KiB", "1.5GB".
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || n < 0 || n*float64(unit.bytes) > 1<<62 {
			break
		}
		*s = Size(n * float64(unit.bytes))
		return nil
	}
	return fmt.Errorf("%q is not a size; write it like \"256MB\"", text)
}

// String writes the size in the largest unit that leaves at least one.
func (s Size) String() string {
	for _, unit := range []struct {
		name  string
		bytes Size
	}{{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
		if s >= unit.bytes {
			return strconv.FormatFloat(float64(s)/float64(unit.bytes), 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}
