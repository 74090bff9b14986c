package broker

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options are the keys of [broker]. The zero value of a field is its default.
type Options struct {
	Topic     string              `toml:"topic"`    // of own tags: "{site}/{device}/{tag}"
	Payload   string              `toml:"payload"`  // of own tags: json or value
	TagQoS    int                 `toml:"tag_qos"`  // of own tags: 0 or 1
	Listeners map[string]Listener `toml:"listener"` // nil: one named "local" at 127.0.0.1:1883; empty: none
	Users     map[string]User     `toml:"user"`
}

// Listener is one address where clients may connect.
type Listener struct {
	Address        string `toml:"address"`         // "host:port"; of the listener "local" 127.0.0.1:1883 unless given
	AllowAnonymous *bool  `toml:"allow_anonymous"` // nil: only on loopback
	WebSocket      bool   `toml:"websocket"`       // MQTT over WebSocket, at /mqtt
	TLSCert        string `toml:"tls_cert"`        // a file; read again when it changes
	TLSKey         string `toml:"tls_key"`
	TLSClientCA    string `toml:"tls_client_ca"` // clients must have a certificate of it, whose common name is their user
}

// User is a client that gives a name and a password.
type User struct {
	PasswordHash string   `toml:"password_hash"` // bcrypt, from gaugeway passwd; "" for who comes with a certificate
	Publish      []string `toml:"publish"`       // filters of topics it may publish on; nil: any. %u is its name, %c its client identifier
	Subscribe    []string `toml:"subscribe"`     // filters it may subscribe to, or to a part of them; nil: any
}

const (
	defaultTopic    = "{site}/{device}/{tag}"
	defaultListener = "local"
	defaultAddress  = "127.0.0.1:1883"

	payloadJSON  = "json"
	payloadValue = "value"
)

// Defaults returns the options that hold where nothing is written.
func Defaults() Options {
	return Options{
		Topic:     defaultTopic,
		Payload:   payloadJSON,
		Listeners: map[string]Listener{defaultListener: {Address: defaultAddress}},
	}
}

func (o Options) withDefaults() Options {
	d := Defaults()
	if o.Topic == "" {
		o.Topic = d.Topic
	}
	if o.Payload == "" {
		o.Payload = d.Payload
	}
	if o.Listeners == nil {
		o.Listeners = d.Listeners
	}
	return o
}

// anonymous reports whether clients may come without a user name.
func (l Listener) anonymous() bool {
	if l.AllowAnonymous != nil {
		return *l.AllowAnonymous
	}
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Validate names everything that is wrong.
func (o Options) Validate() gateway.Faults {
	o = o.withDefaults()
	var f gateway.Faults
	validateTopic(&f, o.Topic)
	if o.Payload != payloadJSON && o.Payload != payloadValue {
		f.Add("payload", "%q is not a payload; use json or value", o.Payload)
	}
	if o.TagQoS != 0 && o.TagQoS != 1 {
		f.Add("tag_qos", "%d is not possible; use 0 or 1", o.TagQoS)
	}
	taken := make(map[string]string)
	for _, name := range sortedKeys(o.Listeners) {
		o.validateListener(&f, name, taken)
	}
	for _, name := range sortedKeys(o.Users) {
		f.Under("user."+name, o.Users[name].Validate(name, o.certificates()))
	}
	return f
}

// certificates reports whether clients may come with one.
func (o Options) certificates() bool {
	for _, l := range o.Listeners {
		if l.TLSClientCA != "" {
			return true
		}
	}
	return false
}

// validateTopic wants a template that gives every tag a topic of its own.
func validateTopic(f *gateway.Faults, topic string) {
	plain := strings.NewReplacer("{site}", "s", "{device}", "d", "{tag}", "t").Replace(topic)
	switch {
	case strings.ContainsAny(plain, "{}"):
		f.Add("topic", "%q has a placeholder that does not exist; there are {site}, {device} and {tag}", topic)
	case !strings.Contains(topic, "{device}") || !strings.Contains(topic, "{tag}"):
		f.Add("topic", "%q would give several tags one topic; write {device} and {tag} into it", topic)
	case gateway.ValidTopic(plain) != nil:
		f.Add("topic", "%q %v", topic, gateway.ValidTopic(plain))
	case strings.HasPrefix(plain, "$"):
		f.Add("topic", "%q begins with $, which wildcards do not match; begin with {site}", topic)
	case levels(plain) > maxLevels:
		f.Add("topic", "%q has more than %d levels", topic, maxLevels)
	}
}

func (o Options) validateListener(f *gateway.Faults, name string, taken map[string]string) {
	key, l := "listener."+name, o.Listeners[name]
	if err := gateway.ValidName(name); err != nil {
		f.Add(key, "%v", err)
	}
	if name == defaultListener && l.Address == "" {
		l.Address = defaultAddress
	}
	_, port, err := net.SplitHostPort(l.Address)
	if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		f.Add(key+".address", "%q is not an address; write it like \"127.0.0.1:1883\" or \":1883\"", l.Address)
		return
	} else if other, twice := taken[l.Address]; twice && number != 0 {
		f.Add(key+".address", "%s is the address of listener %s already; give each its own port", l.Address, other)
	}
	taken[l.Address] = name
	switch {
	case (l.TLSCert == "") != (l.TLSKey == ""):
		f.Add(key+".tls_cert", "needs tls_key, and the other way round")
	case l.TLSClientCA != "" && l.TLSCert == "":
		f.Add(key+".tls_client_ca", "needs tls_cert and tls_key: without them the listener does not speak TLS")
	}
	if !l.anonymous() && len(o.Users) == 0 {
		f.Add(key, "nobody could log in: add a user ([broker.user.NAME]), or write allow_anonymous = true")
	}
}

