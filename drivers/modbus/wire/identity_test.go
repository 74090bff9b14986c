package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	// Application protocol V1.1b3, the example of 6.21.
	if got := hex.EncodeToString(IdentityRequest(false, 0).AppendPDU(nil)); got != "2b0e0100" {
		t.Errorf("request %s, want 2b0e0100", got)
	}
	reply := append(unhex(t, "2b0e01010000030016"), "Company identification"...)
	reply = append(append(reply, 1, 15), "Product code XX"...)
	reply = append(append(reply, 2, 5), "V2.11"...)
	data, err := IdentityRequest(false, 0).ParseReply(reply)
	if err != nil {
		t.Fatal(err)
	}
	want := []Object{{0, "Company identification"}, {1, "Product code XX"}, {2, "V2.11"}}
	if objects, _, more := Objects(data); more || !slices.Equal(objects, want) {
		t.Errorf("%v, more %v", objects, more)
	}
	frame := AppendRTU(nil, 7, reply)
	for n := range frame {
		if _, _, status := RTUReplyAt(frame[:n]); status != Incomplete {
			t.Errorf("%d bytes: status %d, want incomplete", n, status)
		}
	}
	if f, n, status := RTUReplyAt(append(frame, 1, 2)); status != Complete || n != len(frame) || !bytes.Equal(f.PDU, reply) {
		t.Errorf("got %+v, %d, %d", f, n, status)
	}
	if f, _, ok := FindRTURequest(AppendRTU(nil, 7, unhex(t, "2b0e0100"))); !ok || !IsIdentityRequest(f.PDU) {
		t.Errorf("found %+v, %v", f, ok)
	}
}

func TestIdentityInParts(t *testing.T) {
	want := []Object{{0, strings.Repeat("a", 100)}, {1, strings.Repeat("b", 100)}, {2, strings.Repeat("c", 100)}, {4, "d"}}
	var got []Object
	from, more := byte(0), true
	for rounds := 0; more; rounds++ {
		request := IdentityRequest(true, from)
		reply := AppendIdentityReply(nil, request.AppendPDU(nil), append(slices.Clone(want), Object{5, strings.Repeat("e", 255)}))
		if len(reply) > MaxPDU || rounds > len(want) {
			t.Fatalf("%d bytes in round %d", len(reply), rounds)
		}
		data, err := request.ParseReply(reply)
		if err != nil {
			t.Fatal(err)
		}
		var objects []Object
		objects, from, more = Objects(data)
		got = append(got, objects...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestRepliesThatDoNotIdentify(t *testing.T) {
	for _, reply := range []string{"", "2b", "2b0d", "2b0e01010000", "2b0e0101000001", "2b0e01010000010003aabb", "2b0e0101000001000161ff", "030e010100000100", "2b0e01010000010000ff", "ab"} {
		if _, err := IdentityRequest(false, 0).ParseReply(unhex(t, reply)); !errors.Is(err, ErrPDU) {
			t.Errorf("%s: %v, want ErrPDU", reply, err)
		}
	}
	if _, err := IdentityRequest(false, 0).ParseReply(unhex(t, "ab01")); !errors.Is(err, IllegalFunction) {
		t.Errorf("refusal: %v", err)
	}
}

func FuzzIdentity(f *testing.F) {
	f.Add(AppendIdentityReply(nil, []byte{43, 14, 1, 0}, []Object{{0, "a"}, {2, "bc"}}))
	f.Add([]byte{43, 14, 1, 1, 0xFF, 3, 1, 0, 2, 'a', 'b'})
	f.Fuzz(func(t *testing.T, pdu []byte) {
		data, err := IdentityRequest(true, 0).ParseReply(pdu)
		if err != nil {
			return
		}
		objects, _, _ := Objects(data)
		if len(objects) != int(data[3]) {
			t.Fatalf("%d objects, want %d", len(objects), data[3])
		}
	})
}
