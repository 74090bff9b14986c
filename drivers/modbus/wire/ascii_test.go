package wire

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func TestASCII(t *testing.T) {
	// Serial line V1.02, appendix B: the LRC of 02 07 is F7.
	if got := string(AppendASCII(nil, 2, []byte{7})); got != ":0207F7\r\n" {
		t.Errorf("frame %q", got)
	}
	most := string(AppendASCII(nil, 1, make([]byte, MaxPDU)))
	if len(most) != MaxASCII {
		t.Errorf("the longest frame has %d characters, want %d", len(most), MaxASCII)
	}
	cases := []struct {
		name   string
		b      string
		pdu    string
		status Status
	}{
		{"whole", ":0103020001F9\r\n", "03020001", Complete},
		{"small letters", ":0103020001f9\r\n", "03020001", Complete},
		{"both cases", ":0A03020a0ADd\r\n", "03020a0a", Complete},
		{"and more", ":0103020001F9\r\n:01", "03020001", Complete},
		{"longest", most, strings.Repeat("00", MaxPDU), Complete},
		{"nothing", "", "", Incomplete},
		{"begun", ":", "", Incomplete},
		{"without LF", ":0103020001F9\r", "", Incomplete},
		{"noise before", "\x00:0103020001F9\r\n", "", Invalid},
		{"wrong LRC", ":0103020001F8\r\n", "", Invalid},
		{"NUL within", ":010302\x00001F9\r\n", "", Invalid},
		{"NUL inserted", ":010302\x000001F9\r\n", "", Invalid},
		{"begun anew", ":0103:0103020001F9\r\n", "", Invalid},
		{"no CR", ":0103020001F9\n", "", Invalid},
		{"odd digits", ":0103020001F\r\n", "", Invalid},
		{"no digits", ":01030200G1F9\r\n", "", Invalid},
		{"empty", ":\r\n", "", Invalid},
		{"no PDU", ":01FF\r\n", "", Invalid},
		{"too long", ":" + strings.Repeat("0", MaxASCII), "", Invalid},
		{"too long with its end", ":" + strings.Repeat("00", MaxRTU) + "\r\n", "", Invalid},
	}
	var room [MaxRTU]byte
	for _, c := range cases {
		f, n, status := ASCIIFrameAt([]byte(c.b), room[:])
		if status != c.status || hex.EncodeToString(f.PDU) != c.pdu {
			t.Errorf("%s: %x, status %d, want %s, %d", c.name, f.PDU, status, c.pdu, c.status)
		}
		if status == Complete && c.b[n-1] != '\n' {
			t.Errorf("%s: ends at %d", c.name, n)
		}
	}
	whole := AppendASCII(nil, 7, []byte{3, 2, 0x12, 0x34})
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			f, _, status := ASCIIFrameAt(b, room[:])
			if status == Complete && !bytes.EqualFold(b, whole) {
				t.Errorf("bit %d of byte %d wrong, and still the frame %+v", bit, i, f)
			}
		}
	}
}

func FuzzASCIIFrameAt(f *testing.F) {
	f.Add(AppendASCII(nil, 1, []byte{3, 2, 0, 1}))
	f.Add([]byte(":0103020001f9\r\n"))
	f.Add([]byte(":01:0103020001F9\r\n"))
	f.Add(AppendASCII(nil, 1, make([]byte, MaxPDU)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var room [MaxRTU]byte
		frame, n, status := ASCIIFrameAt(b, room[:])
		if status == Incomplete && len(b) >= MaxASCII {
			t.Fatalf("%d bytes are too few for a frame", len(b))
		}
		if status != Complete {
			return
		}
		if again := AppendASCII(nil, frame.Unit, frame.PDU); !bytes.EqualFold(again, b[:n]) {
			t.Fatalf("%q became %q", b[:n], again)
		}
	})
}
