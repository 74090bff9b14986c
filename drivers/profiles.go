package drivers

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/gaugeway/gaugeway/configs"
	"github.com/gaugeway/gaugeway/gateway"
)

// Profile describes one kind of instrument in the words of a configuration.
type Profile struct {
	Name string // of its file, without .toml
	File string // where it was read
	Text string // the whole file
	Head Head
	Line map[string]any // keys of [line.x] that it needs unless the configuration says otherwise
	// Device is keys of [device.x], its tags among them.
	Device    map[string]any
	Exchanges map[string]Exchange
}

// Head is the table [profile].
type Head struct {
	Title    string `toml:"title"`
	Protocol string `toml:"protocol"` // modbus for any of its framings, or text
	Version  int    `toml:"version"`
	Source   string `toml:"source"`
	Verified string `toml:"verified"` // "documentation" or "hardware", and by whom
	Notes    string `toml:"notes"`
}

// Exchange is what went over a line once, or stands in a manual: a request, its
// reply, and what its tags must read.
type Exchange struct {
	Poll    string            `toml:"poll"`    // of a text instrument with several
	Request string            `toml:"request"` // with the escapes of the text driver
	Reply   string            `toml:"reply"`
	Hex     HexExchange       `toml:"hex"` // the same in hexadecimal; of Modbus in RTU frames
	Tags    map[string]string `toml:"tags"`
}

// Good reports whether every tag of the exchange has a good value in it.
func (x Exchange) Good() bool {
	for _, outcome := range x.Tags {
		if strings.HasPrefix(outcome, gateway.Bad.String()+" ") || strings.Contains(outcome, " "+gateway.Uncertain.String()+" ") {
			return false
		}
	}
	return true
}

// HexExchange is an exchange in hexadecimal digits; spaces are free.
type HexExchange struct {
	Request string `toml:"request"`
	Reply   string `toml:"reply"`
}

// DefaultProfileDirectory is where a site keeps profiles of its own.
const DefaultProfileDirectory = "/etc/gaugeway/profiles"

// Profiles returns every profile, by name: those of the directory, which may be
// "" or missing, before those that the program brings. A broken one is in errs
// and not in the list.
func Profiles(directory string) (all []Profile, errs []error) {
	seen := make(map[string]bool)
	for _, from := range []struct {
		files fs.FS
		name  string
	}{{directoryFS(directory), directory}, {builtIn(), "built in"}} {
		if from.files == nil {
			continue
		}
		names, _ := fs.Glob(from.files, "*.toml") // the pattern is sound
		for _, name := range names {
			text, err := fs.ReadFile(from.files, name)
			if err != nil {
				errs = append(errs, fmt.Errorf("profile %s: %w", name, err))
				continue
			}
			p, err := ParseProfile(path.Join(from.name, name), string(text))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return all, errs
}

func directoryFS(directory string) fs.FS {
	if directory == "" {
		return nil
	}
	return os.DirFS(directory)
}

func builtIn() fs.FS {
	files, err := fs.Sub(configs.Profiles, "profiles")
	if err != nil {
		panic(err) // the name is sound
	}
	return files
}

// FindProfile returns the profile of this name.
func FindProfile(name, directory string) (Profile, error) {
	all, _ := Profiles(directory)
	var names []string
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, errors.New(gateway.Unknown(name, "a profile", names))
}

// ReadProfile reads one profile from a file.
func ReadProfile(file string) (Profile, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Profile{}, fmt.Errorf("profile: %w", err)
	}
	return ParseProfile(file, string(text))
}

// ParseProfile reads the text of a profile. What its device keys mean is checked
// when a configuration uses it.
func ParseProfile(file, text string) (Profile, error) {
	var content struct {
		Profile  Head                `toml:"profile"`
		Line     map[string]any      `toml:"line"`
		Device   map[string]any      `toml:"device"`
		Exchange map[string]Exchange `toml:"exchange"`
	}
	md, err := toml.Decode(text, &content)
	if err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", file, err)
	}
	for _, key := range md.Undecoded() {
		if len(key) < 2 || key[0] != "line" && key[0] != "device" {
			return Profile{}, fmt.Errorf("profile %s: %s is not a key of a profile; its tables are [profile], [line], [device] and [exchange.NAME]", file, key)
		}
	}
	p := Profile{
		Name: strings.TrimSuffix(filepath.Base(file), ".toml"), File: file, Text: text,
		Head: content.Profile, Line: content.Line, Device: content.Device, Exchanges: content.Exchange,
	}
	return p, p.check()
}

func (p Profile) check() error {
	if err := gateway.ValidName(p.Name); err != nil {
		return fmt.Errorf("profile %s: %w", p.File, err)
	}
	for _, given := range []struct{ key, value string }{
		{"title", p.Head.Title}, {"protocol", p.Head.Protocol}, {"source", p.Head.Source}, {"verified", p.Head.Verified},
	} {
		if given.value == "" {
			return fmt.Errorf("profile %s: profile.%s is missing", p.File, given.key)
		}
	}
	if _, ok := families[p.Head.Protocol]; !ok {
		return fmt.Errorf("profile %s: profile.protocol: %s", p.File, gateway.Unknown(p.Head.Protocol, "a protocol of a profile", Families()))
	}
	if p.Head.Version < 1 {
		return fmt.Errorf("profile %s: profile.version is missing; write version = 1", p.File)
	}
	return nil
}

// Play decodes an exchange that the profile has written down with a device that
// it describes, and says what differs from what the exchange expects.
func (p Profile) Play(name string, device DeviceOptions) error {
	x := p.Exchanges[name]
	request, reply, err := p.Bytes(name)
	if err != nil {
		return err
	}
	readings, err := Decode(p.Head.Protocol, device, x.Poll, request, reply)
	if err != nil {
		return err
	}
	var wrong []error
	got := make(map[string]string)
	for _, r := range readings {
		got[r.Tag.Name] = Outcome(r)
	}
	for tag, want := range x.Tags {
		if got[tag] != want {
			wrong = append(wrong, fmt.Errorf("%s is %q, and the exchange says %q", tag, got[tag], want))
		}
	}
	if len(x.Tags) == 0 {
		return errors.New("it expects no tag; write what they read: tags = { pressure = \"12.5\" }")
	}
	return errors.Join(wrong...)
}

// Bytes returns what went over the line in an exchange.
func (p Profile) Bytes(name string) (request, reply []byte, err error) {
	x, protocol := p.Exchanges[name], p.Head.Protocol
	if x.Hex.Reply != "" {
		request, err1 := hex.DecodeString(strings.ReplaceAll(x.Hex.Request, " ", ""))
		reply, err2 := hex.DecodeString(strings.ReplaceAll(x.Hex.Reply, " ", ""))
		return request, reply, errors.Join(err1, err2)
	}
	unescape := families[protocol].unescape
	if unescape == nil {
		return nil, nil, fmt.Errorf("an exchange of %s is written in hexadecimal: hex = { request = \"…\", reply = \"…\" }", protocol)
	}
	request, err1 := unescape(x.Request)
	reply, err2 := unescape(x.Reply)
	return request, reply, errors.Join(err1, err2)
}

// Outcome is what a reading says, as exchanges are written: its value, and what
// is not good about it: "12.5", "bad sentinel", "300 uncertain range".
func Outcome(r gateway.Reading) string {
	if r.Quality == gateway.Good {
		return r.Value.String()
	}
	text := r.Quality.String() + " " + r.Reason.String()
	if r.Quality == gateway.Bad {
		return text
	}
	return r.Value.String() + " " + text
}