// Validate names everything that is wrong with the user of this name.
// certificates says that users may come with one instead of a password.
func (u User) Validate(name string, certificates bool) gateway.Faults {
	var f gateway.Faults
	if name == "" {
		f.Add("", "a user needs a name")
	}
	if u.PasswordHash == "" && certificates {
		return append(f, u.validateLists()...)
	}
	if u.PasswordHash == "" {
		f.Add("password_hash", "is missing; make one with gaugeway passwd")
	} else if _, err := bcrypt.Cost([]byte(u.PasswordHash)); err != nil || len(u.PasswordHash) != bcryptLength {
		f.Add("password_hash", "is not a bcrypt hash; make one with gaugeway passwd")
	}
	return append(f, u.validateLists()...)
}

func (u User) validateLists() gateway.Faults {
	var f gateway.Faults
	for _, list := range []struct {
		key     string
		filters []string
	}{{"publish", u.Publish}, {"subscribe", u.Subscribe}} {
		for _, filter := range list.filters {
			if err := gateway.ValidFilter(filter); err != nil {
				f.Add(list.key, "filter %q %v", filter, err)
			}
		}
	}
	return f
}

// ownTopics says which topics belong to the gateway. The zero value has none.
type ownTopics struct {
	prefix string // all topics that begin so
	tags   string // and all that this filter matches
	writes string // except those: where a tag is written
}

// writeSuffix follows the topic of a tag where it is written.
const writeSuffix = "/set"

func (o Options) ownTopics(site string) ownTopics {
	if site == "" {
		return ownTopics{}
	}
	template := strings.Split(strings.ReplaceAll(o.Topic, "{site}", site), "/")
	for i, level := range template {
		if strings.Contains(level, "{") {
			template[i] = "+"
		}
	}
	tag := strings.Join(template, "/")
	return ownTopics{prefix: site + "/", tags: tag + "/#", writes: tag + writeSuffix}
}

// has reports whether only the gateway may publish on topic.
func (t ownTopics) has(topic string) bool {
	if t.prefix == "" || t.isWrite(topic) {
		return false
	}
	return strings.HasPrefix(topic, t.prefix) || gateway.MatchTopic(t.tags, topic)
}

// isWrite reports whether topic is where a tag is written.
func (t ownTopics) isWrite(topic string) bool {
	return t.writes != "" && gateway.MatchTopic(t.writes, topic)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
