package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFramesOfTheSpecification(t *testing.T) {
	// Application protocol V1.1b3, the examples of 6.1 to 6.4.
	cases := []struct {
		request Request
		pdu     string
		reply   string
	}{
		{Request{Function: ReadCoils, Address: 0x13, Count: 0x13}, "0100130013", "0103cd6b05"},
		{Request{Function: ReadDiscreteInputs, Address: 0xC4, Count: 0x16}, "0200c40016", "0203acdb35"},
		{Request{Function: ReadHoldingRegisters, Address: 0x6B, Count: 3}, "03006b0003", "0306022b00000064"},
		{Request{Function: ReadInputRegisters, Address: 8, Count: 1}, "0400080001", "0402000a"},
	}
	for _, c := range cases {
		if got := hex.EncodeToString(c.request.AppendPDU(nil)); got != c.pdu {
			t.Errorf("%v: request %s, want %s", c.request, got, c.pdu)
		}
		if got, err := ParseRequest(unhex(t, c.pdu)); err != nil || got != c.request {
			t.Errorf("%s: request %v, %v, want %v", c.pdu, got, err, c.request)
		}
		reply := unhex(t, c.reply)
		data, err := c.request.ParseReply(reply)
		if err != nil || !bytes.Equal(data, reply[2:]) {
			t.Errorf("%s: data %x, %v", c.reply, data, err)
		}
		if got := c.request.AppendReply(nil, data); !bytes.Equal(got, reply) {
			t.Errorf("reply %x, want %x", got, reply)
		}
		if len(reply) != c.request.ReplySize() {
			t.Errorf("%v: reply size %d, want %d", c.request, c.request.ReplySize(), len(reply))
		}
	}
}

func TestCRC(t *testing.T) {
	// Serial line V1.02, 6.2.2: the frame 02 07 has the checksum 1241, low byte first.
	if got := hex.EncodeToString(AppendRTU(nil, 2, []byte{7})); got != "02074112" {
		t.Errorf("frame %s, want 02074112", got)
	}
	if got := hex.EncodeToString(AppendRTU(nil, 1, unhex(t, "030000000a"))); got != "01030000000ac5cd" {
		t.Errorf("frame %s, want 01030000000ac5cd", got)
	}
}

func TestRequestsThatASlaveRefuses(t *testing.T) {
	cases := []struct {
		pdu  string
		want Exception
	}{
		{"", IllegalFunction},
		{"0700000001", IllegalFunction},
		{"03", IllegalValue},
		{"0300000001ff", IllegalValue},
		{"0300000000", IllegalValue},
		{"030000007e", IllegalValue},
		{"01000007d1", IllegalValue},
		{"03ffff0002", IllegalAddress},
	}
	for _, c := range cases {
		if _, err := ParseRequest(unhex(t, c.pdu)); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.pdu, err, c.want)
		}
	}
}

func TestRepliesThatDoNotAnswer(t *testing.T) {
	r := Request{Function: ReadHoldingRegisters, Address: 0, Count: 2}
	for _, c := range []string{"", "03", "0304", "030400010002ff", "0306000100020003", "040400010002", "030500010002", "8402"} {
		if _, err := r.ParseReply(unhex(t, c)); !errors.Is(err, ErrPDU) {
			t.Errorf("%q: %v, want ErrPDU", c, err)
		}
	}
	if _, err := r.ParseReply(unhex(t, "8302")); !errors.Is(err, IllegalAddress) {
		t.Errorf("exception: %v, want %v", err, IllegalAddress)
	}
}

func TestReplyAt(t *testing.T) {
	whole := AppendRTU(nil, 7, unhex(t, "030400010002"))
	for n := range whole {
		if _, _, status := RTUReplyAt(whole[:n]); status != Incomplete {
			t.Errorf("%d bytes: status %d, want incomplete", n, status)
		}
	}
	f, n, status := RTUReplyAt(append(bytes.Clone(whole), 1, 2, 3))
	if status != Complete || n != len(whole) || f.Unit != 7 || hex.EncodeToString(f.PDU) != "030400010002" {
		t.Errorf("got %+v, %d, %d", f, n, status)
	}
	for i := range whole {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[i] ^= 1 << bit
			if f, _, status := RTUReplyAt(b); status == Complete {
				t.Errorf("bit %d of byte %d wrong, and still the frame %+v", bit, i, f)
			}
		}
	}
}

