package line

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Port is a serial port of this machine.
type Port struct {
	Path      string   `json:"path"`             // /dev/ttyUSB0, which may be another adapter tomorrow
	Stable    []string `json:"stable,omitempty"` // names that stay with the adapter, or with its socket
	Adapter   string   `json:"adapter,omitempty"`
	Driver    string   `json:"driver,omitempty"`
	Group     string   `json:"group,omitempty"` // that may use it
	Permitted bool     `json:"permitted"`       // this user may use it
	HeldBy    string   `json:"held_by,omitempty"`
}

// List returns the serial ports there are. It opens none: opening disturbs who
// uses a port, and closing may take half a minute. (The library's list opens and
// closes every ttyS there is, and knows neither ttyAP nor ttyLP, ttySC, ttyPS,
// ttySTM and ttyXR, nor the names in by-id.)
func List() ([]Port, error) { return list("/") }

// list looks below root.
func list(root string) ([]Port, error) {
	entries, err := os.ReadDir(filepath.Join(root, "sys/class/tty"))
	if err != nil {
		return nil, err
	}
	stable := stableNames(root)
	var ports []Port
	for _, e := range entries {
		device := filepath.Join(root, "sys/class/tty", e.Name(), "device")
		path := filepath.Join("/dev", e.Name())
		if !isPort(root, e.Name(), device) {
			continue
		}
		p := Port{Path: path, Stable: stable[path], Adapter: adapter(root, device), HeldBy: holder(filepath.Join(root, path))}
		p.Driver = driverOf(root, device)
		p.Group, p.Permitted = permission(filepath.Join(root, path))
		ports = append(ports, p)
	}
	return ports, nil
}

// isPort tells a serial port from a console, and from one that the kernel keeps
// a place for and that is not there (type 0).
func isPort(root, name, device string) bool {
	if _, err := os.Lstat(filepath.Join(device, "driver")); err != nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(root, "dev", name)); err != nil {
		return false
	}
	kind, err := os.ReadFile(filepath.Join(root, "sys/class/tty", name, "type"))
	return err != nil || strings.TrimSpace(string(kind)) != "0"
}

// stableNames returns the names in /dev/serial/by-id and by-path, by what they
// point at; those of the adapter itself first.
func stableNames(root string) map[string][]string {
	names := make(map[string][]string)
	for _, dir := range []string{"/dev/serial/by-id", "/dev/serial/by-path"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			continue // no USB adapter has it
		}
		for _, e := range entries {
			link, err := os.Readlink(filepath.Join(root, dir, e.Name()))
			if err == nil {
				target := filepath.Join("/dev", filepath.Base(link))
				names[target] = append(names[target], filepath.Join(dir, e.Name()))
			}
		}
	}
	return names
}

// adapter says what the port hangs on: the first thing above it that has a name.
func adapter(root, device string) string {
	dir, err := filepath.EvalSymlinks(device)
	for ; err == nil && len(dir) > len(root) && dir != "/"; dir = filepath.Dir(dir) {
		var words []string
		for _, file := range []string{"manufacturer", "product", "serial"} {
			if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				words = append(words, strings.TrimSpace(string(text)))
			}
		}
		if len(words) > 0 {
			return strings.Join(slices.Compact(words), " ")
		}
	}
	return ""
}

// driverOf returns the driver of the hardware. Newer kernels put two layers of
// their own between, whose names say nothing.
func driverOf(root, device string) string {
	dir, err := filepath.EvalSymlinks(device)
	for ; err == nil && len(dir) > len(root) && dir != "/"; dir = filepath.Dir(dir) {
		link, err := os.Readlink(filepath.Join(dir, "driver"))
		if name := filepath.Base(link); err == nil && name != "port" && name != "ctrl" {
			return name
		}
	}
	return ""
}

func permission(path string) (group string, permitted bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return "", false
	}
	group = strconv.FormatUint(uint64(st.Gid), 10)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return group, unix.Access(path, unix.R_OK|unix.W_OK) == nil
}
