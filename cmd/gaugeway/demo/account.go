package demo

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
	"github.com/gaugeway/gaugeway/gateway/receive"
)

// key tells readings apart without trusting the gateway's own numbering.
type key struct{ device, tag, time string }

// account is what a suspicious person keeps: every reading seen on site, every
// arrival at the server, and what the instruments really had.
type account struct {
	mu        sync.Mutex
	site      map[key]bool
	server    map[key]int
	seen      receive.Seen
	streams   map[receive.Stream]gateway.Seq // the highest seq that arrived
	arrivals  int
	doubled   int // arrivals that were dropped by identity
	conflicts int // one reading under two identities
	gaps      int // readings told as given up
	bad       int // arrived with bad quality
	good      int
	wrong     []string
	jsonBytes int // what one JSON message per reading would have cost
	truth     *truth
	latest    map[[2]string]shown // by device and tag
	until     time.Time           // readings made after this are not counted
}

// shown is a reading as it stands on the on-box broker.
type shown struct{ Time, Value, Unit, Quality, Reason string }

func newAccount(t *truth) *account {
	return &account{
		site: make(map[key]bool), server: make(map[key]int), seen: make(receive.Seen),
		streams: make(map[receive.Stream]gateway.Seq), truth: t,
		latest: make(map[[2]string]shown),
	}
}

// onSite notes what the on-box broker published.
func (a *account) onSite(topic string, payload []byte) {
	levels := strings.Split(topic, "/")
	if len(levels) != 3 || strings.HasPrefix(levels[2], "_") {
		return
	}
	var p struct {
		Time, Unit, Quality, Reason string
		Value                       json.RawMessage
	}
	if json.Unmarshal(payload, &p) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest[[2]string{levels[1], levels[2]}] = shown{p.Time, string(p.Value), p.Unit, p.Quality, p.Reason}
	if !a.late(p.Time) {
		a.site[key{levels[1], levels[2], p.Time}] = true
	}
}

func (a *account) latestOf(device, tag string) shown {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.latest[[2]string{device, tag}]
}

// freeze leaves out what is read from now on.
func (a *account) freeze(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = now
	for k := range a.site {
		if a.late(k.time) {
			delete(a.site, k)
		}
	}
}

// late reports whether a reading was made after the account was frozen.
func (a *account) late(text string) bool {
	at, err := time.Parse(time.RFC3339Nano, text)
	return err == nil && !a.until.IsZero() && at.After(a.until)
}

// Write takes what arrived at the server; it is the output of the receiver.
func (a *account) Write(records []codec.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.arrivals += len(records)
	total := len(records)
	fresh := a.seen.New(records)
	a.doubled += total - len(fresh)
	for _, r := range fresh {
		if r.Gap != nil {
			a.gaps += r.Gap.Count
			continue
		}
		a.take(r)
	}
	return nil
}

// Close does nothing; the account is read afterwards.
func (a *account) Close() error { return nil }

func (a *account) take(r codec.Record) {
	stream := receive.Stream{Site: r.Site, Epoch: r.Epoch, Class: r.Class}
	a.streams[stream] = max(a.streams[stream], gateway.Seq(r.Seq))
	k := key{r.Device, r.Tag, r.Time}
	if a.server[k]++; a.server[k] > 1 {
		a.conflicts++
	}
	a.jsonBytes += perReadingJSON(r)
	if r.Quality != "good" {
		a.bad++
		if string(r.Value) != "null" {
			a.wrong = append(a.wrong, fmt.Sprintf("%s/%s: bad quality with value %s", r.Device, r.Tag, r.Value))
		}
		return
	}
	a.good++
	if why := a.truth.verify(r); why != "" {
		a.wrong = append(a.wrong, why)
	}
}

// perReadingJSON is the size of one message per reading as the usual agents
// write it, with its MQTT header and its PUBACK.
func perReadingJSON(r codec.Record) int {
	topic := "telegraf/" + r.Site + "/" + r.Device
	payload := fmt.Sprintf(`{"fields":{%q:%s},"name":"modbus","tags":{"host":%q,"name":%q,"slave_id":"1","type":"holding_register","quality":%q},"timestamp":%d}`,
		r.Tag, r.Value, r.Site, r.Device, r.Quality, 1_700_000_000)
	const header, packetID, puback = 3, 2, 4
	return header + 2 + len(topic) + packetID + len(payload) + puback
}

// missing returns how many seqs up to the highest never arrived nor were told as given up.
func (a *account) missing() int {
	n := 0
	for stream, highest := range a.streams {
		w := a.seen[stream]
		for _, hole := range w.Readings.Missing(gateway.SeqRange{From: 1, To: highest}) {
			n += int(w.Gaps.Missing(hole).Count())
		}
	}
	return n
}

