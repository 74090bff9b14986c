package main

import (
	"encoding/base64"
	"encoding/csv"
	"io"
	"strconv"

	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

var exportFormats = []string{"csv", "ndjson"}

// exporter writes readings in one format.
type exporter interface {
	head() error
	reading(buffer.Exported) error
	end() error
}

func newExporter(format, site string, w io.Writer) exporter {
	if format == "ndjson" {
		return &ndjsonExporter{site: site, w: w}
	}
	return &csvExporter{csv: csv.NewWriter(w)}
}

var csvHeader = []string{"time", "device", "tag", "value", "unit", "quality", "reason", "class", "epoch", "seq", "time_quality", "alarm"}

type csvExporter struct {
	csv *csv.Writer
	row []string
}

func (x *csvExporter) end() error {
	x.csv.Flush()
	return x.csv.Error()
}

func (x *csvExporter) head() error {
	x.row = append(x.row[:0], csvHeader...)
	return x.csv.Write(x.row)
}

// reading writes a message of a client on the site with its topic as the tag
// and its payload in base64 as the value.
func (x *csvExporter) reading(r buffer.Exported) error {
	device, tag := r.Reading.Tag.Device, r.Reading.Tag.Name
	value := r.Value.String()
	switch {
	case r.Value.Kind() == gateway.KindMessage:
		topic, payload := r.Value.Message()
		tag, value = topic, base64.StdEncoding.EncodeToString([]byte(payload))
	case r.Value.Kind() != gateway.KindText && value == "null":
		value = ""
	}
	at, timeQuality := exportedTime(r)
	x.row = append(x.row[:0], at, device, tag, value, r.Reading.Tag.Unit, r.Quality.String(), r.Reason.String(),
		r.Class.String(), r.Epoch.String(), strconv.FormatUint(uint64(r.Seq), 10), timeQuality, r.Alarm.String())
	return x.csv.Write(x.row)
}

// exportedTime returns the time, "" where nobody knows it, and its quality.
func exportedTime(r buffer.Exported) (at, quality string) {
	_, q := r.Stamp.Wall()
	if !r.Placed {
		return "", q.String()
	}
	return string(gateway.AppendTime(nil, r.Wall)), q.String()
}

type ndjsonExporter struct {
	site string
	w    io.Writer
	line []byte
}

func (x *ndjsonExporter) head() error { return nil }
func (x *ndjsonExporter) end() error  { return nil }

func (x *ndjsonExporter) reading(r buffer.Exported) (err error) {
	record := codec.Record{Site: x.site, Class: r.Class.String(), Epoch: r.Epoch.String(), Seq: uint64(r.Seq)}
	at, timeQuality := exportedTime(r)
	record.Time = at
	if timeQuality != gateway.Synced.String() {
		record.TimeQuality = timeQuality
	}
	if r.Value.Kind() == gateway.KindMessage {
		topic, payload := r.Value.Message()
		encoded := base64.StdEncoding.EncodeToString([]byte(payload))
		record.Topic, record.Payload = topic, &encoded
	} else {
		record.Device, record.Tag, record.Unit = r.Reading.Tag.Device, r.Reading.Tag.Name, r.Reading.Tag.Unit
		record.Value = r.Value.AppendJSON(nil)
		record.Quality, record.Reason, record.Alarm = r.Quality.String(), r.Reason.String(), r.Alarm.String()
	}
	if x.line, err = record.AppendLine(x.line[:0]); err != nil {
		return err
	}
	_, err = x.w.Write(x.line)
	return err
}
