package modbus

import (
	"time"
)

const (
	// offlineAfter requests in a row without an answer a unit is left alone for
	// longer and longer: a dead instrument must not starve its neighbours.
	offlineAfter = 3

	// deadShare is the part of a line that units which do not answer may cost
	// together: one in so many.
	deadShare = 20

	// longestAlone bounds how long a unit is left alone, so that one that comes
	// back is noticed.
	longestAlone = time.Minute

	// greeting is what a unit may take for its first answer; most take less than half.
	greeting = 150 * time.Millisecond

	// latestAnswer is how late an answer can be and still be taken for the missing
	// one; longestQuarantine follows from it.
	latestAnswer      = 5 * time.Second
	longestQuarantine = 2 * latestAnswer
)

// unit is one slave address on the line, which several devices may share.
//
//	unproven ─reply─► answering ─3 misses─► left alone ─reply─► answering
type unit struct {
	id      byte
	greeted bool // has been asked once
	proven  bool // has ever answered
	fails   int  // requests in a row without an answer
	why     error

	blockedUntil time.Time // quarantine: an answer may still come
	aloneUntil   time.Time // left alone
	triedAt      time.Time
	lostAt       time.Time     // when the request was sent whose answer is missing; zero if none is
	slowest      time.Duration // answer ever seen
	avoid        int           // size of the missing answer; the next request should have another
}

// hopeless reports whether the unit waits for those that answer.
func (u *unit) hopeless() bool { return !u.proven || u.fails >= offlineAfter }

func (u *unit) answered(sent, at time.Time) {
	u.proven, u.fails, u.why = true, 0, nil
	u.blockedUntil, u.aloneUntil, u.lostAt, u.avoid = time.Time{}, time.Time{}, time.Time{}, 0
	// The slowest answer is forgotten in some thousand others, lest one odd hour
	// make every later fault cost more than it must.
	u.slowest = max(at.Sub(sent), u.slowest-u.slowest/1024)
}

// missed notes that no answer came. cost is what the try took, dead how many
// units of the line do not answer.
func (u *unit) missed(x engine, why error, sent, now time.Time, size, dead int) {
	u.fails++
	u.why = why
	u.lostAt = sent
	u.avoid = size
	u.blockedUntil = now.Add(min(x.quarantine(u.slowest), longestQuarantine))
	if u.fails < offlineAfter {
		return
	}
	cost := max(now.Sub(sent), time.Millisecond)
	alone := cost << min(u.fails-offlineAfter+1, 16)
	alone = min(alone, cost*deadShare*time.Duration(max(dead, 1)), max(longestAlone, cost))
	u.aloneUntil = now.Add(alone)
}

// late notes an answer that nobody waited for any more. at is zero when it is
// not known when it came. It reports whether one was missing.
func (u *unit) late(at time.Time) bool {
	if u.lostAt.IsZero() {
		return false
	}
	if at.IsZero() || !u.owes(at) {
		return true
	}
	u.slowest = max(u.slowest, at.Sub(u.lostAt))
	if until := at.Add(min(2*u.slowest, longestQuarantine)); u.blockedUntil.After(at) && until.After(u.blockedUntil) {
		u.blockedUntil = until
	}
	return true
}

// owes reports whether an answer may still come.
func (u *unit) owes(now time.Time) bool {
	return !u.lostAt.IsZero() && now.Sub(u.lostAt) < latestAnswer
}
