package demo

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// link is the metered link to the remote server: a relay that counts bytes and
// can be cut.
type link struct {
	listener net.Listener
	target   string

	up, down atomic.Int64

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
	work  sync.WaitGroup
}

func newLink(target string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &link{listener: l, target: target, conns: make(map[net.Conn]struct{})}, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

// bytes returns what crossed the link, both ways, above TCP.
func (l *link) bytes() int64 { return l.up.Load() + l.down.Load() }

// run relays until ctx ends.
func (l *link) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		l.listener.Close()
		l.setCut(true)
	})
	defer stop()
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			break
		}
		if !l.hold(conn) {
			conn.Close()
			continue
		}
		l.work.Go(func() { l.relay(conn) })
	}
	l.work.Wait()
}

// hold remembers a connection so that a cut ends it; false while the link is cut.
func (l *link) hold(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return false
	}
	l.conns[conn] = struct{}{}
	return true
}

func (l *link) release(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

// setCut cuts the link, with everything on it, or mends it.
func (l *link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for conn := range l.conns {
			conn.Close()
		}
	}
}

func (l *link) relay(near net.Conn) {
	defer l.release(near)
	far, err := net.Dial("tcp", l.target)
	if err != nil || !l.hold(far) {
		return
	}
	defer l.release(far)
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(counted{far, &l.up}, near) // an error here is the end of the connection
		far.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(counted{near, &l.down}, far)
		near.Close()
	})
	both.Wait()
}

type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func (l *link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}
