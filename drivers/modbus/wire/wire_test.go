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

// data is what a request writes.
func data(t testing.TB, digits string) (d [MaxWriteData]byte) {
	t.Helper()
	copy(d[:], unhex(t, digits))
	return d
}

func TestFramesOfTheSpecification(t *testing.T) {
	// Application protocol V1.1b3, the examples of 6.1 to 6.6, 6.11, 6.12, 6.16 and 6.17.
	cases := []struct {
		request Request
		pdu     string
		reply   string
	}{
		{Request{Function: ReadCoils, Address: 0x13, Count: 0x13}, "0100130013", "0103cd6b05"},
		{Request{Function: ReadDiscreteInputs, Address: 0xC4, Count: 0x16}, "0200c40016", "0203acdb35"},
		{Request{Function: ReadHoldingRegisters, Address: 0x6B, Count: 3}, "03006b0003", "0306022b00000064"},
		{Request{Function: ReadInputRegisters, Address: 8, Count: 1}, "0400080001", "0402000a"},
		{Request{Function: WriteCoil, Address: 0xAC, Count: CoilOn}, "0500acff00", "0500acff00"},
		{Request{Function: WriteRegister, Address: 1, Count: 3}, "0600010003", "0600010003"},
		{Request{Function: WriteCoils, Address: 0x13, Count: 10, Data: data(t, "cd01")}, "0f0013000a02cd01", "0f0013000a"},
		{Request{Function: WriteRegisters, Address: 1, Count: 2, Data: data(t, "000a0102")}, "100001000204000a0102", "1000010002"},
		{Request{Function: MaskRegister, Address: 4, Count: 0xF2, Data: data(t, "0025")}, "16000400f20025", "16000400f20025"},
		{Request{Function: ReadWrite, Address: 3, Count: 6, WriteAddress: 14, WriteCount: 3, Data: data(t, "00ff00ff00ff")},
			"1700030006000e00030600ff00ff00ff", "170c00fe0acd00010003000d00ff"},
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
		var again []byte
		if c.request.Function.Writes() {
			again = c.request.AppendConfirmation(nil)
		} else {
			again = c.request.AppendReply(nil, data)
		}
		if err != nil || !bytes.Equal(again, reply) {
			t.Errorf("reply %x, %v, want %x", again, err, reply)
		}
		if len(reply) != c.request.ReplySize() {
			t.Errorf("%v: reply size %d, want %d", c.request, c.request.ReplySize(), len(reply))
		}
		inEveryFrame(t, c.request, reply)
	}
}

// inEveryFrame puts a request and its reply into the frames of each kind, and
// looks for them behind noise.
func inEveryFrame(t *testing.T, r Request, reply []byte) {
	t.Helper()
	pdu := r.AppendPDU(nil)
	noise := []byte{0, 0xFE}
	if f, drop, ok := FindRTURequest(append(bytes.Clone(noise), AppendRTU(nil, 7, pdu)...)); !ok || f.Unit != 7 || !bytes.Equal(f.PDU, pdu) || drop != len(pdu)+5 {
		t.Errorf("%v: found %+v, %d, %v", r, f, drop, ok)
	}
	var room [MaxRTU]byte
	for _, pdu := range [][]byte{reply, AppendException(nil, r.Function, IllegalValue)} {
		b := AppendRTU(nil, 7, pdu)
		for i := range b {
			if _, _, status := RTUReplyAt(b[:i]); status != Incomplete {
				t.Errorf("%v: %d bytes of the reply: status %d, want incomplete", r, i, status)
			}
		}
		if f, n, status := RTUReplyAt(b); status != Complete || n != len(b) || f.Unit != 7 || !bytes.Equal(f.PDU, pdu) {
			t.Errorf("%v: reply %+v, %d, %d", r, f, n, status)
		}
		a := AppendASCII(nil, 7, pdu)
		if f, n, status := ASCIIFrameAt(a, room[:]); status != Complete || n != len(a) || n != ASCIISize(len(pdu)) || f.Unit != 7 || !bytes.Equal(f.PDU, pdu) {
			t.Errorf("%v: ASCII reply %+v, %d, %d", r, f, n, status)
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
		{"050000ff01", IllegalValue},
		{"0500000001", IllegalValue},
		{"06000000", IllegalValue},
		{"0f0000000001ff", IllegalValue},
		{"0f0000000901ff", IllegalValue},
		{"0fffff000201ff", IllegalAddress},
		{"1000000000", IllegalValue},
		{"100000000000", IllegalValue},
		{"10000000020400010002ff", IllegalValue},
		{"100000000204000100", IllegalValue},
		{"1000000002020001", IllegalValue},
		{"10ffff00020400010002", IllegalAddress},
		{"16000000000000ff", IllegalValue},
		{"1700000000000000010200ff", IllegalValue},
		{"170000000100000001040000ffff", IllegalValue},
		{"170000000100000000", IllegalValue},
		{"17ffff0002000000010200ff", IllegalAddress},
		{"1700000001ffff00020400ff00ff", IllegalAddress},
	}
	for _, c := range cases {
		if _, err := ParseRequest(unhex(t, c.pdu)); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.pdu, err, c.want)
		}
	}
}

