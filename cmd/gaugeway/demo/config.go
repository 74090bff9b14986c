package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	site    = "demo"
	scanTag = "scan"
)

// pace is how fast the demonstration plays.
type pace struct {
	interval, timeout time.Duration
}

// freshness is how old an answer may be when its reading is made: well over the
// timeout, so that a busy machine raises no false alarm, and well under the
// interval, after which a stale answer would be read.
func (p pace) freshness() time.Duration { return p.interval * 6 / 10 }

// newPace returns a reading every second at speed 1.
func newPace(speed float64) pace {
	interval := max(time.Duration(float64(time.Second)/speed), 50*time.Millisecond)
	return pace{interval: interval, timeout: max(interval/5, 20*time.Millisecond)}
}

// instrument is one simulated device.
type instrument struct {
	name string
	line string
	unit int
	base float64 // of its pressure
}

var instruments = []instrument{
	{"wellhead", "rs485", 1, 87},
	{"casing", "rs485", 2, 41},
	{"separator", "rs485", 7, 12},
	{"pump", "pumps", 11, 23},
}

// tags stand in every device, in requests of equal length, since that is where
// a late reply fits the next request.
const tags = `
[device.%[1]s.tag.scan]
address = 0
type = "uint32"
[device.%[1]s.tag.pressure]
address = 2
type = "float32"
unit = "bar"
[device.%[1]s.tag.temperature]
address = 4
type = "int16"
scale = 0.1
unit = "degC"
`

// writeConfig writes the configuration of the demonstration: a real one.
func writeConfig(dir string, ports map[string]string, brokerAddress, server string, p pace) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "site = %q\nclock = \"trusted\"\n", site)
	for line, port := range ports {
		fmt.Fprintf(&b, "\n[line.%s]\nprotocol = \"modbus-rtu\"\nserial = %q\nbaud_rate = 115200\nparity = \"none\"\nresponse_timeout = %q\n", line, port, p.timeout)
	}
	for _, i := range instruments {
		fmt.Fprintf(&b, "\n[device.%s]\nline = %q\nslave_id = %d\ninterval = %q\n", i.name, i.line, i.unit, p.interval)
		fmt.Fprintf(&b, tags, i.name)
	}
	fmt.Fprintf(&b, "\n[broker.listener.local]\naddress = %q\n", brokerAddress)
	fmt.Fprintf(&b, "\n[buffer]\ndirectory = %q\ncommit_interval = %q\n", filepath.Join(dir, "buffer"), commitInterval)
	fmt.Fprintf(&b, "\n[uplink.server]\nservers = [\"mqtt://%s\"]\nbatch_interval = %q\nliveness = \"30s\"\n", server, 2*commitInterval)
	fmt.Fprintf(&b, "\n[control]\nsocket = %q\n", filepath.Join(dir, "control.sock"))
	path := filepath.Join(dir, "demo.toml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

const commitInterval = time.Second
