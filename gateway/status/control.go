package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const requestTimeout = 10 * time.Second

// Control answers on the control socket of a running gateway, with HTTP and JSON.
type Control struct {
	listener net.Listener
	server   *http.Server
}

// Listen opens the socket, for the user and the group of the gateway. A socket
// that a dead gateway left behind is replaced; a living one is an error.
func Listen(path string, handler http.Handler) (*Control, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("open control socket: a gateway answers on %s already; stop it, or set control.socket", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	// No write timeout: a trace goes on for as long as somebody looks.
	server := &http.Server{Handler: handler, ReadHeaderTimeout: requestTimeout, ConnContext: withPeer}
	return &Control{listener: l, server: server}, nil
}

type peerKey struct{}

// withPeer notes which user of the system asks.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ctx
	}
	name := ""
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			name = strconv.FormatUint(uint64(cred.Uid), 10)
		}
	})
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return context.WithValue(ctx, peerKey{}, name)
}

// Peer returns the system's user who made a request to the control socket.
func Peer(ctx context.Context) string {
	name, _ := ctx.Value(peerKey{}).(string)
	return name
}

// Reply answers a request with v, or with an error that Client.Do returns.
func Reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // an error here is a caller that went away
}

// Run answers until ctx ends, and removes the socket.
func (c *Control) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.server.Close() })
	defer stop()
	if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return ctx.Err()
}

// ErrNoGateway means that nobody answers on the control socket.
var ErrNoGateway = errors.New("no gateway answers")

// Client asks a running gateway through its control socket.
type Client struct{ Path string }

func (c Client) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Path)
	}}}
}

// Snapshot asks how the gateway is.
func (c Client) Snapshot(ctx context.Context) (s Snapshot, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s, c.Do(ctx, http.MethodGet, "/status", nil, &s)
}

// Do makes one request. in, if it is not nil, is sent as JSON, and the answer
// is decoded into out. What the gateway refuses is an error with its own words.
func (c Client) Do(ctx context.Context, method, path string, in, out any) error {
	client := c.http()
	defer client.CloseIdleConnections()
	response, err := c.send(ctx, client, method, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		return fmt.Errorf("ask the gateway on %s: %w", c.Path, err)
	}
	return nil
}

// Lines makes one request and hands over every line of the answer as it comes,
// until the gateway ends it, or ctx does.
func (c Client) Lines(ctx context.Context, method, path string, in any, line func([]byte) error) error {
	client := c.http()
	defer client.CloseIdleConnections()
	response, err := c.send(ctx, client, method, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if err := line(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("ask the gateway on %s: %w", c.Path, err)
	}
	return ctx.Err()
}

// Answer is the body of an answer that is read as it comes.
type Answer struct {
	io.Reader
	response *http.Response
	client   *http.Client
}

// Trailer returns what the gateway said after the body, once that is read.
func (a *Answer) Trailer(key string) string { return a.response.Trailer.Get(key) }

// Close lets go of the connection.
func (a *Answer) Close() error {
	defer a.client.CloseIdleConnections()
	return a.response.Body.Close()
}

// Stream makes one request, and returns the answer to be read and closed.
func (c Client) Stream(ctx context.Context, method, path string, in any) (*Answer, error) {
	client := c.http()
	response, err := c.send(ctx, client, method, path, in)
	if err != nil {
		client.CloseIdleConnections()
		return nil, err
	}
	return &Answer{Reader: response.Body, response: response, client: client}, nil
}

func (c Client) send(ctx context.Context, client *http.Client, method, path string, in any) (*http.Response, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, &body)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s; is it running? (systemctl status gaugeway)", ErrNoGateway, c.Path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be used by this user; join the group gaugeway, or use sudo", c.Path)
	case err != nil:
		return nil, fmt.Errorf("ask the gateway on %s: %w", c.Path, err)
	case response.StatusCode != http.StatusOK:
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		if response.StatusCode == http.StatusNotFound {
			text = []byte("the gateway that runs does not know this; it is another version")
		}
		return nil, errors.New(strings.TrimSpace(string(text)))
	}
	return response, nil
}
