package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// Why connections end.
var (
	errStopping    = errors.New("the broker stops")
	errTakenOver   = errors.New("another connection came with the same client identifier") // [MQTT-3.1.4-2]
	errSilent      = errors.New("nothing came for one and a half keepalives")              // [MQTT-3.1.2-24]
	errNoConnect   = errors.New("no CONNECT in time")
	errTooMany     = errors.New("too many connections")
	errDisconnect  = errors.New("disconnected") // by the client, as it should
	errNotAccepted = errors.New("the CONNECT is refused")
	errStuck       = errors.New("the client does not read")
)

// conn is one connection of a client. The goroutine in Serve reads it; see
// Broker for who closes what.
type conn struct {
	b         *Broker
	nc        net.Conn
	listener  string
	anonymous bool // may come without a user name

	// Of the reading goroutine. Set before the session is attached, then constant:
	in        reader
	id        string
	account   *account
	version   version
	aliases   map[uint16]string // topics of the client, by alias
	problems  bool              // the client wants to hear why
	keepWill  bool              // it disconnected, and its will is to be published all the same
	keepalive time.Duration     // with the half added; 0 for none
	last      time.Time         // when the last packet was complete
	answered  bool              // the session is attached

	receiveMaximum int // messages that may be on their way to the client
	maximumPacket  int // bytes of one packet to it; 0 for any

	// Under the broker's lock.
	sess      *session // also after it was lost to another connection
	will      *will
	control   []byte // answers that wait to be written
	acks      acks
	replay    int // how many of the session's inflight were sent again on this connection
	replayEnd int // of so many
	writing   bool
	dirty     bool
	gone      bool          // has no session any more, or never will
	reason    error         // why it was ended, when it was not by what it read
	written   chan struct{} // not nil while end waits for the writer
	stall     chan struct{} // not nil while the reader waits for room; closed when there is
}

// Serve speaks MQTT on nc until it ends, and closes it. The name of the
// listener decides whether a client may come without a user name.
func (b *Broker) Serve(nc net.Conn, listener string) {
	c := &conn{b: b, nc: nc, listener: listener}
	if d := b.doors.find(listener); d != nil {
		c.anonymous = d.anonymous
	}
	if err := b.admit(c); err != nil {
		nc.Close()
		b.quiet.warn(b.log, "connection is refused", logFrom, from(nc), logWhy, err)
		return
	}
	defer b.work.Done()
	c.end(c.serve())
}

// admit takes the connection in, where there is room. Those that have not yet
// said who they are give way to those that might.
func (b *Broker) admit(c *conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errStopping
	}
	if len(b.conns) >= b.limits.connections && len(b.unidentified) == 0 {
		b.stats.RefusedConns++
		return errTooMany
	}
	if len(b.conns) >= b.limits.connections || len(b.unidentified) >= b.limits.unidentified {
		b.stats.RefusedConns++
		oldest := b.unidentified[0]
		b.identified(oldest)
		oldest.fail(errTooMany)
		delete(b.conns, oldest)
	}
	b.work.Add(1)
	b.conns[c] = struct{}{}
	b.unidentified = append(b.unidentified, c)
	return nil
}

// identified takes c off the list of those that have not yet said CONNECT. The lock is held.
func (b *Broker) identified(c *conn) {
	for i, u := range b.unidentified {
		if u == c {
			b.unidentified = append(b.unidentified[:i], b.unidentified[i+1:]...)
			return
		}
	}
}

// serve reads packets until the connection ends, and returns why. A fault of
// ours that shows as a panic ends this connection only.
func (c *conn) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.b.log.Error("fault in the broker, the connection is closed", logClient, c.id, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("fault in the broker")
		}
	}()
	c.in.init(c.nc)
	defer c.in.drop()
	c.last = time.Now()
	if err := c.nc.SetReadDeadline(c.last.Add(c.b.limits.connectTimeout)); err != nil {
		return err
	}
	if err := c.greet(); err != nil {
		return err
	}
	for {
		if err := c.handleRead(); err != nil {
			return err
		}
	}
}

// handleRead handles the packets that have come, then waits for more. What they
// made others receive is sent after the last of them.
func (c *conn) handleRead() error {
	handled := false
	for {
		head, total, err := frame(c.in.unread(), c.b.limits.packetBytes)
		if err != nil {
			return err
		}
		if total == 0 || total > len(c.in.unread()) {
			if handled {
				c.last = time.Now()
			}
			return c.await(total)
		}
		p, err := parse(c.in.unread()[:total], head, c.version)
		if err != nil {
			return err
		}
		if err := c.handle(&p); err != nil {
			return err
		}
		handled = true
		c.in.r += total
	}
}

