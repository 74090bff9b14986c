package broker

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Keys of the log.
const (
	logClient   = "client"
	logUser     = "user"
	logFrom     = "from"
	logListener = "listener"
	logTopic    = "topic"
	logWhy      = "why"
)

// Broker is the MQTT server of one site. Its methods are safe for concurrent use.
//
// Who closes what: Run closes the listeners and, when its context ends, every
// connection. A connection belongs to the goroutine in Serve, which closes it;
// others end it by closing the socket under it. A connection has a second
// goroutine, its writer, only while there is something to write.
type Broker struct {
	Now     func() gateway.Stamp // of messages of other clients; set before use
	Version string               // told at $SYS/broker/version; set before use
	Written func(Write)          // is told what clients want written to tags, and must not block; nil for nobody; set before use

	site    string
	own     ownTopics
	options Options
	limits  limits
	tap     gateway.Tap
	log     *slog.Logger
	quiet   quiet
	login   *login
	started time.Time
	work    sync.WaitGroup // connections and writers

	doors doors

	bytesIn, bytesOut atomic.Uint64

	mu           sync.Mutex
	closed       bool
	conns        map[*conn]struct{}
	unidentified []*conn // those that have not yet said CONNECT, oldest first
	sessions     map[string]*session
	subs         tree[[]target]
	subsCount    int
	generation   uint64 // counts changes of subs
	publication  uint64 // counts publications
	retained     retainedTopics
	tags         map[*gateway.Tag]*ownTag
	queuedBytes  int
	stats        Stats
	sys          map[string]string
	matches      []target // scratch of route
	scratch      []byte   // scratch of rendered
	dirty        []*conn  // who has something to send since the last release
	notes        []note   // what is to be logged at the next release
}

var _ gateway.Sink = (*Broker)(nil)

// New returns a broker. With site "" no topic belongs to the gateway; with a
// nil tap nothing leaves the site. Fields of o that are zero have their defaults.
func New(site string, o Options, tap gateway.Tap, log *slog.Logger) *Broker {
	o = o.withDefaults()
	b := &Broker{
		Now:      stampOfThisBoot(),
		site:     site,
		options:  o,
		limits:   defaultLimits,
		tap:      tap,
		log:      log,
		login:    newLogin(o.Users),
		started:  time.Now(),
		conns:    make(map[*conn]struct{}),
		sessions: make(map[string]*session),
		tags:     make(map[*gateway.Tag]*ownTag),
		sys:      make(map[string]string),
	}
	b.subs.empty = func(v *[]target) bool { return len(*v) == 0 }
	b.retained.topics.empty = func(v **retained) bool { return *v == nil }
	b.generation = 1
	b.own = o.ownTopics(site)
	b.doors.init(o.Listeners, log)
	return b
}

// stampOfThisBoot serves where nobody sets Broker.Now.
func stampOfThisBoot() func() gateway.Stamp {
	boot, err := gateway.ThisBoot()
	if err != nil { // no /proc
		boot = gateway.NewBoot(rand.Text())
	}
	return boot.Now
}

// Publish publishes a state of the gateway itself, retained or not. It never
// waits for a client. An empty retained payload removes what was retained.
func (b *Broker) Publish(topic string, payload []byte, retain bool) {
	if err := gateway.ValidTopic(topic); err != nil {
		b.log.Error("own topic is refused", logTopic, topic, logWhy, err)
		return
	}
	m := &message{topic: topic, payload: string(payload), qos: byte(b.options.TagQoS)}
	b.mu.Lock()
	defer b.release()
	b.publish(m, retain, nil)
}

// publish keeps m, where it is to be retained, and routes it; by is the session
// that published it. It reports whether anybody subscribed. The lock is held.
func (b *Broker) publish(m *message, retain bool, by *session) (any bool) {
	if retain {
		if err := b.keep(m); err != nil {
			b.note(slog.LevelWarn, "message is delivered but not retained", logTopic, m.topic, logWhy, err)
		}
	}
	return b.route(m, by)
}

// wake notes that c has something to send. The lock is held; release starts the writer.
func (b *Broker) wake(c *conn) {
	if !c.dirty && !c.gone {
		c.dirty = true
		b.dirty = append(b.dirty, c)
	}
}

// note is a line for the log, kept until nobody waits for the lock: a log may block.
type note struct {
	level slog.Level
	text  string
	args  []any
}

func (b *Broker) note(level slog.Level, text string, args ...any) {
	b.notes = append(b.notes, note{level, text, args})
}

// release starts the writers of those who have something to send, unlocks, and
// logs what was noted.
func (b *Broker) release() {
	for _, c := range b.dirty {
		c.dirty = false
		if !c.writing && !c.gone {
			c.writing = true
			b.work.Go(c.write)
		}
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	notes := b.notes
	b.notes = nil
	b.mu.Unlock()
	for _, n := range notes {
		b.quiet.at(n.level, b.log, n.text, n.args)
	}
}

// Run serves the listeners until ctx ends. Then it closes every connection and
// returns nil. A listener that could not be opened is tried again.
func (b *Broker) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	for _, d := range b.doors.all {
		serving.Go(func() { b.serveDoor(ctx, d) })
	}
	b.updateSys(time.Now())
	tick := time.NewTicker(sysInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-tick.C:
			b.updateSys(now)
		}
	}
	serving.Wait()
	b.doors.close()
	b.closeAll()
	b.work.Wait()
	return nil
}

func (b *Broker) closeAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.login.closed)
	for c := range b.conns {
		c.fail(errStopping)
	}
}

// Stats is a snapshot of what the broker did and holds.
type Stats struct {
	Connected     int // clients that are connected
	Sessions      int // clients that are known, connected or not
	Subscriptions int
	Retained      int // topics with a retained message, own tags included
	Queued        int // messages that wait or are unacknowledged, in all sessions
	QueuedBytes   int

	MessagesIn  uint64 // PUBLISH packets
	MessagesOut uint64
	BytesIn     uint64
	BytesOut    uint64

	DroppedFull     uint64 // QoS 1 and 2: the newest, as the session's queue was full
	DroppedSlow     uint64 // QoS 0: the client did not read fast enough
	Undeliverable   uint64 // expired, or larger than the client takes, when they were to be sent
	DroppedRetained uint64 // delivered but not retained: there are too many
	Refused         uint64 // not allowed to publish there
	RefusedLogins   uint64
	RefusedConns    uint64 // too many connections
	Forgotten       uint64 // sessions given up as there were too many
	TapErrors       uint64 // messages that the tap refused, and so were not acknowledged

	MaxConnected int
}

// Stats returns a snapshot.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.stats
	st.Sessions = len(b.sessions)
	st.Subscriptions = b.subsCount
	st.Retained = b.retained.count + len(b.tags)
	st.QueuedBytes = b.queuedBytes
	st.BytesIn, st.BytesOut = b.bytesIn.Load(), b.bytesOut.Load()
	for _, s := range b.sessions {
		st.Queued += s.volatile.len() + s.waiting.len() + s.inflight.len()
	}
	return st
}

// Addr returns the address on which a listener is open, or nil.
func (b *Broker) Addr(listener string) net.Addr { return b.doors.addr(listener) }
