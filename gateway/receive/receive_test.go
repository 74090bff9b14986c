package receive

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

// batch is a message with the readings from..to.
func batch(from, to gateway.Seq, gaps ...gateway.Gap) []byte {
	tag := &gateway.Tag{Device: "d", Name: "t"}
	b := gateway.Batch{Epoch: 1, Class: gateway.Normal, First: from, Gaps: gaps}
	for seq := from; seq <= to; seq++ {
		b.Readings = append(b.Readings, gateway.Reading{Tag: tag, Value: gateway.Int(int64(seq)), Class: gateway.Normal})
	}
	j := codec.JSON{Site: "s"}
	return j.Encode(b)
}

func records(t *testing.T, payload []byte) []codec.Record {
	t.Helper()
	rs, err := codec.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func seqs(rs []codec.Record) string {
	var b strings.Builder
	for _, r := range rs {
		if r.Gap != nil {
			fmt.Fprintf(&b, "gap%d-%d ", r.Gap.FromSeq, r.Gap.ToSeq)
		} else {
			fmt.Fprintf(&b, "%d ", r.Seq)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestSeenDropsByReadingNotByMessage(t *testing.T) {
	seen := make(Seen)
	gap := gateway.Gap{Class: gateway.Normal, From: 10, To: 12, Count: 3}
	for _, step := range []struct {
		payload []byte
		want    string
	}{
		{batch(1, 3), "1 2 3"},
		{batch(1, 3), ""},
		{batch(2, 6), "4 5 6"}, // sent again in larger batches
		{batch(8, 9), "8 9"},
		{batch(1, 9), "7"},
		{batch(13, 13, gap), "gap10-12 13"},
		{batch(13, 14, gap), "14"},
		{batch(11, 11), "11"}, // a delivery beats a gap
		{batch(11, 11), ""},
	} {
		if got := seqs(seen.New(records(t, step.payload))); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	other := records(t, bytes.Replace(batch(1, 1), []byte("0000000000000001"), []byte("0000000000000002"), 1))
	if got := seqs(seen.New(other)); got != "1" {
		t.Errorf("another epoch was dropped: %q", got)
	}
}

// TestFileIsWrittenOnceWhateverFails kills the receiver after every step of a
// write: the file must hold each record once after the server sent again.
func TestFileIsWrittenOnceWhateverFails(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "out.ndjson"), filepath.Join(dir, "state.json")
	write := func(payload []byte) {
		t.Helper()
		o, err := NewFile(file, state)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if err := o.Write(records(t, payload)); err != nil {
			t.Fatal(err)
		}
	}
	write(batch(1, 2))
	old, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	write(batch(3, 4))
	if err := os.WriteFile(state, old, 0o600); err != nil { // died between the file and the state
		t.Fatal(err)
	}
	write(batch(3, 4))
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0) // died in the middle of a line
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"site":"s","dev`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	write(batch(2, 5))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), text)
	}
	for i, line := range lines {
		if !strings.Contains(line, fmt.Sprintf(`"value":%d,`, i+1)) {
			t.Errorf("line %d is %s", i, line)
		}
	}
	if err := os.Truncate(file, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFile(file, state); err == nil {
		t.Error("a state of another file was taken")
	}
}

func TestDecode(t *testing.T) {
	line := func(payload []byte) string {
		return "gaugeway/s/data\t" + base64.StdEncoding.EncodeToString(payload) + "\n"
	}
	in := line(batch(1, 1)) + "no tab\n" + "t\t!!\n" + "\n" + line([]byte("{}")) + strings.TrimSpace(line(batch(1, 1)))
	var out bytes.Buffer
	var complaints []int
	bad, err := Decode(strings.NewReader(in), &out, true, func(line int, err error) { complaints = append(complaints, line) })
	if err != nil || bad != 3 || fmt.Sprint(complaints) != "[1 2 4]" {
		t.Errorf("bad %d at %v, %v", bad, complaints, err)
	}
	got := out.String()
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, `"seq":1,"input":0}`) || !strings.Contains(got, `"seq":1,"input":5}`) {
		t.Errorf("got %s", got)
	}
}
