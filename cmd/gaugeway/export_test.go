package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

func TestExportedValuesAreExact(t *testing.T) {
	tag := &gateway.Tag{Device: "separator", Name: "pressure", Unit: "bar", Scale: gateway.One}
	for want, v := range map[string]gateway.Value{
		"9007199254740993":      gateway.Int(9007199254740993),
		"18446744073709551615":  gateway.Uint(math.MaxUint64),
		"99.73":                 gateway.Int(9973).Scaled(gateway.NewDecimal(1, -2), gateway.Decimal{}),
		"0.1":                   gateway.Float32(0.1),
		"true":                  gateway.Bool(true),
		"a,\"b\"\r\nc; null":    gateway.Text("a,\"b\"\r\nc; null"),
		"null":                  gateway.Text("null"),
		"":                      {},
		"-0.000000000000000001": gateway.Number(gateway.NewDecimal(-1, -18)),
	} {
		r := buffer.Exported{Reading: gateway.Reading{Tag: tag, Value: v, Stamp: gateway.Stamp{At: 5}}, Epoch: 7, Seq: 9, Placed: true, Wall: 1_700_000_000_123}
		var text bytes.Buffer
		x := newExporter("csv", "", &text)
		if err := x.head(); err != nil {
			t.Fatal(err)
		}
		if err := x.reading(r); err != nil {
			t.Fatal(err)
		}
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		read := csv.NewReader(&text)
		rows, err := read.ReadAll()
		// encoding/csv reads \r\n within quotes as \n, see its documentation.
		if err != nil || len(rows) != 2 || rows[1][3] != strings.ReplaceAll(want, "\r\n", "\n") || rows[1][0] != "2023-11-14T22:13:20.123Z" || rows[1][9] != "9" {
			t.Errorf("%q: %q, %v", want, rows, err)
		}
		var line bytes.Buffer
		if err := newExporter("ndjson", "pad-7", &line).reading(r); err != nil {
			t.Fatal(err)
		}
		var record codec.Record
		if err := json.Unmarshal(line.Bytes(), &record); err != nil {
			t.Fatal(err)
		}
		if got := string(record.Value); got != string(v.AppendJSON(nil)) && v.Kind() != gateway.KindNone || record.Site != "pad-7" || record.Seq != 9 {
			t.Errorf("%q: %s", want, line.String())
		}
	}
}

func TestExportedMessagesKeepTopicAndPayload(t *testing.T) {
	r := buffer.Exported{Reading: gateway.Reading{Tag: gateway.Foreign, Value: gateway.Message("hmi/esd", []byte{0, 1, 255})}, Seq: 1}
	for format, want := range map[string]string{"csv": ",,hmi/esd,AAH/,,good,", "ndjson": `"topic":"hmi/esd","time_quality":"estimated","payload":"AAH/"`} {
		var text bytes.Buffer
		x := newExporter(format, "pad-7", &text)
		if err := errors.Join(x.reading(r), x.end()); err != nil || !strings.Contains(text.String(), want) {
			t.Errorf("%s: %s, %v", format, text.String(), err)
		}
	}
}