func TestMBAP(t *testing.T) {
	whole := AppendMBAP(nil, 0x1234, 9, unhex(t, "0300000001"))
	if got := hex.EncodeToString(whole); got != "123400000006090300000001" {
		t.Fatalf("frame %s", got)
	}
	for n := range whole {
		if _, _, status := MBAPAt(whole[:n]); status != Incomplete {
			t.Errorf("%d bytes: status %d, want incomplete", n, status)
		}
	}
	f, n, status := MBAPAt(whole)
	if status != Complete || n != len(whole) || f.Transaction != 0x1234 || f.Unit != 9 || len(f.PDU) != 5 {
		t.Errorf("got %+v, %d, %d", f, n, status)
	}
	for _, bad := range []string{"00010001", "0001000000010903", "0001000000ff", "000100000000"} {
		if _, _, status := MBAPAt(unhex(t, bad)); status != Invalid {
			t.Errorf("%s: status %d, want invalid", bad, status)
		}
	}
}

func FuzzRTUReplyAt(f *testing.F) {
	f.Add(AppendRTU(nil, 1, []byte{3, 2, 0, 1}))
	f.Add(AppendRTU(nil, 1, []byte{0x83, 2}))
	f.Add([]byte{1, 1, 0xFF, 0})
	f.Add([]byte{1, 3, 3, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, status := RTUReplyAt(b)
		if status != Complete {
			return
		}
		if n > len(b) || n > MaxRTU {
			t.Fatalf("length %d of %d bytes", n, len(b))
		}
		if again := AppendRTU(nil, frame.Unit, frame.PDU); !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x became %x", b[:n], again)
		}
	})
}

func FuzzFindRTURequest(f *testing.F) {
	f.Add(append([]byte{0, 0, 9}, AppendRTU(nil, 1, []byte{3, 0, 0, 0, 1})...))
	f.Add(AppendRTU(nil, 1, []byte{0x2B, 0x0E, 1, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, drop, ok := FindRTURequest(b)
		if drop > len(b) || drop < 0 || len(b)-drop > MaxRTU && !ok {
			t.Fatalf("drop %d of %d bytes", drop, len(b))
		}
		if !ok {
			return
		}
		again := AppendRTU(nil, frame.Unit, frame.PDU)
		if !bytes.Equal(again, b[drop-len(again):drop]) {
			t.Fatalf("found %x in %x", again, b)
		}
	})
}

func FuzzMBAPAt(f *testing.F) {
	f.Add(AppendMBAP(nil, 1, 1, []byte{3, 2, 0, 1}))
	f.Add([]byte{0, 1, 0, 0, 0, 254})
	f.Add([]byte{0, 1, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, status := MBAPAt(b)
		if status != Complete {
			return
		}
		if again := AppendMBAP(nil, frame.Transaction, frame.Unit, frame.PDU); !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x became %x", b[:n], again)
		}
	})
}

func FuzzPDU(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 2}, []byte{3, 4, 0, 1, 0, 2})
	f.Add([]byte{1, 0, 0, 0, 9}, []byte{1, 2, 0, 1})
	f.Add([]byte{4, 0, 0, 0, 9}, []byte{0x84, 11})
	f.Fuzz(func(t *testing.T, request, reply []byte) {
		r, err := ParseRequest(request)
		if err != nil {
			return
		}
		if again := r.AppendPDU(nil); !bytes.Equal(again, request) {
			t.Fatalf("%x became %x", request, again)
		}
		data, err := r.ParseReply(reply)
		if err == nil && len(data) != r.DataSize() {
			t.Fatalf("%d data bytes, want %d", len(data), r.DataSize())
		}
	})
}
