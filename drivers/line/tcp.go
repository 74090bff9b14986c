package line

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 5 * time.Second

	// A cellular router that was power-cycled answers nothing; without these
	// the connection would look alive for hours.
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 5 * time.Second
	keepAliveCount    = 4

	// A write to a stuck peer fills 100 KB of kernel buffers first, so this only
	// bounds the wait of one that never reads.
	tcpWriteTimeout = 5 * time.Second

	// discardMost bounds what one Discard reads, so that a babbling peer cannot
	// keep its caller.
	discardMost = 64 << 10
)

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}

var _ gateway.Line = (*tcpLine)(nil)

// tcpLine is a TCP connection as a line.
type tcpLine struct {
	*net.TCPConn
}

func dial(ctx context.Context, o Options) (gateway.Line, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}
	conn, err := d.DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return nil, dialError(o.Address, err)
	}
	return tcpLine{conn.(*net.TCPConn)}, nil
}

func dialError(address string, err error) error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns):
		return &openError{fmt.Sprintf("connect to %s: the name %q cannot be found (%s); check the name or write the IP address", address, dns.Name, dns.Err), ErrMissing}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &openError{fmt.Sprintf("connect to %s: refused; nothing listens on that port, or the instrument has no connection left", address), ErrBusy}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return &openError{fmt.Sprintf("connect to %s: no route to it; check cable and network", address), ErrMissing}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &openError{fmt.Sprintf("connect to %s: no answer within %s; check that the instrument is powered and in this network", address, dialTimeout), ErrMissing}
	default:
		return fmt.Errorf("connect to %s: %w", address, err)
	}
}

// Read returns io.EOF when the far side has closed.
func (l tcpLine) Read(p []byte) (int, error) { return l.TCPConn.Read(p) }

// Write does not block for longer than a few seconds.
func (l tcpLine) Write(p []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(tcpWriteTimeout)); err != nil {
		return 0, err
	}
	n, err := l.TCPConn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// os.ErrDeadlineExceeded is kept for a read that found nothing.
		err = errors.New("write: the far side takes no bytes")
	}
	return n, err
}

// CharTime is 0: there is no wire to wait for.
func (l tcpLine) CharTime() time.Duration { return 0 }

// Discard reads away what is pending, without waiting for more.
func (l tcpLine) Discard() error {
	if err := l.SetReadDeadline(time.Time{}); err != nil { // a passed deadline would hide what is pending
		return err
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var buf [512]byte
	for total := 0; total < discardMost; {
		n, recvErr := 0, error(nil)
		err := raw.Read(func(fd uintptr) bool {
			n, _, recvErr = unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT)
			return true // never wait
		})
		switch {
		case err != nil:
			return err
		case errors.Is(recvErr, unix.EAGAIN):
			return nil
		case errors.Is(recvErr, unix.EINTR):
			continue
		case recvErr != nil:
			return recvErr
		case n == 0:
			return io.EOF
		}
		total += n
	}
	return nil
}
