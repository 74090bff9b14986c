package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
func Listen(path string, snapshot func() Snapshot) (*Control, error) {
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
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(snapshot()) // an error here is a caller that went away
	})
	return &Control{listener: l, server: &http.Server{Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout}}, nil
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

// Ask returns the snapshot of the gateway that answers on the socket.
func Ask(ctx context.Context, path string) (Snapshot, error) {
	var s Snapshot
	client := http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}},
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/status", nil)
	if err != nil {
		return s, err
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return s, fmt.Errorf("no gateway answers on %s; is it running? (systemctl status gaugeway)", path)
	case errors.Is(err, fs.ErrPermission):
		return s, fmt.Errorf("%s may not be used by this user; join the group gaugeway, or use sudo", path)
	case err != nil:
		return s, fmt.Errorf("ask the gateway on %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s, fmt.Errorf("ask the gateway on %s: %s", path, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("ask the gateway on %s: %w", path, err)
	}
	return s, nil
}
