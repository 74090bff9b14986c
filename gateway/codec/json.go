// Package codec turns batches into the messages that cross the uplink, and
// back into records. FORMAT.md beside it is the description for those who write
// a receiver of their own.
package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/gaugeway/gaugeway/gateway"
)

// jsonVersion is the "v" of the JSON layout "records".
const jsonVersion = 1

// JSON encodes batches in the layout "records". It keeps its buffer between
// calls, so one goroutine may use it at a time.
type JSON struct {
	Site string
	buf  []byte
}

// Encode returns the message for b; it is valid until the next call.
func (j *JSON) Encode(b gateway.Batch) []byte {
	out := j.buf[:0]
	out = append(out, `{"v":`...)
	out = strconv.AppendInt(out, jsonVersion, 10)
	out = append(out, `,"site":`...)
	out = gateway.AppendJSONString(out, j.Site)
	out = append(out, `,"epoch":"`...)
	out = append(out, b.Epoch.String()...)
	out = append(out, `","class":"`...)
	out = append(out, b.Class.String()...)
	out = append(out, `","first_seq":`...)
	out = strconv.AppendUint(out, uint64(b.First), 10)
	out = append(out, `,"readings":[`...)
	for i, r := range b.Readings {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendReading(out, r)
	}
	out = append(out, ']')
	if len(b.Gaps) > 0 {
		out = append(out, `,"gaps":[`...)
		for i, g := range b.Gaps {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendGap(out, g)
		}
		out = append(out, ']')
	}
	j.buf = append(out, '}')
	return j.buf
}

func appendReading(b []byte, r gateway.Reading) []byte {
	if r.Tag == gateway.Foreign {
		return appendMessage(b, r)
	}
	b = append(b, `{"device":`...)
	b = gateway.AppendJSONString(b, r.Tag.Device)
	b = append(b, `,"tag":`...)
	b = gateway.AppendJSONString(b, r.Tag.Name)
	b = appendStamp(b, r.Stamp)
	b = append(b, `,"value":`...)
	b = r.Value.AppendJSON(b)
	if r.Tag.Unit != "" {
		b = append(b, `,"unit":`...)
		b = gateway.AppendJSONString(b, r.Tag.Unit)
	}
	b = append(b, `,"quality":"`...)
	b = append(b, r.Quality.String()...)
	b = append(b, '"')
	if r.Reason != gateway.NoReason {
		b = append(b, `,"reason":"`...)
		b = append(b, r.Reason.String()...)
		b = append(b, '"')
	}
	if r.Alarm != gateway.NoAlarm {
		b = append(b, `,"alarm":"`...)
		b = append(b, r.Alarm.String()...)
		b = append(b, '"')
	}
	return append(b, '}')
}