// await waits for more bytes, after there is room for the answers to them.
func (c *conn) await(want int) error {
	c.b.flush()
	if err := c.waitForRoom(); err != nil {
		return err
	}
	for {
		before := c.in.w - c.in.r
		err := c.in.fill(want)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.count(c.in.w - c.in.r - before)
			return err
		}
		due := c.last.Add(c.keepalive)
		if !time.Now().Before(due) {
			return errSilent
		}
		if err := c.nc.SetReadDeadline(due); err != nil {
			return err
		}
	}
}

func (c *conn) count(n int) {
	c.b.bytesIn.Add(uint64(max(n, 0)))
}

// greet reads the CONNECT and answers it. It returns an error where the
// connection is to be closed.
func (c *conn) greet() error {
	for {
		buf := c.in.unread()
		if len(buf) > 0 && buf[0] != typeConnect<<4 { // [MQTT-3.1.0-1]
			return violated("the first packet is not a CONNECT")
		}
		head, total, err := frame(buf, c.b.limits.connectBytes)
		if err != nil {
			return err
		}
		if total > 0 && total <= len(buf) {
			err := c.connect(buf[head:total])
			c.in.r += total
			return err
		}
		before := len(buf)
		if err := c.in.fill(total); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errNoConnect
			}
			return err
		}
		c.count(c.in.w - c.in.r - before)
	}
}

// connect handles the body of a CONNECT.
func (c *conn) connect(body []byte) error {
	con, err := parseConnect(body)
	c.id, c.version = con.clientID, con.version
	c.receiveMaximum, c.maximumPacket, c.problems = con.receiveMaximum, con.maximumPacket, con.problems
	if err == nil && !con.takes(con.appendConnack(nil, false, c.b.limits)) {
		err = refusal{reasonImplementation, "the client takes no packet as large as the answer to its CONNECT"}
	}
	if err == nil {
		err = c.authenticate(&con)
	}
	if err == nil {
		err = c.attach(&con)
	}
	if err != nil {
		if answer := con.appendRefusal(nil, err); len(answer) > 0 {
			c.nc.SetWriteDeadline(time.Now().Add(c.b.limits.connectTimeout)) //nolint:errcheck // it is closed next
			c.nc.Write(answer)                                               //nolint:errcheck // it is closed next
		}
		return err
	}
	c.answered = true
	c.last = time.Now()
	due := time.Time{}
	if c.keepalive = con.keepalive; c.keepalive > 0 {
		due = c.last.Add(c.keepalive)
	}
	return c.nc.SetReadDeadline(due)
}

// authenticate finds the client's account.
func (c *conn) authenticate(con *connect) error {
	l := c.b.login
	if name := certified(c.nc); name != "" {
		if c.account = l.accounts[name]; c.account == nil {
			c.b.refusedLogin()
			return refusal{reasonNotAuthorized, fmt.Sprintf("%v: %q", errNoUser, name)}
		}
		return nil
	}
	if !con.named || len(l.accounts) == 0 && c.anonymous {
		if c.anonymous {
			return nil
		}
		c.b.refusedLogin()
		return refusal{reasonNotAuthorized, "a user name and a password are needed here"}
	}
	c.account = l.check(con.username, con.password, from(c.nc), c.last.Add(c.b.limits.connectTimeout))
	if c.account == nil {
		c.b.refusedLogin()
		return refusal{reasonBadLogin, fmt.Sprintf("user %q is unknown or has another password", con.username)}
	}
	return nil
}

func (b *Broker) refusedLogin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.RefusedLogins++
}

// attach gives the connection its session, taking it over from an older
// connection ([MQTT-3.1.4-2]), and queues the CONNACK.
func (c *conn) attach(con *connect) error {
	old, err := c.b.attach(c, con)
	if err != nil {
		return err
	}
	if old.conn != nil {
		c.b.publishWill(old.will, old.conn)
	}
	if old.conn != nil && old.conn.nc != nil {
		c.b.quiet.info(c.b.log, "client is taken over", logClient, c.id, logFrom, from(c.nc))
	} else {
		c.b.quiet.info(c.b.log, "client is here", logClient, c.id, logUser, c.account.String(), logFrom, from(c.nc))
	}
	c.b.flush()
	return nil
}

// end is what happens when the connection ends, for whatever reason.
func (c *conn) end(err error) {
	f := c.b.leave(c, err)
	c.b.publishWill(f.will, c)
	c.sayGoodBye(&f)
	c.nc.Close()
	reason := f.reason
	switch {
	case errors.Is(reason, errTakenOver), errors.Is(reason, errStopping):
	case errors.Is(reason, errDisconnect), errors.Is(reason, io.EOF) && !c.answered:
		if c.answered {
			c.b.quiet.info(c.b.log, "client has gone", logClient, c.id)
		}
	case errors.Is(reason, io.EOF), errors.Is(reason, syscall.ECONNRESET):
		c.b.quiet.info(c.b.log, "client is lost", logClient, c.id, logWhy, "it closed the connection without DISCONNECT")
	case c.answered:
		c.b.quiet.warn(c.b.log, "client is lost", logClient, c.id, logFrom, from(c.nc), logWhy, reason)
	default:
		c.b.quiet.warn(c.b.log, "connection is refused", logClient, c.id, logFrom, from(c.nc), logWhy, reason)
	}
}

