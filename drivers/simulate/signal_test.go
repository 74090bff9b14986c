package simulate

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

const recording = "timestamp,tag,value\n100,P,1.5\n100,T,20\n102,P,\n103,P,2.5\n"

func TestHistory(t *testing.T) {
	h, err := parseHistory(strings.NewReader(recording))
	if err != nil {
		t.Fatal(err)
	}
	p, err := h.Signal("P", 2)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for at := time.Duration(0); at <= 4*time.Second; at += 500 * time.Millisecond {
		v, ok := p(at)
		got = append(got, fmt.Sprintf("%v %v", v, ok))
	}
	const want = "1.5 true, 1.5 true, NaN false, 2.5 true, 1.5 true, 1.5 true, NaN false, 2.5 true, 1.5 true"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("twice as fast it plays\n%s, want\n%s", s, want)
	}
	if _, err := h.Signal("Q", 1); err == nil || !strings.Contains(err.Error(), `"Q"`) {
		t.Error(err)
	}
	for _, bad := range []string{"", "time,tag,value\n", "timestamp,tag,value\n", "timestamp,tag,value\nx,P,1\n", "timestamp,tag,value\n1,P,x\n", "timestamp,tag,value\n2,P,1\n1,P,1\n", "timestamp,tag,value\n1,P\n"} {
		if _, err := parseHistory(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a history", bad)
		}
	}
}

// TestRealHistories reads the recordings of real wells, where they are.
func TestRealHistories(t *testing.T) {
	dir := os.Getenv("GAUGEWAY_HISTORIES")
	if dir == "" && os.Getenv("CI") != "" {
		t.Fatal("GAUGEWAY_HISTORIES names no folder of real recordings")
	}
	if dir == "" {
		t.Skip("GAUGEWAY_HISTORIES names no folder of real recordings; everything else is tested with the one above")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories in %s: %v", dir, err)
	}
	for _, file := range files {
		h, err := ReadHistory(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, tag := range h.Tags() {
			s, err := h.Signal(tag, 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := s(0); !ok && len(h.tags[tag].at) == 0 {
				t.Errorf("%s: %s has no value", file, tag)
			}
		}
	}
}

func TestPlayShowsValuesAsTheyLieInRegisters(t *testing.T) {
	in := NewInstruments()
	float, _ := wire.TypeOf("float32")
	int16Type, _ := wire.TypeOf("int16")
	boolType, _ := wire.TypeOf("bool")
	text, _ := wire.TypeOf("string")
	holding := wire.ReadHoldingRegisters
	in.Unit(1).Play([]Part{
		{Table: holding, Address: 0, Layout: wire.Layout{Type: float, Order: "CDAB"}, Scale: 1, Signal: Constant(12.5)},
		{Table: holding, Address: 4, Layout: wire.Layout{Type: int16Type, Order: "AB"}, Scale: 0.1, Offset: -40, Signal: Constant(21.54)},
		{Table: holding, Address: 5, Layout: wire.Layout{Type: boolType, Order: "AB", Bit: 3}, Scale: 1, Signal: Constant(1)},
		{Table: holding, Address: 5, Layout: wire.Layout{Type: boolType, Order: "AB", Bit: 0}, Scale: 1, Signal: Constant(1)},
		{Table: holding, Address: 6, Layout: wire.Layout{Type: text, Order: "AB", Length: 1}, Text: "Hi"},
		{Table: holding, Address: 7, Layout: wire.Layout{Type: int16Type, Order: "AB"}, Scale: 1, None: 0x8000, Signal: func(time.Duration) (float64, bool) { return 0, false }},
		{Table: wire.ReadCoils, Address: 2, Layout: wire.Layout{Type: boolType, Order: "AB"}, Signal: Constant(1)},
	})
	for _, c := range []struct {
		r    wire.Request
		want string
	}{
		{wire.Request{Function: holding, Address: 0, Count: 8}, "0000 4148 0000 0000 0267 0009 4869 8000"},
		{wire.Request{Function: wire.ReadCoils, Address: 2, Count: 1}, "01"},
	} {
		pdu, _, ok := in.answer(1, c.r.AppendPDU(nil))
		if !ok || len(pdu) < 3 {
			t.Fatalf("no answer: %x", pdu)
		}
		if got := fmt.Sprintf("%x", pdu[2:]); got != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%v is %s, want %s", c.r, got, c.want)
		}
	}
}

func TestScriptAnswersWhatIsWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInstruments()
		in.Script([]byte("P\r"), []byte("=1.5\r\n"))
		in.Script([]byte("*P\r"), []byte("=2.5\r\n"))
		near, far := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- in.serveScript(context.Background(), far, pacing{}) }()
		read := func() string {
			b := make([]byte, 64)
			n, err := near.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:n])
		}
		for _, c := range [][2]string{{"P\r", "=1.5\r\n"}, {"noise*P\r", "=2.5\r\n"}} {
			if _, err := near.Write([]byte(c[0])); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != c[1] {
				t.Errorf("%q is answered with %q", c[0], got)
			}
		}
		in.Script(nil, []byte("$1\r\n"))
		if got := read(); got != "$1\r\n" {
			t.Errorf("says %q by itself", got)
		}
		near.Close()
		<-ended
	})
}
