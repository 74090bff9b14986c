package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gaugeway/gaugeway/broker"
	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// A setpoint that waits longer than this behind others, or for its line, is
	// not what the person wants any more.
	writeTimeout  = 15 * time.Second
	waitingWrites = 32
)

// written takes what a client on site wants written; it never blocks.
func (g *instance) written(w broker.Write) {
	line, err := g.lineOf(w)
	if err != nil {
		g.told(w, gateway.Answer{}, err)
		return
	}
	select {
	case g.writes[line] <- w:
	default:
		g.told(w, gateway.Answer{}, errors.New("too many writes wait already"))
	}
}

// lineOf returns the line of a write that may be tried.
func (g *instance) lineOf(w broker.Write) (string, error) {
	switch {
	case w.User == "":
		return "", errors.New("only a named user may write; see [broker.user]")
	case w.Tag == nil:
		return "", errors.New("the gateway has no tag of this topic")
	case w.Again:
		return "", errors.New("the message came again after its client lost its connection, so it may be written already; look, and send it anew")
	}
	return g.config.Devices[w.Tag.Device].Line, nil
}

// doWrites does the writes of clients on site to one line, one after the other in
// the order they came, until ctx ends.
func (g *instance) doWrites(ctx context.Context, line string) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w := <-g.writes[line]:
			answer, err := g.write(ctx, g.drivers[line], w)
			g.told(w, answer, err)
		}
	}
}

func (g *instance) write(ctx context.Context, d drivers.Driver, w broker.Write) (gateway.Answer, error) {
	v, err := parseWrite(w.Payload)
	if err != nil {
		return gateway.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return d.Write(ctx, w.Tag.Device, w.Tag.Name, v)
}

// driverOf returns who reads a device.
func (g *instance) driverOf(device string) (drivers.Driver, error) {
	dev, ok := g.config.Devices[device]
	if !ok {
		return nil, fmt.Errorf("%s; the devices are in the configuration", gateway.Unknown(device, "a device", sortedKeys(g.config.Devices)))
	}
	return g.drivers[dev.Line], nil
}

// parseWrite reads what is to be written: 12.5, true, "text", or {"value":12.5}.
func parseWrite(payload string) (gateway.Value, error) {
	text := strings.TrimSpace(payload)
	var object struct {
		Value json.RawMessage `json:"value"`
	}
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &object) == nil {
		text = string(object.Value)
	}
	switch text {
	case "true":
		return gateway.Bool(true), nil
	case "false":
		return gateway.Bool(false), nil
	}
	if d, err := gateway.ParseDecimal(text); err == nil {
		return gateway.Number(d), nil
	}
	var quoted string
	if json.Unmarshal([]byte(text), &quoted) == nil && text != "null" {
		return gateway.Text(quoted), nil
	}
	return gateway.Value{}, fmt.Errorf(`%.40q is no value; write 12.5, true, "text" or {"value":12.5}`, payload)
}

// writeResult is what stands on …/set/result.
type writeResult struct {
	OK    bool            `json:"ok"`
	Asked string          `json:"asked"`
	By    string          `json:"by"`
	Value json.RawMessage `json:"value,omitempty"` // as it was read back
	Error string          `json:"error,omitempty"`
}

// told logs what became of a write and who asked, and tells it on site.
func (g *instance) told(w broker.Write, answer gateway.Answer, err error) {
	by := w.User
	if by == "" {
		by = "anonymous"
	}
	by += " as " + w.Client
	result := writeResult{OK: err == nil, Asked: w.Payload, By: by}
	if !answer.Reading.Value.IsNone() {
		result.Value = answer.Reading.Value.AppendJSON(nil)
	}
	if err != nil {
		result.Error = err.Error()
		g.log.Warn("write failed", "topic", w.Topic, "asked", w.Payload, "by", by, "reason", err.Error())
	} else {
		g.log.Info("written", "topic", w.Topic, "asked", w.Payload, "by", by, "value", answer.Reading.Value.String())
	}
	text, err := json.Marshal(result)
	if err == nil {
		g.broker.Publish(w.Topic+"/set/result", text, false)
	}
}
