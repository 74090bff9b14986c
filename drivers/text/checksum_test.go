package text

import (
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
)

// TestChecksums holds what manuals print; SDI-12's is of the standard.
func TestChecksums(t *testing.T) {
	for _, c := range []struct{ kind, of, want string }{
		{"sum8_hex", "$012", "B7"},      // ICP DAS FAQ 7-000-07
		{"sum8_hex", "!01200600", "AA"}, // the same
		{"xor_hex", "GPGLL,5300.97914,N,00259.98174,E,125926,A", "28"},
		{"lrc_hex", "\x01\x03\x00\x00\x00\x01", "FB"},
		{"sum16_hex", "AB", "0083"},
		{"sum8_mod100", "!9900PR = 1000.00", "65"},
		{"crc16_le", "\x01\x03\x00\x02\x00\x02", "\x65\xCB"},
		{"crc16_be", "\x01\x03\x00\x02\x00\x02", "\xCB\x65"},
		{"crc16_be", "\x02\x30", "\xC4\x00"}, // test_keller_protocol.py of KELLER
		{"sdi12", "0+3.14", "OqZ"},           // SDI-12 1.3, 4.4.12.3
	} {
		var f gateway.Faults
		x := newChecksum(ChecksumOptions{Kind: c.kind}, &f)
		if got := string(x.kind.append(nil, []byte(c.of))); got != c.want || len(got) != x.kind.size {
			t.Errorf("%s of %q is %q, want %q", c.kind, c.of, got, c.want)
		}
	}
}

// TestRanges has the same frame protected in every way.
func TestRanges(t *testing.T) {
	for _, c := range []struct{ over, frame string }{
		{"", "$AB*03\r"}, {overBetween, "$AB*03\r"}, {overFromStart, "$AB*27\r"}, {overToEnd, "$AB*29\r"}, {overAll, "$AB*0D\r"},
	} {
		var f gateway.Faults
		sum := newChecksum(ChecksumOptions{Kind: "xor_hex", After: "*", Over: c.over}, &f)
		x := newFraming(FrameOptions{Start: "$", End: `\r`}, sum, &f)
		got, used, noise, ok := x.next([]byte(c.frame), false)
		if !ok || got.damaged || string(got.says) != "AB" || used != len(c.frame) || noise != 0 || len(f) > 0 {
			t.Errorf("%q: %+v %q, %d used, %d noise, %v", c.over, got, got.says, used, noise, f)
		}
		sent, err := template{{literal: []byte("$AB*")}, {name: "checksum"}, {literal: []byte("\r")}}.render(filling{checksum: sum, frame: x})
		if err != nil || string(sent) != c.frame {
			t.Errorf("%q: %q is sent, %v", c.over, sent, err)
		}
	}
}

// TestTrailer is a telegram of a Vaisala barometer, with the sum that its bytes have.
func TestTrailer(t *testing.T) {
	var f gateway.Faults
	for over, check := range map[string]string{overBetween: "0083", overToEnd: "0086", overAll: "0087", overFromStart: "0084"} {
		sum := newChecksum(ChecksumOptions{Kind: "sum16_hex", Over: over}, &f)
		x := newFraming(FrameOptions{Start: `\x01`, End: `\x03`, Trailer: 4}, sum, &f)
		if _, _, _, ok := x.next([]byte("\x01AB\x03"+check[:3]), true); ok {
			t.Error("a frame without all of its trailer was taken")
		}
		got, _, _, ok := x.next([]byte("\x01AB\x03"+check), false)
		if !ok || got.damaged || string(got.says) != "AB" {
			t.Errorf("%s: %+v", over, got)
		}
	}
}
