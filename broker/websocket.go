package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

const (
	// websocketPath is where clients of the site find the broker.
	websocketPath = "/mqtt"
	// websocketProtocol is what they must ask for ([MQTT-6.0.0-3]).
	websocketProtocol = "mqtt"
)

// serveWebSocket serves what connects with WebSocket until the listener fails.
func (b *Broker) serveWebSocket(ctx context.Context, l net.Listener, listener string) error {
	mux := http.NewServeMux()
	mux.HandleFunc(websocketPath, func(w http.ResponseWriter, r *http.Request) { b.upgrade(w, r, listener) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: b.limits.connectTimeout, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	return server.Serve(l)
}

// upgrade makes a connection of an HTTP request, and serves it to its end.
// Panels come from anywhere: what protects the broker is its users, not the
// origin of a page.
func (b *Broker) upgrade(w http.ResponseWriter, r *http.Request, listener string) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{websocketProtocol}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	if ws.Subprotocol() != websocketProtocol {
		ws.Close(websocket.StatusPolicyViolation, "ask for the protocol mqtt") //nolint:errcheck // it is given up
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) // the request's ends with this function
	defer cancel()
	nc := newWebConn(websocket.NetConn(ctx, ws, websocket.MessageBinary), r) // [MQTT-6.0.0-1]
	b.Serve(nc, listener)
	ws.Close(websocket.StatusNormalClosure, "") //nolint:errcheck // it waits a while for the other side to agree (RFC 6455, 7.1.1), and is over whether or not it does
	<-nc.ended
}

// webConn is a WebSocket as the connection that it stands on. What comes goes
// through a pipe, whose read deadline only says how long to wait: the library
// ends a connection for good at its own.
type webConn struct {
	net.Conn // what is written
	in       net.Conn
	remote   net.Addr
	state    *tls.ConnectionState
	ended    chan struct{} // closed when nothing comes any more
}

func newWebConn(ws net.Conn, r *http.Request) *webConn {
	in, from := net.Pipe()
	c := &webConn{Conn: ws, in: in, remote: remoteAddr(r.RemoteAddr), state: r.TLS, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		defer from.Close()
		io.CopyBuffer(struct{ io.Writer }{from}, ws, make([]byte, webBuffer)) //nolint:errcheck // the reader sees the end
	}()
	return c
}

// webBuffer is what a client of this kind holds while it is silent.
const webBuffer = 2 << 10

func (c *webConn) Read(p []byte) (int, error)        { return c.in.Read(p) }
func (c *webConn) SetReadDeadline(t time.Time) error { return c.in.SetReadDeadline(t) }

func (c *webConn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// Close ends both ways, and cuts off what is being written. The WebSocket below
// is closed by who serves it: the library would break it off instead of saying
// good-bye while somebody reads.
func (c *webConn) Close() error {
	c.in.Close() //nolint:errcheck // a pipe
	return c.Conn.SetWriteDeadline(time.Unix(1, 0))
}

func (c *webConn) RemoteAddr() net.Addr { return c.remote }

func (c *webConn) ConnectionState() tls.ConnectionState {
	if c.state == nil {
		return tls.ConnectionState{}
	}
	return *c.state
}

// remoteAddr is an address as HTTP tells it.
type remoteAddr string

func (a remoteAddr) Network() string { return "tcp" }
func (a remoteAddr) String() string  { return string(a) }
