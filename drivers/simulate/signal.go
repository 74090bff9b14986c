package simulate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Signal is what an instrument measures, at a time since the instruments were
// made. ok is false while it has no value.
type Signal func(at time.Duration) (value float64, ok bool)

// Constant is a signal that never changes.
func Constant(value float64) Signal {
	return func(time.Duration) (float64, bool) { return value, true }
}

// Wave is a slow wave, rounded to a thousandth, as of a pressure.
func Wave(mean, amplitude float64, period time.Duration) Signal {
	return func(at time.Duration) (float64, bool) {
		v := mean + amplitude*math.Sin(2*math.Pi*at.Seconds()/period.Seconds())
		return math.Round(v*1000) / 1000, true
	}
}

// Count grows by one each step, without noise, so that a missing or a doubled
// reading can be seen.
func Count(step time.Duration) Signal {
	return func(at time.Duration) (float64, bool) { return float64(at / step), true }
}

// History is a recorded signal for each of its tags.
type History struct {
	tags map[string]*recorded
	span time.Duration
}

type recorded struct {
	at     []time.Duration // since the first of all
	values []float64       // NaN where there was none
}

// ReadHistory reads a CSV with the header timestamp,tag,value: unix seconds, the
// name of the tag, and a number or nothing where the sensor had none.
func ReadHistory(file string) (*History, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	defer f.Close()
	h, err := parseHistory(f)
	if err != nil {
		return nil, fmt.Errorf("history %s: %w", file, err)
	}
	return h, nil
}

func parseHistory(in io.Reader) (*History, error) {
	rows := csv.NewReader(in)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil || !slices.Equal(head, []string{"timestamp", "tag", "value"}) {
		return nil, errors.New("the first line is not timestamp,tag,value")
	}
	h := &History{tags: make(map[string]*recorded)}
	first := math.NaN()
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		at, err := strconv.ParseFloat(row[0], 64)
		if err != nil || math.IsNaN(at) || math.IsInf(at, 0) {
			return nil, fmt.Errorf("%q is not a time in unix seconds", row[0])
		}
		if math.IsNaN(first) {
			first = at
		}
		if err := h.add(row[1], time.Duration((at-first)*float64(time.Second)), row[2]); err != nil {
			return nil, err
		}
	}
	if len(h.tags) == 0 {
		return nil, errors.New("there is no value in it")
	}
	return h, nil
}

func (h *History) add(tag string, at time.Duration, text string) error {
	value := math.NaN()
	if text != "" {
		var err error
		if value, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("%q of %s is not a number", text, tag)
		}
	}
	r := h.tags[tag]
	if r == nil {
		r = &recorded{}
		h.tags[tag] = r
	}
	if n := len(r.at); at < 0 || n > 0 && at < r.at[n-1] {
		return fmt.Errorf("the times of %s go back", tag)
	}
	r.at, r.values = append(r.at, at), append(r.values, value)
	h.span = max(h.span, at)
	return nil
}

// Tags returns the names of the tags, in order.
func (h *History) Tags() []string {
	var names []string
	for name := range h.tags {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Signal plays a tag, so many times as fast as it was recorded, and from the
// start again after the end.
func (h *History) Signal(tag string, speed float64) (Signal, error) {
	r := h.tags[tag]
	if r == nil {
		return nil, fmt.Errorf("the history has no tag %s", gateway.Unknown(tag, "a tag of it", h.Tags()))
	}
	span := h.span + time.Second
	return func(at time.Duration) (float64, bool) {
		v := r.value(time.Duration(float64(at)*speed) % span)
		return v, !math.IsNaN(v)
	}, nil
}

// value is the last that was recorded by then.
func (r *recorded) value(at time.Duration) float64 {
	i, found := slices.BinarySearch(r.at, at)
	if !found {
		i--
	}
	if i < 0 {
		return math.NaN()
	}
	return r.values[i]
}
