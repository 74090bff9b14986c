// Package receive is the server side: it takes batches from the servers that
// the gateways send to, drops what came twice, and writes records.
package receive

import (
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/codec"
)

// Seen remembers which readings have been written, by identity. It needs room
// for a few runs per site, epoch and class, since seqs are dense. The zero value
// is not ready; use make. One goroutine may use it at a time.
type Seen map[Stream]*Written

// Stream is what seqs are counted in.
type Stream struct{ Site, Epoch, Class string }

// Written is what of a stream has been written.
type Written struct {
	Readings gateway.Ranges `json:"readings"`
	Gaps     gateway.Ranges `json:"gaps,omitempty"` // told as given up
}

// New keeps those records that were not written before, and remembers them. A
// reading that comes after all, though a gap gave it up, is new.
func (s Seen) New(records []codec.Record) []codec.Record {
	kept := records[:0]
	for _, r := range records {
		stream := Stream{r.Site, r.Epoch, r.Class}
		if r.Gap != nil {
			stream.Class = r.Gap.Class
		}
		w := s[stream]
		if w == nil {
			w = new(Written)
			s[stream] = w
		}
		if w.add(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

func (w *Written) add(r codec.Record) bool {
	if r.Gap != nil {
		gap := gateway.SeqRange{From: gateway.Seq(r.Gap.FromSeq), To: gateway.Seq(r.Gap.ToSeq)}
		if w.Gaps.Has(gap) {
			return false
		}
		w.Gaps.Add(gap)
		return true
	}
	one := gateway.SeqRange{From: gateway.Seq(r.Seq), To: gateway.Seq(r.Seq)}
	if w.Readings.Has(one) {
		return false
	}
	w.Readings.Add(one)
	return true
}
