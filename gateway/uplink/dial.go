package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const dialTimeout = 20 * time.Second // a satellite link with a full TLS handshake needs about 5

// Meter counts the bytes of connections above TCP. The zero value is ready; it
// is safe for concurrent use.
type Meter struct {
	up, down atomic.Uint64
}

// Bytes returns what has been sent and received.
func (m *Meter) Bytes() (up, down uint64) { return m.up.Load(), m.down.Load() }

type meteredConn struct {
	net.Conn
	meter *Meter
}

func (c meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.meter.down.Add(uint64(n))
	return n, err
}

func (c meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.meter.up.Add(uint64(n))
	return n, err
}

// Dialer opens connections to MQTT servers. TLS sessions are resumed, which
// halves what a reconnection costs.
type Dialer struct {
	Meter    Meter
	sessions tls.ClientSessionCache
	options  Options
	open     func(*url.URL, *tls.Config, *Meter) (net.Conn, error)
}

// NewDialer returns a dialer that uses the TLS files and the credentials of o.
func NewDialer(o Options) *Dialer {
	return &Dialer{options: o, sessions: tls.NewLRUClientSessionCache(8), open: open}
}

// ClientOptions returns the options of a paho client for one connection to one
// server; opened, which may be nil, is told the connection. Files are read anew
// each time, so that a renewed certificate is taken at the next connection.
func (d *Dialer) ClientOptions(server string, opened func(net.Conn)) (*mqtt.ClientOptions, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	o := mqtt.NewClientOptions().
		AddBroker(server).
		SetClientID(d.options.ClientID).
		SetProtocolVersion(4). // else a refused CONNECT is tried again as 3.1
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(dialTimeout)
	if d.options.Username != "" {
		o.SetUsername(d.options.Username)
		password, err := d.password()
		if err != nil {
			return nil, err
		}
		o.SetPassword(password)
	}
	tlsConfig, err := d.tlsConfig(u)
	if err != nil {
		return nil, err
	}
	o.SetTLSConfig(tlsConfig)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := d.open(u, tlsConfig, &d.Meter)
		if err != nil {
			return nil, err
		}
		if opened != nil {
			opened(conn)
		}
		return conn, nil
	})
	return o, nil
}

func (d *Dialer) password() (string, error) {
	if d.options.PasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(d.options.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read password_file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func (d *Dialer) tlsConfig(u *url.URL) (*tls.Config, error) {
	c := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, ClientSessionCache: d.sessions}
	if d.options.TLSCA != "" {
		pem, err := os.ReadFile(d.options.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("read tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls_ca: %s holds no PEM certificate", d.options.TLSCA)
		}
	}
	if d.options.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(d.options.TLSCert, d.options.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read tls_cert and tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

var defaultPorts = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// open connects; below TLS, so that the meter counts what is billed.
func open(u *url.URL, tlsConfig *tls.Config, meter *Meter) (net.Conn, error) {
	if u.Scheme == "ws" || u.Scheme == "wss" {
		if u.Scheme == "ws" {
			tlsConfig = nil
		}
		conn, err := mqtt.NewWebsocket(u.String(), tlsConfig, dialTimeout, nil, nil)
		if err != nil {
			return nil, err
		}
		return meteredConn{conn, meter}, nil // the library dials, so this counts above TLS
	}
	port := u.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: -1} // MQTT has its own, and each probe is billed
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	metered := meteredConn{conn, meter}
	if u.Scheme == "mqtt" {
		return metered, nil
	}
	secured := tls.Client(metered, tlsConfig)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}
