package text

import "time"

const (
	// offlineAfter requests in a row without an answer an instrument is one of those
	// that share what silence may cost.
	offlineAfter = 3

	// deadShare is the part of a line that instruments which do not answer may cost
	// together: one in so many. deadBurst tries may come in a row.
	deadShare = 20
	deadBurst = 3

	// latestAnswer is how late an answer can be and still be taken for the missing
	// one; longestQuarantine follows from it.
	latestAnswer      = 5 * time.Second
	longestQuarantine = 2 * latestAnswer
)

// unit is one address on the line, which several devices may share.
//
//	unproven ─reply─► answering ─3 misses─► dead ─reply─► answering
type unit struct {
	address string
	proven  bool // has ever answered
	fails   int  // requests in a row without an answer
	why     error

	blockedUntil time.Time // quarantine: an answer may still come
	triedAt      time.Time
	lostAt       time.Time     // when the request was sent whose answer is missing; zero if none is
	slowest      time.Duration // answer ever seen
}

// hopeless reports whether the unit has to share what silence may cost.
func (u *unit) hopeless() bool { return !u.proven && u.fails > 0 || u.dead() }

func (u *unit) dead() bool { return u.fails >= offlineAfter }

func (u *unit) answered(sent, at time.Time) {
	u.proven, u.fails, u.why = true, 0, nil
	u.blockedUntil, u.lostAt = time.Time{}, time.Time{}
	// The slowest answer is forgotten in some thousand others, lest one odd hour
	// make every later fault cost more than it must.
	u.slowest = max(at.Sub(sent), u.slowest-u.slowest/1024)
}

// missed notes that a request had no answer.
func (u *unit) missed(why error) {
	u.fails++
	u.why = why
}

// owing notes that the answer to a request may still come.
func (u *unit) owing(sent, now time.Time, timeout time.Duration) {
	u.lostAt = sent
	u.blockedUntil = now.Add(min(max(timeout, 2*u.slowest), longestQuarantine))
}

// late notes an answer that nobody waited for any more.
func (u *unit) late(at time.Time) {
	u.slowest = max(u.slowest, at.Sub(u.lostAt))
	if until := at.Add(min(2*u.slowest, longestQuarantine)); u.blockedUntil.After(at) && until.After(u.blockedUntil) {
		u.blockedUntil = until
	}
}

// owes reports whether an answer may still come.
func (u *unit) owes(now time.Time) bool {
	return !u.lostAt.IsZero() && now.Sub(u.lostAt) < latestAnswer
}
