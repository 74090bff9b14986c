package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", nil, nil)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes NAME.pem and NAME-key.pem.
func (a *authority) issue(name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true, IsCA: by == nil,
	}
	if by == nil {
		by, byKey = template, key
		template.KeyUsage = x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name, "CERTIFICATE", der)
	a.write(name+"-key", "PRIVATE KEY", keyDER)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// TestForeignTLSWithPasswordAndClientCertificate delivers to a mosquitto that
// asks for both, and is refused by it without them.
func TestForeignTLSWithPasswordAndClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server", ca.cert, ca.key)
	ca.issue("pad-7", ca.cert, ca.key)
	stranger := newAuthority(t)

	passwords := filepath.Join(ca.dir, "passwords")
	if out, err := exec.Command(foreign(t, "mosquitto_passwd"), "-c", "-b", passwords, "pad-7", "secret").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	secret := filepath.Join(ca.dir, "password")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := &remote{t: t, port: freePort(t), config: filepath.Join(ca.dir, "mosquitto.conf")}
	plain := freePort(t)
	text := fmt.Sprintf("per_listener_settings true\nuser root\nlog_type all\nlistener %d 127.0.0.1\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\npassword_file %s\n"+
		"listener %d 127.0.0.1\nallow_anonymous true\n", server.port, ca.file("ca"), ca.file("server"), ca.file("server-key"), passwords, plain)
	if err := os.WriteFile(server.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server.start()
	watch := &remote{t: t, port: plain, running: server.running}
	arrived := watch.collect()

	port := freePort(t)
	slave(t, "tcp", fmt.Sprint(port))
	table := func(name, ca, keys string) string {
		return fmt.Sprintf("\n[uplink.%s]\nservers = [\"mqtts://localhost:%d\"]\nclient_id = %q\nbatch_interval = \"1s\"\ntls_ca = %q\n%s", name, server.port, name, ca, keys)
	}
	all := fmt.Sprintf("username = \"pad-7\"\npassword_file = %q\ntls_cert = %q\ntls_key = %q\n", secret, ca.file("pad-7"), ca.file("pad-7-key"))
	b := newBox(t, tcpLine(port)+tcpDevice("a", port, 1)+
		table("good", ca.file("ca"), all)+
		table("nopassword", ca.file("ca"), strings.ReplaceAll(all, secret, os.DevNull))+
		table("stranger", stranger.file("ca"), all)+
		table("nocertificate", ca.file("ca"), fmt.Sprintf("username = \"pad-7\"\npassword_file = %q\n", secret)))
	b.start()
	eventually(t, "readings arrive", func() bool { return arrived.of("a") > 20 })
	eventually(t, "the others say why they are not connected", func() bool {
		s, err := b.status()
		return err == nil && s.Uplinks["good"].State == "connected" &&
			strings.Contains(s.Uplinks["stranger"].Error, "certificate") &&
			strings.Contains(s.Uplinks["nocertificate"].Error, "certificate") &&
			strings.Contains(strings.ToLower(s.Uplinks["nopassword"].Error), "not authorized")
	})
	arrived.wellFormed()
}
