package codec

import (
	"math"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/gateway"
)

func testBatch() gateway.Batch {
	boot := gateway.NewBoot("b")
	boot.SetOffset(gateway.Offset{Milli: 1_795_388_400_000, Trusted: true})
	pressure := &gateway.Tag{Device: "separator", Name: "pressure", Type: "float32", Unit: "bar", Scale: gateway.One}
	count := &gateway.Tag{Device: "separator", Name: "count", Type: "uint64", Scale: gateway.One}
	at := func(ms int64) gateway.Stamp { return gateway.Stamp{Boot: boot, At: ms} }
	return gateway.Batch{
		Epoch: 0x5f1c, Class: gateway.Normal, First: 4711,
		Gaps: []gateway.Gap{{Class: gateway.Normal, From: 4701, To: 4710, Count: 10, First: at(0), Last: at(100), Reason: "buffer full"}},
		Readings: []gateway.Reading{
			{Tag: pressure, Stamp: at(123), Value: gateway.Float32(12.34), Class: gateway.Normal},
			{Tag: count, Stamp: at(123), Value: gateway.Uint(math.MaxUint64), Class: gateway.Normal},
			{Tag: pressure, Stamp: at(1123), Quality: gateway.Bad, Reason: gateway.Timeout, Class: gateway.Normal},
			{Tag: gateway.Foreign, Stamp: at(1200), Value: gateway.Message("hmi/alarms/esd", []byte{0, 0xff, '"'}), Class: gateway.Normal},
			{Tag: gateway.Foreign, Stamp: at(1201), Value: gateway.Message("hmi/empty", nil), Class: gateway.Normal},
		},
	}
}

func TestEncodeDecode(t *testing.T) {
	j := JSON{Site: "pad-7"}
	records, err := Decode(j.Encode(testBatch()))
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for _, r := range records {
		if got, err = r.AppendLine(got); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"site":"pad-7","gap":{"class":"normal","from_seq":4701,"to_seq":4710,"from":"2026-11-22T23:00:00.000Z","to":"2026-11-22T23:00:00.100Z","count":10,"reason":"buffer full"},"epoch":"0000000000005f1c"}
{"site":"pad-7","device":"separator","tag":"pressure","time":"2026-11-22T23:00:00.123Z","value":12.34,"unit":"bar","quality":"good","class":"normal","epoch":"0000000000005f1c","seq":4711}
{"site":"pad-7","device":"separator","tag":"count","time":"2026-11-22T23:00:00.123Z","value":18446744073709551615,"quality":"good","class":"normal","epoch":"0000000000005f1c","seq":4712}
{"site":"pad-7","device":"separator","tag":"pressure","time":"2026-11-22T23:00:01.123Z","value":null,"unit":"bar","quality":"bad","reason":"timeout","class":"normal","epoch":"0000000000005f1c","seq":4713}
{"site":"pad-7","topic":"hmi/alarms/esd","time":"2026-11-22T23:00:01.200Z","payload":"AP8i","class":"normal","epoch":"0000000000005f1c","seq":4714}
{"site":"pad-7","topic":"hmi/empty","time":"2026-11-22T23:00:01.201Z","payload":"","class":"normal","epoch":"0000000000005f1c","seq":4715}
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestUntrustedTimeSaysSo(t *testing.T) {
	b := testBatch()
	boot := gateway.NewBoot("b")
	boot.SetOffset(gateway.Offset{Milli: 1_795_388_400_000})
	b.Readings[0].Stamp.Boot = boot
	j := JSON{Site: "pad-7"}
	if got := string(j.Encode(b)); !strings.Contains(got, `"time_quality":"estimated"`) {
		t.Errorf("no time_quality in %s", got)
	}
	boot.SetOffset(gateway.Offset{Milli: 1_795_388_400_000, Trusted: true, SyncedAt: 5000})
	if got := string(j.Encode(b)); !strings.Contains(got, `"time_quality":"corrected"`) {
		t.Errorf("no time_quality in %s", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const head = `"site":"s","epoch":"0000000000000001","class":"normal"`
	for _, payload := range []string{
		"", "x", "{}", `{"v":2,` + head + `}`,
		`{"v":1,"site":"a/b","epoch":"0000000000000001","class":"normal"}`,
		`{"v":1,"site":"s","epoch":"1","class":"normal"}`,
		`{"v":1,"site":"s","epoch":"0000000000000001","class":"urgent"}`,
		`{"v":1,` + head + `,"first_seq":0,"readings":[{"device":"d","tag":"t","value":1}]}`,
		`{"v":1,` + head + `,"first_seq":18446744073709551615,"readings":[{"device":"d","tag":"t","value":1}]}`,
		`{"v":1,` + head + `,"first_seq":1,"readings":[{"device":"d","value":1}]}`,
		`{"v":1,` + head + `,"gaps":[{"class":"normal","from_seq":5,"to_seq":4}]}`,
		`{"v":1,` + head + `,"gaps":[{"class":"bulk","from_seq":4,"to_seq":4}]}`,
	} {
		if records, err := Decode([]byte(payload)); err == nil {
			t.Errorf("%s decodes to %v", payload, records)
		}
	}
}

func FuzzDecode(f *testing.F) {
	j := JSON{Site: "pad-7"}
	f.Add(j.Encode(testBatch()))
	f.Add([]byte(`{"v":1,"site":"s","epoch":"0000000000000001","class":"bulk","first_seq":1,"readings":[{"topic":"t","payload":""}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		records, err := Decode(payload)
		if err != nil {
			return
		}
		for _, r := range records {
			if _, err := r.AppendLine(nil); err != nil {
				t.Errorf("record does not print: %v", err)
			}
		}
	})
}
