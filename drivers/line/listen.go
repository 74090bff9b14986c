package line

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Opener opens one line again and again. Where instruments dial in it listens
// meanwhile: the modem that came last has the line, since one that dials again
// has lost its connection, whatever the old one looks like. Its methods are safe
// for concurrent use.
type Opener struct {
	options Options

	mu       sync.Mutex
	listener net.Listener
	ended    chan struct{} // closed when accept has returned
	current  net.Conn      // that was handed out last
	next     net.Conn      // that waits to be handed out
	came     chan struct{} // has room for one
	closed   bool
}

// NewOpener returns an Opener, which Close ends.
func NewOpener(o Options) *Opener { return &Opener{options: o, came: make(chan struct{}, 1)} }

// Open opens the line once, as the function Open does. Where instruments dial
// in it waits for one, but not for long: the error then says that nobody came.
func (p *Opener) Open(ctx context.Context) (gateway.Line, error) {
	if p.options.Listen == "" {
		return Open(ctx, p.options)
	}
	if err := p.listen(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for {
		if conn := p.take(); conn != nil {
			return tcpLine{conn.(*net.TCPConn)}, nil
		}
		select {
		case <-p.came:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, &openError{fmt.Sprintf("listen on %s: nobody has dialled in; check the modem's server address and port", p.options.Listen), ErrMissing}
			}
			return nil, ctx.Err()
		}
	}
}

// Close stops listening. Lines that were handed out stay open.
func (p *Opener) Close() error {
	p.mu.Lock()
	p.closed = true
	l, next, ended := p.listener, p.next, p.ended
	p.next = nil
	p.mu.Unlock()
	if next != nil {
		_ = next.Close()
	}
	if l == nil {
		return nil
	}
	err := l.Close()
	<-ended
	return err
}

func (p *Opener) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := config.Listen(context.Background(), "tcp", p.options.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &openError{fmt.Sprintf("listen on %s: another program has this port; choose another", p.options.Listen), ErrBusy}
	case errors.Is(err, syscall.EACCES):
		return &openError{fmt.Sprintf("listen on %s: not permitted; use a port above 1023", p.options.Listen), ErrNotPermitted}
	case err != nil:
		return fmt.Errorf("listen on %s: %w", p.options.Listen, err)
	}
	p.listener, p.ended = l, make(chan struct{})
	go p.accept(l)
	return nil
}

// acceptAgain is how long accept waits where the system has no descriptor left.
const acceptAgain = 100 * time.Millisecond

// accept takes connections until Close.
func (p *Opener) accept(l net.Listener) {
	defer close(p.ended)
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptAgain)
			continue
		}
		p.arrived(conn)
	}
}

func (p *Opener) arrived(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, old := range []net.Conn{p.current, p.next} {
		if old != nil {
			_ = old.Close() // whoever reads it will open another
		}
	}
	p.current, p.next = nil, conn
	if p.closed {
		_ = conn.Close()
		p.next = nil
	}
	select {
	case p.came <- struct{}{}:
	default:
	}
}

func (p *Opener) take() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn := p.next
	if conn != nil {
		p.current, p.next = conn, nil
	}
	return conn
}

// Addr is where it listens, once Open was called; nil otherwise.
func (p *Opener) Addr() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	return p.listener.Addr()
}
