package buffer

import (
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// Stats is a snapshot of the buffer.
type Stats struct {
	Epoch   gateway.Epoch
	File    flash.Stats
	Waiting int // readings that are not on disk yet
	Classes [gateway.Classes]ClassStats
	Uplinks map[string]UplinkStats
}

// ClassStats is about one class.
type ClassStats struct {
	Stored    int64       // readings in the file, of all epochs
	Committed gateway.Seq // the last seq on disk, of this epoch
	Dropped   uint64      // readings that became gaps since the start, once for each uplink
}

// UplinkStats is about one uplink.
type UplinkStats struct {
	Backlog      int64 // readings that it has to deliver
	BacklogBytes int64 // about, as they rest on disk
	Gaps         int   // gap records that it has to deliver
	// Oldest is when the oldest unsent reading was made, as far as it was looked
	// at; its Boot is nil otherwise.
	Oldest gateway.Stamp
}

// Stats returns a snapshot. It does not wait for the disk.
func (s *Store) Stats() Stats {
	st := Stats{File: s.file.Stats(), Uplinks: map[string]UplinkStats{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Epoch = s.current().id
	st.Waiting = s.queue.len()
	var stored int64
	for c := range st.Classes {
		x := &st.Classes[c]
		x.Committed, x.Dropped = s.current().class[c].high, s.dropped[c]
		for _, e := range s.epochs {
			x.Stored += int64(e.class[c].high + 1 - e.class[c].first)
		}
		stored += x.Stored
	}
	for name, u := range s.uplinks {
		us := s.backlog(u)
		if stored > 0 {
			us.BacklogBytes = int64(float64(st.File.Used) * float64(us.Backlog) / float64(stored))
		}
		st.Uplinks[name] = us
	}
	return st
}

func (s *Store) backlog(u *uplink) (st UplinkStats) {
	for _, e := range s.epochs {
		for c := range e.class {
			claim := u.claims[claimKey{e.id, gateway.Class(c)}]
			if claim == nil {
				st.Backlog += int64(e.class[c].high)
				continue
			}
			if high := e.class[c].high; high > 0 {
				for _, part := range claim.owed(gateway.SeqRange{From: 1, To: high}) {
					st.Backlog += part.Count()
				}
			}
			for _, g := range claim.gaps {
				if !claim.acked.Has(g.span) {
					st.Gaps++
				}
			}
		}
	}
	if u.unsent > 0 {
		st.Oldest = u.oldest
	}
	return st
}
