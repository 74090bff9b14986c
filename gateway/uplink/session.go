package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	ackTimeout  = 60 * time.Second // 200 KB take 20 s at 100 kbit/s
	pingTimeout = 30 * time.Second
	byeTimeout  = 3 * time.Second
)

var errLost = errors.New("the connection was lost before the server acknowledged it")

// session is one connection.
type session struct {
	client mqtt.Client
	conn   atomic.Pointer[net.Conn]
	lost   chan error    // has the reason once the connection is lost or given up
	gone   chan struct{} // closed when the session has ended
}

func (s *session) opened(conn net.Conn) { s.conn.Store(&conn) }

// publish returns nil once the server has acknowledged the message.
func (s *session) publish(ctx context.Context, topic string, retain bool, payload []byte) error {
	return s.wait(ctx, s.client.Publish(topic, 1, retain, payload), ackTimeout)
}

// wait waits for the server's answer, and for no more than its time: after that
// the connection is given up, since one that takes data and acknowledges none
// looks alive for ever.
func (s *session) wait(ctx context.Context, token mqtt.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-s.gone:
		return errLost
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		err := fmt.Errorf("the server did not acknowledge it in %v", limit)
		s.lose(err)
		return err
	}
}

// goodbye ends the session in order: the server drops the will.
func (s *session) goodbye(topic string, state []byte) {
	if s.client.Publish(topic, 1, true, state).WaitTimeout(byeTimeout) {
		s.client.Disconnect(uint(byeTimeout.Milliseconds()))
	}
}

// lose ends the session with a reason; only the first one counts.
func (s *session) lose(err error) {
	select {
	case s.lost <- err:
	default:
	}
}

// close ends the connection without a DISCONNECT, so that the server publishes
// the will; after goodbye there is none left to publish.
func (s *session) close() {
	close(s.gone)
	if conn := s.conn.Load(); conn != nil {
		(*conn).Close()
	}
	// What is left for Disconnect is to end the goroutines of the client; it does not
	// wait for them: an attempt that hangs in its dial ends with the timeout of the dial.
	s.client.Disconnect(0)
}