// result is the account at the end.
type result struct {
	made, delivered, doubled, conflicts, missing, lost, young, gaps, good, bad int
	wrong                                                                      []string
	bytes                                                                      int64
	jsonBytes                                                                  int
}

// result compares the two sides. Of what was seen on site and did not arrive,
// what is not older before a kill than the commit interval was not promised yet.
func (a *account) result(kills []time.Time, window time.Duration, linkBytes int64) result {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := result{
		delivered: len(a.server), doubled: a.doubled, conflicts: a.conflicts, missing: a.missing(),
		gaps: a.gaps, good: a.good, bad: a.bad, wrong: a.wrong, bytes: linkBytes, jsonBytes: a.jsonBytes,
	}
	all := maps.Clone(a.site)
	for k := range a.server {
		all[k] = true
	}
	r.made = len(all)
	for k := range a.site {
		if a.server[k] > 0 {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, k.time)
		excused := slices.ContainsFunc(kills, func(kill time.Time) bool {
			return err == nil && at.After(kill.Add(-window)) && at.Before(kill.Add(time.Second))
		})
		if excused {
			r.young++
		} else {
			r.lost++
		}
	}
	return r
}

// well reports whether every promise was kept.
func (r result) well() bool {
	return r.delivered > 0 && r.lost == 0 && r.missing == 0 && r.conflicts == 0 && r.gaps == 0 && len(r.wrong) == 0
}

// counts are what the live picture shows.
func (a *account) counts() (site, server, doubled, bad int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.site), len(a.server), a.doubled, a.bad
}

// truth is what the instruments really answered, and when.
type truth struct {
	mu      sync.Mutex
	answers map[string]map[uint32]time.Time // by device, by scan number
	limit   time.Duration                   // an answer older than this was not asked for any more
	scans   map[key]uint32                  // the scan number of each sweep that arrived
	waiting map[key][]codec.Record          // readings that arrived before the scan number of their sweep
}

func newTruth(limit time.Duration) *truth {
	return &truth{answers: make(map[string]map[uint32]time.Time), limit: limit, scans: make(map[key]uint32), waiting: make(map[key][]codec.Record)}
}

// answered notes that a device answered with this scan number now.
func (t *truth) answered(device string, scan uint32, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answers[device] == nil {
		t.answers[device] = make(map[uint32]time.Time)
	}
	t.answers[device][scan] = at
}

// verify says what is wrong with a good reading, or "".
func (t *truth) verify(r codec.Record) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := time.Parse(time.RFC3339Nano, r.Time)
	if err != nil {
		return fmt.Sprintf("%s/%s: time %q", r.Device, r.Tag, r.Time)
	}
	sweep := key{device: r.Device, time: r.Time}
	if r.Tag == scanTag {
		return t.verifyScan(sweep, r, at)
	}
	scan, known := t.scans[sweep]
	if !known {
		t.waiting[sweep] = append(t.waiting[sweep], r)
		return ""
	}
	return t.verifySignal(r, scan)
}

// verifyScan checks that the instrument gave this answer just before the time of
// the reading: a late reply that is taken for the next one is older.
func (t *truth) verifyScan(sweep key, r codec.Record, at time.Time) string {
	scan, err := strconv.ParseUint(string(r.Value), 10, 32)
	made, known := t.answers[r.Device][uint32(scan)]
	if err != nil || !known {
		return fmt.Sprintf("%s: scan %s was never answered", r.Device, r.Value)
	}
	// An old answer alone is a busy machine. One that is read when the next was
	// asked for is the late reply that was taken for the next.
	next, asked := t.answers[r.Device][uint32(scan)+1]
	if age := at.Sub(made); age > t.limit && asked && next.Sub(at).Abs() < t.limit/5 {
		return fmt.Sprintf("%s: scan %s was answered %v before the time that its reading bears, when the next was asked for", r.Device, r.Value, age)
	}
	t.scans[sweep] = uint32(scan)
	for _, waiting := range t.waiting[sweep] {
		if why := t.verifySignal(waiting, uint32(scan)); why != "" {
			return why
		}
	}
	delete(t.waiting, sweep)
	return ""
}

func (t *truth) verifySignal(r codec.Record, scan uint32) string {
	value, err := strconv.ParseFloat(string(r.Value), 64)
	if want := signal(r.Device, r.Tag, scan); err != nil || math.Abs(value-want) > 1e-3 {
		return fmt.Sprintf("%s/%s: %s in scan %d, the instrument had %v", r.Device, r.Tag, r.Value, scan, want)
	}
	return ""
}
