package broker

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/gaugeway/gaugeway/gateway"
)

// account is a user as the broker knows it. A nil account is an anonymous client.
type account struct {
	name               string
	hash               []byte
	publish, subscribe []string // nil: any
	known              [sha256.Size]byte
	isKnown            bool
}

func (a *account) String() string {
	if a == nil {
		return ""
	}
	return a.name
}

// mayPublish reports whether the user's list has the topic.
func (a *account) mayPublish(topic, client string) bool {
	if a == nil || a.publish == nil {
		return true
	}
	for _, pattern := range a.publish {
		if filter, ok := a.fill(pattern, client); ok && gateway.MatchTopic(filter, topic) {
			return true
		}
	}
	return false
}

// maySubscribe reports whether everything that filter could match is on the user's list.
func (a *account) maySubscribe(filter, client string) bool {
	if a == nil || a.subscribe == nil {
		return true
	}
	for _, pattern := range a.subscribe {
		if allowed, ok := a.fill(pattern, client); ok && covers(allowed, filter) {
			return true
		}
	}
	return false
}

// fill puts the user's name and the client's identifier into a pattern. ok is
// false where they would make it match more than one name does.
func (a *account) fill(pattern, client string) (filter string, ok bool) {
	if !strings.Contains(pattern, "%") {
		return pattern, true
	}
	if strings.Contains(pattern, "%c") && strings.ContainsAny(client, "/+#") || strings.Contains(pattern, "%u") && strings.ContainsAny(a.name, "/+#") {
		return "", false
	}
	return strings.NewReplacer("%u", a.name, "%c", client).Replace(pattern), true
}

// covers reports whether every topic that filter matches is matched by allowed.
func covers(allowed, filter string) bool {
	if strings.HasPrefix(filter, "$") && (strings.HasPrefix(allowed, "+") || strings.HasPrefix(allowed, "#")) {
		return false
	}
	for {
		a, allowedRest, allowedMore := strings.Cut(allowed, "/")
		if a == "#" {
			return true
		}
		f, filterRest, filterMore := strings.Cut(filter, "/")
		if f == "#" || a != "+" && a != f {
			return false
		}
		if !filterMore {
			return !allowedMore || allowedRest == "#"
		}
		if !allowedMore {
			return false
		}
		allowed, filter = allowedRest, filterRest
	}
}

// bcryptLength is the length of every bcrypt hash.
const bcryptLength = 60

// login checks passwords. bcrypt is dear on purpose, so one check runs at a
// time, each host waits for its own wrong password's delay only, and a password
// that was right once is recognised without bcrypt: nobody who guesses keeps
// a known client out.
type login struct {
	accounts map[string]*account
	nobody   []byte        // a hash that fits no password, checked where there is no such user
	key      [32]byte      // of the sums of passwords that were right
	bcrypt   chan struct{} // has room for one
	closed   chan struct{}

	mu    sync.Mutex
	hosts map[string]*host
}

// host is an address from which passwords are being tried.
type host struct {
	turn  chan struct{} // has room for one
	users int
}

func newLogin(users map[string]User) *login {
	l := &login{
		accounts: make(map[string]*account),
		bcrypt:   make(chan struct{}, 1),
		closed:   make(chan struct{}),
		hosts:    make(map[string]*host),
	}
	rand.Read(l.key[:]) //nolint:errcheck // never fails
	cost := bcrypt.MinCost
	for name, u := range users {
		l.accounts[name] = &account{name: name, hash: []byte(u.PasswordHash), publish: u.Publish, subscribe: u.Subscribe}
		if c, err := bcrypt.Cost([]byte(u.PasswordHash)); err == nil {
			cost = max(cost, c)
		}
	}
	l.nobody = fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat(".", 53))
	return l
}

// check returns the account of a user whose password is right, and nil
// otherwise. It takes as long for a user that does not exist as for a wrong
// password, and answers both late. It gives up at the deadline.
func (l *login) check(name string, password []byte, from string, deadline time.Time) *account {
	sum := l.sum(name, password)
	if a := l.recognise(name, sum); a != nil {
		return a
	}
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	h := l.enter(from)
	defer l.leave(from, h)
	if !l.wait(h.turn, late.C) {
		return nil
	}
	defer func() { <-h.turn }()
	if a := l.compare(name, password, sum, late.C); a != nil {
		return a
	}
	delay := time.NewTimer(loginDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-l.closed:
	}
	return nil
}

// compare runs bcrypt when it is this client's turn.
func (l *login) compare(name string, password, sum []byte, late <-chan time.Time) *account {
	if !l.wait(l.bcrypt, late) {
		return nil
	}
	defer func() { <-l.bcrypt }()
	l.mu.Lock()
	a := l.accounts[name]
	l.mu.Unlock()
	hash := l.nobody
	if a != nil && len(a.hash) > 0 { // else it comes with a certificate, and with no password
		hash = a.hash
	}
	if bcrypt.CompareHashAndPassword(hash, password) != nil || a == nil || len(a.hash) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	copy(a.known[:], sum)
	a.isKnown = true
	return a
}

func (l *login) sum(name string, password []byte) []byte {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write([]byte(name))
	mac.Write([]byte{0}) // a user name has none ([MQTT-1.5.3-2])
	mac.Write(password)
	return mac.Sum(nil)
}

func (l *login) recognise(name string, sum []byte) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[name]; a != nil && a.isKnown && hmac.Equal(a.known[:], sum) {
		return a
	}
	return nil
}

func (l *login) wait(turn chan<- struct{}, late <-chan time.Time) bool {
	select {
	case turn <- struct{}{}:
		return true
	case <-late:
	case <-l.closed:
	}
	return false
}

func (l *login) enter(from string) *host {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.hosts[from]
	if h == nil {
		h = &host{turn: make(chan struct{}, 1)}
		l.hosts[from] = h
	}
	h.users++
	return h
}

func (l *login) leave(from string, h *host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(l.hosts, from)
	}
}
