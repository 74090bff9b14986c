package line

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

func dialPair(t *testing.T) (gateway.Line, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	line, err := Open(context.Background(), Options{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return line, conn
}

func TestTCP(t *testing.T) {
	l, conn := dialPair(t)
	if _, err := l.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := io.ReadFull(conn, buf[:7]); err != nil || string(buf[:n]) != "request" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if _, err := conn.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.ReadFull(l, buf[:6]); err != nil || string(buf[:n]) != "answer" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	_ = l.SetReadDeadline(time.Now())
	if _, err := l.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if l.CharTime() != 0 {
		t.Error("a TCP line has no wire to wait for")
	}
}

func TestDiscardOverTCP(t *testing.T) {
	l, conn := dialPair(t)
	_ = l.SetReadDeadline(time.Now().Add(-time.Second)) // as an engine leaves it
	if err := l.Discard(); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	if _, err := conn.Write(make([]byte, 3000)); err != nil {
		t.Fatal(err)
	}
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(l, make([]byte, 1)); err != nil { // it has arrived
		t.Fatal(err)
	}
	if err := l.Discard(); err != nil {
		t.Errorf("much there: %v", err)
	}
	_ = l.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := l.Read(make([]byte, 8)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were left, %v", n, err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	_ = l.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := l.Read(make([]byte, 8)); !errors.Is(err, io.EOF) {
		t.Errorf("read after the far side hung up: %v", err)
	}
	if err := l.Discard(); !errors.Is(err, io.EOF) {
		t.Errorf("discard after the far side hung up: %v", err)
	}
}

func TestWhatCannotBeDialled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	if _, err := Open(context.Background(), Options{Address: address}); !errors.Is(err, ErrBusy) {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{Address: address}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