// sayGoodBye lets the client have the answers to what it sent before it was to
// end, if it takes them within goodByeTime.
func (c *conn) sayGoodBye(f *farewell) {
	if f.writer != nil { // it may hold the first of them
		late := time.NewTimer(goodByeTime)
		defer late.Stop()
		select {
		case <-f.writer:
		case <-late.C:
			return
		}
	}
	f.answers = append(f.answers, c.lastWords(f.reason, c.answered)...)
	if len(f.answers) == 0 || c.nc.SetWriteDeadline(time.Now().Add(goodByeTime)) != nil {
		return
	}
	c.nc.Write(f.answers) //nolint:errcheck // it is closed next
}

// lastWords is the DISCONNECT with which MQTT 5 says why a connection ends
// (4.13). Who went by himself, or was never let in, hears none.
func (c *conn) lastWords(why error, attached bool) []byte {
	var v violation
	code := reasonUnspecified
	switch {
	case c.version != mqtt5 || !attached:
		return nil
	case errors.As(why, &v):
		code = v.code
	case errors.Is(why, errTakenOver):
		code = reasonTakenOver
	case errors.Is(why, errSilent):
		code = reasonKeepAlive
	case errors.Is(why, errStopping):
		code = reasonShuttingDown
	case errors.Is(why, errDisconnect), errors.Is(why, io.EOF), errors.Is(why, errStuck), errors.Is(why, net.ErrClosed), errors.Is(why, syscall.ECONNRESET):
		return nil
	}
	return appendDisconnect(nil, code, why.Error(), c.maximumPacket)
}

// fail ends the connection from another goroutine. Whoever reads or writes it
// returns. The lock is held.
func (c *conn) fail(reason error) {
	if c.reason == nil {
		c.reason = reason
	}
	c.makeRoomNow()
	var words []byte
	if !c.writing { // else they would stand in the middle of a packet
		words = c.lastWords(reason, c.sess != nil)
	}
	c.b.work.Go(func() { // apart: closing may wait where it says good-bye
		if len(words) > 0 && c.nc.SetWriteDeadline(time.Now().Add(goodByeTime)) == nil {
			c.nc.Write(words) //nolint:errcheck // it is closed next
		}
		c.nc.Close()
	})
}

// from names the host at the other end.
func from(nc net.Conn) string {
	addr := nc.RemoteAddr()
	if addr == nil {
		return ""
	}
	if host, _, err := net.SplitHostPort(addr.String()); err == nil {
		return host
	}
	return addr.String()
}

// output is what the writer is about to write.
type output struct {
	bytes   []byte
	items   []item
	version version
	now     time.Time
}

var outputPool = sync.Pool{New: func() any { return new(output) }}

// write sends what waits for the client until nothing does. It runs in a
// goroutine of its own, one at a time, which ends with the queue.
func (c *conn) write() {
	out := outputPool.Get().(*output)
	defer func() {
		if p := recover(); p != nil {
			c.b.log.Error("fault in the broker, the connection is closed", logClient, c.id, "panic", p, "stack", string(debug.Stack()))
			c.failWrite(errors.New("fault in the broker"))
		}
		if cap(out.bytes) <= 2*batchBytes {
			out.bytes = out.bytes[:0]
			outputPool.Put(out)
		}
	}()
	for c.fetch(out) {
		out.encode()
		if err := c.send(out.bytes); err != nil {
			c.failWrite(err)
			return
		}
		c.b.bytesOut.Add(uint64(len(out.bytes)))
		out.bytes = out.bytes[:0]
	}
}

// fetch takes what is to be sent next; false means nothing, and that the writer must end.
func (c *conn) fetch(out *output) bool {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if !c.gone {
		c.take(out)
	}
	if len(out.bytes) == 0 && len(out.items) == 0 {
		c.stopWriting()
		return false
	}
	return true
}

// stopWriting notes that the writer ends. The lock is held.
func (c *conn) stopWriting() {
	c.writing = false
	if c.written != nil {
		close(c.written)
		c.written = nil
	}
}

// send writes p in pieces, each with a deadline of its own.
func (c *conn) send(p []byte) error {
	for len(p) > 0 {
		piece := p[:min(len(p), writeBytes)]
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.b.limits.writeTimeout)); err != nil {
			return err
		}
		if _, err := c.nc.Write(piece); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errStuck
			}
			return err
		}
		p = p[len(piece):]
	}
	return nil
}

func (c *conn) failWrite(err error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.stopWriting()
	c.fail(err)
}
