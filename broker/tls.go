package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a listener's own, read again when its file has changed, so that
// a renewed one needs no restart. It is safe for concurrent use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // of the file that current was read from
}

// get returns the certificate for a handshake. One that cannot be read does not
// take the place of one that works.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && info.ModTime().Equal(c.changed) && c.current != nil {
		return c.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	switch {
	case err != nil && c.current == nil:
		return nil, err
	case err != nil:
		c.log.Warn("certificate cannot be read, the last one stays", "file", c.certFile, logWhy, err)
		if info != nil {
			c.changed = info.ModTime() // said once
		}
		return c.current, nil
	}
	if c.current != nil {
		c.log.Info("certificate is renewed", "file", c.certFile)
	}
	c.current, c.changed = &pair, info.ModTime()
	return c.current, nil
}

// tlsConfig returns how a listener speaks TLS; nil for one that does not.
func (l Listener) tlsConfig(log *slog.Logger) (*tls.Config, error) {
	if l.TLSCert == "" {
		return nil, nil
	}
	cert := &certificate{certFile: l.TLSCert, keyFile: l.TLSKey, log: log}
	if _, err := cert.get(nil); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	if l.TLSClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(l.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("client certificates: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("client certificates: there is none in %s", l.TLSClientCA)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}

// secured is a connection that knows how it is secured.
type secured interface{ ConnectionState() tls.ConnectionState }

// certified returns the user whom the client's certificate names, "" for none.
// The listener has verified it.
func certified(nc any) string {
	s, ok := nc.(secured)
	if !ok {
		return ""
	}
	state := s.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return ""
	}
	return state.PeerCertificates[0].Subject.CommonName
}

var errNoUser = errors.New("the certificate names a user that does not exist")
