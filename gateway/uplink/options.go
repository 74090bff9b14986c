// Package uplink delivers batches to remote MQTT servers over a link that is
// metered and fails, and tells them by a last will when the gateway is gone.
package uplink

import (
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options describe one remote destination.
type Options struct {
	Servers      []string      `toml:"servers"` // tried in order
	ClientID     string        `toml:"client_id"`
	Username     string        `toml:"username"`
	PasswordFile string        `toml:"password_file"`
	TLSCA        string        `toml:"tls_ca"`
	TLSCert      string        `toml:"tls_cert"`
	TLSKey       string        `toml:"tls_key"`
	Prefix       string        `toml:"prefix"`
	Format       string        `toml:"format"`
	JSONLayout   string        `toml:"json_layout"`
	Interval     time.Duration `toml:"batch_interval"`
	Liveness     time.Duration `toml:"liveness"`
	Forward      []string      `toml:"forward"`
	Subscribe    []string      `toml:"subscribe"` // topics of the server that come down to the site, while it is connected
}

// The range that liveness may have. The keepalive of MQTT has 16 bits of
// seconds, and a server waits for one and a half of it ([MQTT-3.1.2-24]).
const (
	minLiveness = 10 * time.Second
	maxLiveness = 24 * time.Hour
)

// SetDefaults sets what is used for keys that a site does not write. ClientID
// stays empty: its default is "gaugeway-" and the site, which is not known here.
func (o *Options) SetDefaults() {
	*o = Options{
		Prefix:     "gaugeway",
		Format:     "json",
		JSONLayout: "records",
		Interval:   10 * time.Second,
		Liveness:   20 * time.Minute,
	}
}

var schemes = []string{"mqtt", "mqtts", "ws", "wss"}

// Validate names everything that is wrong with the options; it opens nothing.
func (o Options) Validate() gateway.Faults {
	var f gateway.Faults
	if len(o.Servers) == 0 {
		f.Add("servers", `is missing; write where to send to, like ["mqtts://scada.example.com:8883"]`)
	}
	secure := false
	for _, server := range o.Servers {
		u, err := url.Parse(server)
		switch {
		case err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme):
			f.Add("servers", `%q is not a server; write mqtt://, mqtts://, ws:// or wss:// and a host, like "mqtts://scada.example.com:8883"`, server)
		case u.User != nil:
			f.Add("servers", "%q holds a user; put it into username and password_file, where no log shows it", u.Redacted())
		default:
			secure = secure || u.Scheme == "mqtts" || u.Scheme == "wss"
		}
	}
	if o.ClientID == "" || len(o.ClientID) > 256 {
		f.Add("client_id", "must have 1 to 256 characters")
	}
	if o.Username == "" && o.PasswordFile != "" {
		f.Add("password_file", "needs a username beside it")
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		f.Add("tls_cert", "and tls_key must be given together")
	}
	if !secure && (o.TLSCA != "" || o.TLSCert != "") {
		f.Add("tls_ca", "and tls_cert have no use without a mqtts:// or wss:// server")
	}
	switch o.Format {
	case "json":
	case "compact", "sparkplug":
		f.Add("format", `%q is not in this version; use "json"`, o.Format)
	default:
		f.Add("format", `%q is not a format; use "json"`, o.Format)
	}
	switch o.JSONLayout {
	case "records":
	case "telegraf", "thingsboard":
		f.Add("json_layout", `%q is not in this version; use "records"`, o.JSONLayout)
	default:
		f.Add("json_layout", `%q is not a layout; use "records"`, o.JSONLayout)
	}
	if err := gateway.ValidTopic(o.Prefix); err != nil {
		f.Add("prefix", "%v", err)
	}
	if o.Interval < time.Second || o.Interval > 24*time.Hour {
		f.Add("batch_interval", `%v must be from "1s" to "24h"`, o.Interval)
	}
	if o.Liveness < minLiveness || o.Liveness > maxLiveness {
		f.Add("liveness", `%v must be from "%v" to "%v"`, o.Liveness, minLiveness, maxLiveness)
	}
	for _, list := range []struct {
		key     string
		filters []string
	}{{"forward", o.Forward}, {"subscribe", o.Subscribe}} {
		for _, filter := range list.filters {
			if err := gateway.ValidFilter(filter); err != nil {
				f.Add(list.key, "%q is not a topic filter: it %v", filter, err)
			}
		}
	}
	return f
}

// CheckFiles names the files that are configured and cannot be read.
func (o Options) CheckFiles() gateway.Faults {
	var f gateway.Faults
	for _, file := range []struct{ key, path string }{
		{"password_file", o.PasswordFile}, {"tls_ca", o.TLSCA}, {"tls_cert", o.TLSCert}, {"tls_key", o.TLSKey},
	} {
		if file.path == "" {
			continue
		}
		if _, err := os.Stat(file.path); err != nil {
			f.Add(file.key, "%v", err)
		}
	}
	return f
}
