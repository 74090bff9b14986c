package broker

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
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// authority issues certificates into a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes NAME.pem and NAME-key.pem; the first is the authority itself.
func (a *authority) issue(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
	}
	by, byKey := a.cert, a.key
	if by == nil {
		by, byKey, template.KeyUsage = template, key, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, byKey)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name: {Type: "CERTIFICATE", Bytes: der}, name + "-key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func TestMosquittoOverTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	b, port := serve(t, "", Options{Listeners: map[string]Listener{"local": {Address: "127.0.0.1:0", TLSCert: a.file("server"), TLSKey: a.file("server-key")}}}, nil)
	b.Publish("ready", []byte("yes"), true)
	read := func(args ...string) (string, error) {
		out, err := command(t, "mosquitto_sub", port, append([]string{"-t", "ready", "-C", "1", "-W", "5"}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := read("--cafile", a.file("ca")); err != nil || out != "yes\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if out, err := read(); err == nil {
		t.Errorf("without TLS: %q", out)
	}
	other := newAuthority(t) // a certificate of another authority takes the place of the first, without a restart
	other.issue("server")
	for _, name := range []string{"server", "server-key"} {
		text, err := os.ReadFile(other.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(a.file(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(a.file("server"), time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if out, err := read("--cafile", other.file("ca")); err != nil || out != "yes\n" {
		t.Errorf("with the new certificate: %q, %v", out, err)
	}
	if err := os.WriteFile(a.file("server"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := read("--cafile", other.file("ca")); err != nil || out != "yes\n" {
		t.Errorf("with a certificate that cannot be read: %q, %v", out, err)
	}
}

func TestMosquittoWithACertificateIsAUser(t *testing.T) {
	a := newAuthority(t)
	for _, name := range []string{"server", "plc", "stranger"} {
		a.issue(name)
	}
	o := Options{
		Listeners: map[string]Listener{"local": {Address: "127.0.0.1:0", TLSCert: a.file("server"), TLSKey: a.file("server-key"), TLSClientCA: a.file("ca")}},
		Users:     map[string]User{"plc": {Publish: []string{"plc/%c/#"}, Subscribe: []string{"of/%u/#", "ready"}}},
	}
	if f := o.Validate(); len(f) > 0 {
		t.Fatal(f)
	}
	b, port := serve(t, "", o, nil)
	b.Publish("ready", []byte("yes"), true)
	b.Publish("of/plc/x", []byte("mine"), true)
	b.Publish("of/other/x", []byte("not mine"), true)
	with := func(name string, args ...string) []string {
		return append([]string{"--cafile", a.file("ca"), "--cert", a.file(name), "--key", a.file(name + "-key")}, args...)
	}
	if got := run(t, "mosquitto_sub", port, with("plc", "-v", "-t", "of/plc/#", "-C", "1", "-W", "5")...); got != "of/plc/x mine\n" {
		t.Errorf("printed %q", got)
	}
	if out, err := command(t, "mosquitto_sub", port, with("plc", "-t", "of/other/#", "-C", "1", "-W", "3")...).CombinedOutput(); !strings.Contains(string(out), "denied") {
		t.Errorf("another's topics: %s, %v", out, err)
	}
	if out, err := command(t, "mosquitto_sub", port, with("stranger", "-t", "ready", "-C", "1", "-W", "3")...).CombinedOutput(); err == nil {
		t.Errorf("a certificate without a user: %s", out)
	}
	if out, err := command(t, "mosquitto_sub", port, "--cafile", a.file("ca"), "-t", "ready", "-C", "1", "-W", "3").CombinedOutput(); err == nil {
		t.Errorf("without a certificate: %s", out)
	}
	run(t, "mosquitto_pub", port, with("plc", "-V", "mqttv5", "-q", "1", "-i", "p1", "-t", "plc/p1/x", "-m", "m")...)
	if out, _ := command(t, "mosquitto_pub", port, with("plc", "-V", "mqttv5", "-q", "1", "-i", "p1", "-t", "plc/p2/x", "-m", "m")...).CombinedOutput(); !strings.Contains(string(out), "Not authorized") {
		t.Errorf("another client's topic: %s", out)
	}
}

// jsClient is where npm has put mqtt, once for all tests.
var jsClient = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "mqtt-js"); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json", "client.js"} {
		text, err := os.ReadFile(filepath.Join("testdata/mqtt", name))
		if err != nil {
			return dir, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return dir, err
		}
	}
	fmt.Fprintf(os.Stderr, "Installing mqtt, a client that nobody here wrote, from the npm registry into %s\n", dir)
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("npm ci: %w; it needs nodejs with npm, and the npm registry\n%s", err, out)
	}
	return dir, nil
})

// TestJavaScript has npm's mqtt speak both versions, over TCP, TLS and WebSocket.
func TestJavaScript(t *testing.T) {
	dir, err := jsClient()
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t)
	a.issue("server")
	b := New("", Options{Listeners: map[string]Listener{
		"mqtt": {Address: "127.0.0.1:0"}, "ws": {Address: "127.0.0.1:0", WebSocket: true},
		"mqtts": {Address: "127.0.0.1:0", TLSCert: a.file("server"), TLSKey: a.file("server-key")},
		"wss":   {Address: "127.0.0.1:0", TLSCert: a.file("server"), TLSKey: a.file("server-key"), WebSocket: true},
	}}, nil, quietLog())
	runBroker(t, b)
	for scheme, path := range map[string]string{"mqtt": "", "mqtts": "", "ws": "/mqtt", "wss": "/mqtt"} {
		for _, version := range []string{"4", "5"} {
			t.Run(scheme+version, func(t *testing.T) {
				cmd := exec.Command("node", "client.js", fmt.Sprintf("%s://%s%s", scheme, b.Addr(scheme), path), version, a.file("ca"))
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				extra := "- -"
				if version == "5" {
					extra = "7 v"
				}
				want := strings.ReplaceAll("connected false\ngranted 2\njs/t m0 0 X\njs/t m1 1 X\njs/t m2 2 X\nended\n", "X", extra)
				if err != nil || string(out) != want {
					t.Errorf("%v, printed\n%s, want\n%s", err, out, want)
				}
			})
		}
	}
}

func TestListenersThatCannotBe(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for want, l := range map[string]Listener{
		"tls_cert: needs tls_key":      {Address: "127.0.0.1:0", TLSCert: a.file("server")},
		"tls_client_ca: needs":         {Address: "127.0.0.1:0", TLSClientCA: a.file("ca")},
		"nobody could log in: add a u": {Address: "0.0.0.0:1"},
	} {
		f := Options{Listeners: map[string]Listener{"x": l}}.Validate()
		if len(f) == 0 || !strings.Contains(f[0].Key+": "+f[0].Text, want) {
			t.Errorf("%+v: %v", l, f)
		}
	}
	if f := (Options{Users: map[string]User{"u": {}}}).Validate(); len(f) != 1 || f[0].Key != "user.u.password_hash" {
		t.Error(f)
	}
	if f := (Options{Users: map[string]User{"u": {PasswordHash: string(hash)}}}).Validate(); len(f) != 0 {
		t.Error(f)
	}
	b := New("", Options{Listeners: map[string]Listener{"x": {Address: "127.0.0.1:0", TLSCert: a.file("none"), TLSKey: a.file("server-key")}}}, nil, quietLog())
	if err := b.Listen(); err == nil || !strings.Contains(err.Error(), "broker listener x: certificate: ") {
		t.Error(err)
	}
}

// A client identifier cannot make a pattern match more than its own topics.
func TestPatternsDoNotWiden(t *testing.T) {
	a := &account{name: "u", publish: []string{"c/%c/#"}, subscribe: []string{"c/%c/#", "u/%u"}}
	for _, c := range []struct {
		client, topic string
		want          bool
	}{{"p1", "c/p1/x", true}, {"p1", "c/p2/x", false}, {"+", "c/p2/x", false}, {"#", "c/x", false}, {"p1/x", "c/p1/x/y", false}, {"%u", "c/u/x", false}} {
		if got := a.mayPublish(c.topic, c.client); got != c.want {
			t.Errorf("%s publishes on %s: %t", c.client, c.topic, got)
		}
	}
	if !a.maySubscribe("u/u", "x") || a.maySubscribe("c/#", "#") || a.maySubscribe("c/+/x", "+") {
		t.Error("a filter is wider than the pattern")
	}
}
