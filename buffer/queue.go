package buffer

import "github.com/gaugeway/gaugeway/gateway"

// entry is a reading that waits for a commit. Somebody waits for the answer to
// an asked one, and will send it again if the answer is no.
type entry struct {
	r     gateway.Reading
	asked bool
}

// loss is readings that were given up while they waited, before the entry at a place.
type loss struct {
	before      int
	n           int
	first, last gateway.Stamp
}

// lane is the waiting readings of one class, in order of arrival. The front is
// given up when there are too many.
type lane struct {
	entries []entry
	losses  []loss
	head    int // entries before it are gone
}

func (l *lane) len() int    { return len(l.entries) - l.head }
func (l *lane) empty() bool { return l.len() == 0 && len(l.losses) == 0 }

func (l *lane) reset() {
	clear(l.entries)
	l.entries, l.losses, l.head = l.entries[:0], l.losses[:0], 0
	if cap(l.entries) > 4*maxSegmentReadings { // a rush is over
		l.entries = nil
	}
}

// giveUp drops the oldest n entries and notes the loss. The gap keeps the place
// that their seqs would have had.
func (l *lane) giveUp(n int) (freed int) {
	if n == 0 {
		return 0
	}
	lost := loss{before: l.head + n, n: n, first: l.entries[l.head].r.Stamp, last: l.entries[l.head+n-1].r.Stamp}
	if i := len(l.losses) - 1; i >= 0 && l.losses[i].before == l.head {
		lost.n, lost.first = lost.n+l.losses[i].n, l.losses[i].first
		l.losses = l.losses[:i]
	}
	l.losses = append(l.losses, lost)
	for i := l.head; i < l.head+n; i++ {
		freed += weight(&l.entries[i].r)
		l.entries[i] = entry{}
	}
	l.head += n
	if l.head > len(l.entries)/2 {
		l.compact()
	}
	return freed
}

func (l *lane) compact() {
	n := copy(l.entries, l.entries[l.head:])
	clear(l.entries[n:])
	l.entries = l.entries[:n]
	for i := range l.losses {
		l.losses[i].before -= l.head
	}
	l.head = 0
}

// drop removes the asked entries, for whoever asked was told no.
func (l *lane) drop() {
	if l.head > 0 {
		l.compact()
	}
	kept, next := 0, 0
	for i := range l.entries {
		for ; next < len(l.losses) && l.losses[next].before <= i; next++ {
			l.losses[next].before = kept
		}
		if !l.entries[i].asked {
			l.entries[kept] = l.entries[i]
			kept++
		}
	}
	for ; next < len(l.losses); next++ {
		l.losses[next].before = kept
	}
	clear(l.entries[kept:])
	l.entries = l.entries[:kept]
}

// join puts later behind l.
func (l *lane) join(later *lane) {
	if later.head > 0 {
		later.compact()
	}
	if l.head > 0 {
		l.compact()
	}
	for _, x := range later.losses {
		x.before += len(l.entries)
		if i := len(l.losses) - 1; i >= 0 && l.losses[i].before == x.before {
			l.losses[i].n, l.losses[i].last = l.losses[i].n+x.n, x.last
			continue
		}
		l.losses = append(l.losses, x)
	}
	l.entries = append(l.entries, later.entries...)
}

// walk hands out what is in the lane in order: runs of readings, and losses
// between them.
func (l *lane) walk(readings func([]entry) error, lost func(loss) error) error {
	at := l.head
	for _, x := range l.losses {
		if x.before > at {
			if err := readings(l.entries[at:x.before]); err != nil {
				return err
			}
			at = x.before
		}
		if err := lost(x); err != nil {
			return err
		}
	}
	if at < len(l.entries) {
		return readings(l.entries[at:])
	}
	return nil
}

// queue is everything that waits, with those who wait for it.
type queue struct {
	lanes [gateway.Classes]lane
	calls []call
	bytes int
}

type call struct {
	done func(error)
	err  error // known already
}

func (q *queue) len() (n int) {
	for i := range q.lanes {
		n += q.lanes[i].len()
	}
	return n
}

func (q *queue) empty() bool {
	for i := range q.lanes {
		if !q.lanes[i].empty() {
			return false
		}
	}
	return true
}

func (q *queue) reset() {
	for i := range q.lanes {
		q.lanes[i].reset()
	}
	clear(q.calls)
	q.calls, q.bytes = q.calls[:0], 0
}

// shrink gives up the oldest of the least class until the queue is within its
// bounds, some at a time so that it is rarely done.
func (q *queue) shrink(maxReadings, maxBytes int) (lost int) {
	for class := len(q.lanes) - 1; class >= 0; {
		n := q.len()
		if n <= maxReadings && q.bytes <= maxBytes {
			return lost
		}
		l := &q.lanes[class]
		if l.len() == 0 {
			class--
			continue
		}
		some := min(l.len(), max(1, n-maxReadings, maxReadings/64))
		if n <= maxReadings {
			some = 1 // it is the bytes: one long message may be all it takes
		}
		q.bytes -= l.giveUp(some)
		lost += some
	}
	return lost
}

// weight is about how many bytes a reading has beside its struct.
func weight(r *gateway.Reading) int {
	switch r.Value.Kind() {
	case gateway.KindText:
		return len(r.Value.String())
	case gateway.KindMessage:
		topic, payload := r.Value.Message()
		return len(topic) + len(payload) + 1
	case gateway.KindDigits:
		return 64
	default:
		return 0
	}
}
