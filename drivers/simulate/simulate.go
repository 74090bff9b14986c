package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options say where instruments can be reached. With neither Path nor Address
// they hang on a pseudo-terminal whose name Path tells.
type Options struct {
	Path    string // a symbolic link to keep pointing at the pseudo-terminal
	Address string // or listen here; ":0" takes a free port

	// Protocol is one of the values of the key protocol of a line; "" is
	// modbus-rtu on a pseudo-terminal and modbus-tcp at an address.
	Protocol string

	CharTime time.Duration // of one character: answers take as long as on a wire; 0 for no time
	Think    time.Duration // and as long as an instrument needs to think

	UnplugEvery time.Duration // the adapter is pulled so often, or the connections are cut; 0 for never
	UnplugFor   time.Duration // and put back after so long
}

// Simulator is instruments that other programs can reach.
type Simulator struct {
	*Instruments
	options  Options
	listener net.Listener // of TCP

	mu      sync.Mutex // guards what follows
	port    *pty       // nil while unplugged
	changed chan struct{}
	stopped bool
	conns   map[net.Conn]struct{} // of TCP
	cut     bool                  // whether the cable is out, over TCP
}

// New opens the pseudo-terminal or the TCP port; Path and Addr are known from
// then on. Without Run nobody answers. Close is by ending Run's ctx.
func New(o Options) (*Simulator, error) {
	s := &Simulator{Instruments: NewInstruments(), options: o, changed: make(chan struct{}, 1)}
	if o.Address != "" {
		l, err := net.Listen("tcp", o.Address)
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		s.listener = l
		return s, nil
	}
	if err := s.Plug(); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr returns where a TCP simulator listens, "" for a pseudo-terminal.
func (s *Simulator) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Path returns what a gateway opens: the link, or the pseudo-terminal itself.
func (s *Simulator) Path() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.Path != "" {
		return s.options.Path
	}
	if s.port == nil {
		return ""
	}
	return s.port.name
}

// Run answers until ctx ends; then it closes everything and returns nil.
func (s *Simulator) Run(ctx context.Context) error {
	pace := pacing{think: s.options.Think, char: s.options.CharTime}
	if s.options.UnplugEvery > 0 {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { s.unplugAgain(ctx) })
	}
	if s.listener != nil {
		return s.runTCP(ctx, pace)
	}
	defer s.stop()
	defer context.AfterFunc(ctx, s.stop)()
	for ctx.Err() == nil {
		if p := s.plugged(); p != nil {
			_ = s.serve(ctx, p, pace) // ends when it is unplugged, or at the end
			s.gone(p)
			continue
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
		}
	}
	return nil
}

func (s *Simulator) runTCP(ctx context.Context, pace pacing) error {
	defer context.AfterFunc(ctx, func() { _ = s.listener.Close() })()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("simulate: %w", err)
		}
		wg.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			defer func() { _ = c.Close() }()
			if !s.connected(c) {
				return
			}
			defer s.disconnected(c)
			_ = s.serve(ctx, c, pace) // ends when the far side is gone, or at the end
		})
	}
}

// serve speaks the protocol on one connection until it ends.
func (s *Simulator) serve(ctx context.Context, rw io.ReadWriter, pace pacing) error {
	protocol := s.options.Protocol
	if protocol == "" && s.listener != nil {
		protocol = "modbus-tcp"
	}
	switch protocol {
	case "modbus-tcp":
		return s.serveTCP(ctx, rw, pace)
	case "modbus-ascii", "modbus-ascii-over-tcp":
		return s.serveASCII(ctx, rw, pace)
	case "text":
		return s.serveScript(ctx, rw, pace)
	default:
		return s.serveRTU(ctx, rw, pace)
	}
}

// unplugAgain pulls the adapter and puts it back, again and again until ctx ends.
func (s *Simulator) unplugAgain(ctx context.Context) {
	for gateway.Sleep(ctx, s.options.UnplugEvery) {
		s.Unplug()
		if !gateway.Sleep(ctx, s.options.UnplugFor) {
			return
		}
		_ = s.Plug() // where there is no pseudo-terminal left, the next try may find one
	}
}

// connected notes a connection; it reports false while the cable is out.
func (s *Simulator) connected(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[net.Conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Simulator) disconnected(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Simulator) plugged() *pty {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// gone forgets a port that does not work any more.
func (s *Simulator) gone(p *pty) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port == p {
		s.port = nil
	}
	_ = p.Close()
}

// Unplug does what pulling the adapter does: the port is gone for whoever has it
// open, and its name with it. Over TCP every connection is cut, and none lasts.
func (s *Simulator) Unplug() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.cut = true
		for c := range s.conns {
			_ = c.Close()
		}
		s.count(func(c *Counters) { c.Unplugged++ })
		return
	}
	if s.port == nil {
		return
	}
	_ = s.port.Close()
	s.port = nil
	if s.options.Path != "" {
		_ = os.Remove(s.options.Path)
	}
	s.count(func(c *Counters) { c.Unplugged++ })
}

// Plug puts the adapter back: another port, under the same link.
func (s *Simulator) Plug() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = false
	if s.port != nil || s.stopped || s.listener != nil {
		return nil
	}
	p, err := openPTY()
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	if s.options.Path != "" {
		if err := relink(p.name, s.options.Path); err != nil {
			return errors.Join(fmt.Errorf("simulate: %w", err), p.Close())
		}
	}
	s.port = p
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return nil
}

func (s *Simulator) stop() {
	s.Unplug()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
}

func (in *Instruments) count(f func(*Counters)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f(&in.counters)
}

// relink makes the link in one step, so that nobody sees it missing. Only a link
// is replaced, never a file.
func relink(target, path string) error {
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("%s exists and is not a symbolic link; name another path", path)
	}
	fresh := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	_ = os.Remove(fresh) // of a program that was killed
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