func TestRepliesThatDoNotAnswer(t *testing.T) {
	read := Request{Function: ReadHoldingRegisters, Address: 0, Count: 2}
	write := Request{Function: WriteRegister, Address: 1, Count: 3}
	writes := Request{Function: WriteRegisters, Address: 1, Count: 2}
	mask := Request{Function: MaskRegister, Address: 4, Count: 0xF2, Data: data(t, "0025")}
	both := Request{Function: ReadWrite, Count: 1, WriteCount: 1}
	for _, c := range []struct {
		request Request
		replies []string
	}{
		{read, []string{"", "03", "0304", "030400010002ff", "0306000100020003", "040400010002", "030500010002", "8402"}},
		{write, []string{"0600010004", "0600020003", "060001", "060001000300", "0500010003", "8502"}},
		{writes, []string{"1000010003", "1000000002", "10000100020400000000", "0f00010002"}},
		{mask, []string{"16000400f20024", "16000400f3", "16000500f20025"}},
		{both, []string{"17020001ff", "170100", "17", "9602", "03020001"}},
	} {
		for _, reply := range c.replies {
			if _, err := c.request.ParseReply(unhex(t, reply)); !errors.Is(err, ErrPDU) {
				t.Errorf("%v: %q: %v, want ErrPDU", c.request, reply, err)
			}
		}
		refusal := AppendException(nil, c.request.Function, IllegalAddress)
		if _, err := c.request.ParseReply(refusal); !errors.Is(err, IllegalAddress) {
			t.Errorf("%v: exception: %v, want %v", c.request, err, IllegalAddress)
		}
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
	f.Add([]byte{5, 0, 0, 0xFF, 0}, []byte{5, 0, 0, 0xFF, 0})
	f.Add([]byte{15, 0, 0, 0, 9, 2, 1, 1}, []byte{15, 0, 0, 0, 9})
	f.Add(append([]byte{16, 0, 0, 0, 123, 246}, make([]byte, 246)...), []byte{16, 0, 0, 0, 123})
	f.Add([]byte{22, 0, 0, 0, 1, 0, 2}, []byte{22, 0, 0, 0, 1, 0, 2})
	f.Add([]byte{23, 0, 0, 0, 1, 0, 1, 0, 1, 2, 0, 7}, []byte{23, 2, 0, 9})
	f.Fuzz(func(t *testing.T, request, reply []byte) {
		if len(request) > 0 {
			_, _ = DescribeRequest(1, request), DescribeReply(1, request)
		}
		r, err := ParseRequest(request)
		if err != nil {
			return
		}
		if again := r.AppendPDU(nil); !bytes.Equal(again, request) {
			t.Fatalf("%x became %x", request, again)
		}
		data, err := r.ParseReply(reply)
		switch {
		case err != nil:
		case r.Function.Writes() && !bytes.Equal(r.AppendConfirmation(nil), reply):
			t.Fatalf("%x confirms %v", reply, r)
		case !r.Function.Writes() && len(data) != r.DataSize():
			t.Fatalf("%d data bytes, want %d", len(data), r.DataSize())
		}
	})
}