func appendMessage(b []byte, r gateway.Reading) []byte {
	topic, payload := r.Value.Message()
	b = append(b, `{"topic":`...)
	b = gateway.AppendJSONString(b, topic)
	b = appendStamp(b, r.Stamp)
	b = append(b, `,"payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, []byte(payload))
	return append(b, `"}`...)
}

// appendStamp writes the time, and its quality where that is not "synced".
func appendStamp(b []byte, s gateway.Stamp) []byte {
	wall, quality := s.Wall()
	b = append(b, `,"time":"`...)
	b = gateway.AppendTime(b, wall)
	b = append(b, '"')
	if quality != gateway.Synced {
		b = append(b, `,"time_quality":"`...)
		b = append(b, quality.String()...)
		b = append(b, '"')
	}
	return b
}

func appendGap(b []byte, g gateway.Gap) []byte {
	b = fmt.Appendf(b, `{"class":"%s","from_seq":%d,"to_seq":%d`, g.Class, g.From, g.To)
	for _, end := range []struct {
		key   string
		stamp gateway.Stamp
	}{{"from", g.First}, {"to", g.Last}} {
		if end.stamp.Boot == nil {
			continue
		}
		wall, _ := end.stamp.Wall()
		b = fmt.Appendf(b, `,"%s":"`, end.key)
		b = append(gateway.AppendTime(b, wall), '"')
	}
	b = fmt.Appendf(b, `,"count":%d,"reason":`, g.Count)
	return append(gateway.AppendJSONString(b, g.Reason), '}')
}

// Record is one line of what a receiver writes: a reading, a message of a
// client on the site, or a gap. Value is JSON as it was sent, so no digit is lost.
type Record struct {
	Site        string          `json:"site"`
	Device      string          `json:"device,omitempty"`
	Tag         string          `json:"tag,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Time        string          `json:"time,omitempty"`
	TimeQuality string          `json:"time_quality,omitempty"`
	Value       json.RawMessage `json:"value,omitempty"`
	Unit        string          `json:"unit,omitempty"`
	Quality     string          `json:"quality,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	Alarm       string          `json:"alarm,omitempty"`   // of class alarm: what the tag's alarm became
	Payload     *string         `json:"payload,omitempty"` // base64
	Gap         *Gap            `json:"gap,omitempty"`
	Class       string          `json:"class,omitempty"`
	Epoch       string          `json:"epoch"`
	Seq         uint64          `json:"seq,omitempty"`
	Input       *int            `json:"input,omitempty"` // index of the input line it came from, where that is asked for
}

// Gap is a gap record as it is sent and written.
type Gap struct {
	Class   string `json:"class"`
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	From    string `json:"from,omitempty"`
	To      string `json:"to,omitempty"`
	Count   int    `json:"count"`
	Reason  string `json:"reason"`
}

type message struct {
	V        int      `json:"v"`
	Site     string   `json:"site"`
	Epoch    string   `json:"epoch"`
	Class    string   `json:"class"`
	FirstSeq uint64   `json:"first_seq"`
	Readings []Record `json:"readings"`
	Gaps     []Gap    `json:"gaps"`
}

// ErrNotABatch is returned for a payload that is no batch of a known format.
var ErrNotABatch = errors.New("payload is no batch that this version can read")

// Decode returns the records of one message: its gaps and readings, in the
// order of their seqs. Nothing of payload is kept.
func Decode(payload []byte) ([]Record, error) {
	if len(payload) == 0 || payload[0] != '{' {
		return nil, ErrNotABatch
	}
	var m message
	if err := json.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotABatch, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotABatch, err)
	}
	records := make([]Record, 0, len(m.Gaps)+len(m.Readings))
	gaps := m.Gaps
	for len(gaps) > 0 && (len(m.Readings) == 0 || gaps[0].FromSeq < m.FirstSeq) {
		records = append(records, Record{Site: m.Site, Gap: &gaps[0], Epoch: m.Epoch})
		gaps = gaps[1:]
	}
	for i, r := range m.Readings {
		r.Site, r.Epoch, r.Class, r.Seq = m.Site, m.Epoch, m.Class, m.FirstSeq+uint64(i)
		records = append(records, r)
	}
	for i := range gaps {
		records = append(records, Record{Site: m.Site, Gap: &gaps[i], Epoch: m.Epoch})
	}
	return records, nil
}

func (m *message) check() error {
	if m.V != jsonVersion {
		return fmt.Errorf(`"v" is %d, this version reads %d`, m.V, jsonVersion)
	}
	if err := gateway.ValidName(m.Site); err != nil {
		return fmt.Errorf("site: %w", err)
	}
	if _, err := gateway.ParseEpoch(m.Epoch); err != nil {
		return err
	}
	if _, err := gateway.ParseClass(m.Class); err != nil {
		return err
	}
	if len(m.Readings) > 0 && m.FirstSeq == 0 || m.FirstSeq+uint64(len(m.Readings)) < m.FirstSeq {
		return fmt.Errorf("first_seq is %d; seqs begin at 1", m.FirstSeq)
	}
	for _, g := range m.Gaps {
		if g.FromSeq == 0 || g.FromSeq > g.ToSeq || g.Class != m.Class {
			return fmt.Errorf("gap %d to %d of class %q makes no sense in class %q", g.FromSeq, g.ToSeq, g.Class, m.Class)
		}
	}
	for i, r := range m.Readings {
		if (r.Topic == "") == (r.Device == "" || r.Tag == "") || r.Gap != nil {
			return fmt.Errorf("reading %d is neither of a tag nor of a topic", i)
		}
	}
	return nil
}

// AppendLine appends r as one line of JSON with its newline.
func (r Record) AppendLine(b []byte) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return b, err
	}
	return append(b, line.Bytes()...), nil
}
