package modbus

import (
	"time"
)

const (
	// offlineAfter requests in a row without an answer a unit is left alone for
	// longer and longer: a dead instrument must not starve its neighbours.
	offlineAfter = 3

	// deadShare is the part of a line that units which do not answer may cost
	// together: one in so many. A twentieth is promised; a try costs a little more
	// on a real port than its wire and its waiting.
	deadShare = 22

	// deadBurst is how many long tries may be saved up from an unused share.
	deadBurst = 1

	// Nobody knows at the start which units of a line are there at all. All first
	// tries together may take firstRound, each between shortestGreeting and
	// longestGreeting: most instruments answer sooner, and a slow one is asked again
	// with all the time it may take.
	firstRound       = 1500 * time.Millisecond
	shortestGreeting = 50 * time.Millisecond
	longestGreeting  = 150 * time.Millisecond

	// fullProbe of the tries to reach a silent unit, one in so many, waits the whole
	// response time; the others are short, so that more of them fit into deadShare.
	fullProbe = 4

	// A unit that is known, by so many answers, is waited for so many times its
	// slowest answer, and never less than such a part of the response time.
	knownAnswers   = 64
	slowestTimes   = 4
	shortestWaitIn = 4

	// crowded is how long a line that was too slow once is shared out evenly.
	crowded = time.Minute

	// A busy unit is asked again after firstRest, then twice that, up to lastRest.
	firstRest = 100 * time.Millisecond
	lastRest  = 2 * time.Second

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
	proven  bool // has ever answered
	answers int  // up to knownAnswers
	fails   int  // requests in a row without an answer
	rests   int  // answers in a row that said it was busy
	why     error

	blockedUntil time.Time // quarantine: an answer may still come
	aloneUntil   time.Time // left alone
	restUntil    time.Time // busy, as it says
	triedAt      time.Time
	lostAt       time.Time     // when the request was sent whose answer is missing; zero if none is
	slowest      time.Duration // answer ever seen
	avoid        int           // size of the missing answer; the next request should have another
	turn         time.Duration // when, in line time, it is due on a crowded line
}

// hopeless reports whether the unit waits for those that answer.
func (u *unit) hopeless() bool { return !u.proven || u.dead() }

// dead reports whether the unit shares the part of the line that silence may cost.
func (u *unit) dead() bool { return u.fails >= offlineAfter }

// free reports whether the unit may be asked.
func (u *unit) free(now time.Time) bool {
	return !now.Before(u.blockedUntil) && !now.Before(u.restUntil)
}

// greetingOf returns how long each of so many units may take for its first answer.
func greetingOf(units int) time.Duration {
	return min(max(firstRound/time.Duration(max(units, 1)), shortestGreeting), longestGreeting)
}

// patience returns how long the unit may think about its next answer, of the
// configured time at most. What comes later is still covered by the quarantine,
// which counts from the configured time.
func (u *unit) patience(timeout, greeting time.Duration) time.Duration {
	wait := timeout
	switch {
	case u.dead() && u.fails%fullProbe != 0:
		wait = max(longestGreeting, slowestTimes*u.slowest)
	case !u.proven && u.fails == 0:
		wait = greeting
	case !u.proven && u.fails == 1:
		wait = max(longestGreeting, slowestTimes*u.slowest)
	case u.fails == 0 && u.answers == knownAnswers:
		wait = max(timeout/shortestWaitIn, slowestTimes*u.slowest)
	}
	return min(wait, timeout)
}

func (u *unit) answered(sent, at time.Time) {
	u.proven, u.fails, u.why = true, 0, nil
	u.blockedUntil, u.aloneUntil, u.restUntil, u.lostAt, u.avoid = time.Time{}, time.Time{}, time.Time{}, time.Time{}, 0
	u.answers = min(u.answers+1, knownAnswers)
	// The slowest answer is forgotten in some thousand others, lest one odd hour
	// make every later fault cost more than it must.
	u.slowest = max(at.Sub(sent), u.slowest-u.slowest/1024)
}

// rest notes that the unit said it was busy.
func (u *unit) rest(at time.Time, why error) {
	u.restUntil = at.Add(min(firstRest<<min(u.rests, 8), lastRest))
	u.rests++
	u.why = why
}

// missed notes that a try from sent to now had no good answer. dead is how many
// units of the line do not answer.
func (u *unit) missed(why error, sent, now time.Time, dead int) {
	u.fails++
	u.why = why
	if !u.dead() {
		return
	}
	cost := max(now.Sub(sent), time.Millisecond)
	alone := min(cost<<min(u.fails-offlineAfter+1, 16), cost*deadShare*time.Duration(max(dead, 1))/2)
	u.aloneUntil = now.Add(alone)
}

// owe notes that the answer to a request that was sent may still come: it has so
// many bytes, and was to be there at due.
func (u *unit) owe(sent, due time.Time, quarantine time.Duration, size int) {
	u.lostAt = sent
	u.avoid = size
	u.blockedUntil = due.Add(min(quarantine, longestQuarantine))
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
