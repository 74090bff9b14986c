package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/status"
)

// handler answers on the control socket.
func (g *instance) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { status.Reply(w, g.snapshot(), nil) })
	mux.HandleFunc("POST /read", func(w http.ResponseWriter, r *http.Request) {
		var q readQuestion
		if decode(w, r, &q) {
			answers, err := g.readNow(r.Context(), q)
			status.Reply(w, answers, err)
		}
	})
	mux.HandleFunc("POST /read-there", func(w http.ResponseWriter, r *http.Request) {
		var q thereQuestion
		if decode(w, r, &q) {
			answers, err := g.readThere(r.Context(), q)
			status.Reply(w, answers, err)
		}
	})
	mux.HandleFunc("POST /hold", func(w http.ResponseWriter, r *http.Request) {
		var q holdQuestion
		if decode(w, r, &q) {
			status.Reply(w, struct{}{}, g.hold(r.Context(), q))
		}
	})
	mux.HandleFunc("GET /trace", g.trace)
	mux.HandleFunc("POST /scan", g.scan)
	mux.HandleFunc("GET /buffer/stats", g.bufferStats)
	mux.HandleFunc("POST /buffer/verify", g.bufferVerify)
	mux.HandleFunc("POST /buffer/export", g.bufferExport)
	return mux
}

// decode reads the question of a request, and answers one that cannot be read.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(into)
	if err != nil {
		status.Reply(w, nil, fmt.Errorf("the request cannot be read: %w", err))
	}
	return err == nil
}

// holdQuestion asks that a device be held.
type holdQuestion struct {
	Device  string  `json:"device"`
	Seconds float64 `json:"seconds"` // 0 lets go of it
}

func (g *instance) hold(ctx context.Context, q holdQuestion) error {
	if _, err := g.driverOf(q.Device); err != nil {
		return err
	}
	length := time.Duration(q.Seconds * float64(time.Second))
	if length < 0 || length > longestHold {
		return fmt.Errorf("a device can be held for at most %s", longestHold)
	}
	g.holds.Hold(q.Device, time.Now().Add(length))
	g.log.Info("device held", "device", q.Device, "for", length, "by", status.Peer(ctx))
	return g.saveHolds()
}

// readQuestion asks for one read, outside the intervals.
type readQuestion struct {
	Device string `json:"device"`
	Tag    string `json:"tag,omitempty"` // "" for all
}

// readAnswer is one value that was read for a person.
type readAnswer struct {
	Device  string          `json:"device"`
	Tag     string          `json:"tag"`
	Value   json.RawMessage `json:"value"`
	Unit    string          `json:"unit,omitempty"`
	Quality string          `json:"quality"`
	Reason  string          `json:"reason,omitempty"`
	Request string          `json:"request,omitempty"` // hexadecimal
	Reply   string          `json:"reply,omitempty"`
	Millis  float64         `json:"took_ms"`
}

func newReadAnswer(a gateway.Answer) readAnswer {
	r := a.Reading
	return readAnswer{
		Device: r.Tag.Device, Tag: r.Tag.Name, Value: r.Value.AppendJSON(nil), Unit: r.Tag.Unit,
		Quality: r.Quality.String(), Reason: r.Reason.String(),
		Request: hex.EncodeToString(a.Request), Reply: hex.EncodeToString(a.Reply), Millis: float64(a.Took.Microseconds()) / 1000,
	}
}

func (g *instance) readNow(ctx context.Context, q readQuestion) ([]readAnswer, error) {
	d, err := g.driverOf(q.Device)
	if err != nil {
		return nil, err
	}
	answers, err := d.Read(ctx, q.Device, q.Tag)
	if err != nil {
		return nil, err
	}
	out := make([]readAnswer, len(answers))
	for i, a := range answers {
		out[i] = newReadAnswer(a)
	}
	return out, nil
}

// traceLine is one frame of a trace.
type traceLine struct {
	Time  time.Time `json:"time"`
	Sent  bool      `json:"sent"`
	Bytes string    `json:"bytes"` // hexadecimal
	Text  string    `json:"text"`
}

// waitingFrames bounds what a slow looker may miss: a trace never slows a line.
const waitingFrames = 256

// trace streams the frames of a line, one JSON object a line, until the asker goes.
func (g *instance) trace(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("line")
	d, ok := g.drivers[name]
	if !ok {
		status.Reply(w, nil, fmt.Errorf("%s", gateway.Unknown(name, "a line", sortedKeys(g.drivers))))
		return
	}
	frames := make(chan traceLine, waitingFrames)
	stop := d.Trace(func(f gateway.Frame) {
		select {
		case frames <- traceLine{f.At.UTC(), f.Sent, hex.EncodeToString(f.Bytes), f.Text}:
		default:
		}
	})
	defer stop()
	g.log.Info("trace begins", "line", name, "by", status.Peer(r.Context()))
	defer g.log.Info("trace ends", "line", name)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	for {
		if flush.Flush() != nil {
			return
		}
		select {
		case f := <-frames:
			if out.Encode(f) != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
