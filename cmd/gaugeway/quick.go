package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/config"
)

// endpoint is flags that stand for a line and a device where there is no configuration.
type endpoint struct {
	Serial   string `json:"serial,omitempty"`
	Address  string `json:"address,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Baud     int    `json:"baud_rate"`
	Parity   string `json:"parity"`
	DataBits int    `json:"data_bits"`
	StopBits int    `json:"stop_bits"`
	Slave    int    `json:"slave_id"`
	Timeout  string `json:"response_timeout"`
}

func (e *endpoint) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.Serial, "serial", "", "serial `port`, instead of a configuration")
	f.StringVar(&e.Address, "address", "", "`host:port`, instead of a configuration")
	f.StringVar(&e.Protocol, "protocol", "", "protocol of the line (modbus-rtu on a port, modbus-tcp at an address)")
	f.IntVar(&e.Baud, "baud", 9600, "baud rate")
	f.StringVar(&e.Parity, "parity", "none", "none, even or odd")
	f.IntVar(&e.DataBits, "data-bits", 8, "7 or 8")
	f.IntVar(&e.StopBits, "stop-bits", 1, "1 or 2")
	f.IntVar(&e.Slave, "slave-id", 1, "the number that the instrument is set to")
	f.StringVar(&e.Timeout, "response-timeout", "500ms", "how long the instrument may think")
}

// given reports whether the flags name a line at all.
func (e *endpoint) given() bool { return e.Serial != "" || e.Address != "" }

// The names that stand for a line and a device without a name.
const (
	quickLine   = "line"
	quickDevice = "instrument"
)

// config is a configuration of one line and one device with these tags, which
// are written like "holding:100:float32:ABCD".
func (e *endpoint) config(specs []string) (*config.Config, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "site = \"read\"\n[line.%s]\nresponse_timeout = %q\n", quickLine, e.Timeout)
	protocol := e.Protocol
	if e.Serial != "" {
		if protocol == "" {
			protocol = "modbus-rtu"
		}
		fmt.Fprintf(&b, "serial = %q\nbaud_rate = %d\nparity = %q\ndata_bits = %d\nstop_bits = %d\n", e.Serial, e.Baud, e.Parity, e.DataBits, e.StopBits)
	} else {
		if protocol == "" {
			protocol = "modbus-tcp"
		}
		fmt.Fprintf(&b, "address = %q\n", e.Address)
	}
	fmt.Fprintf(&b, "protocol = %q\n[device.%s]\nline = %q\nslave_id = %d\ninterval = \"24h\"\n", protocol, quickDevice, quickLine, e.Slave)
	for _, spec := range specs {
		if err := writeTag(&b, spec); err != nil {
			return nil, usageError{err}
		}
	}
	c, faults := config.Parse("command line", b.String())
	if faults.Fatal() {
		return nil, usageError{faults}
	}
	return c, nil
}

// writeTag writes the table of one tag.
func writeTag(b *strings.Builder, spec string) error {
	parts := strings.Split(spec, ":")
	if len(parts) < 2 || len(parts) > 4 {
		return fmt.Errorf("%q is not a tag; write table:address:type:order, such as holding:100:float32:ABCD or coil:5", spec)
	}
	if _, err := strconv.ParseUint(parts[1], 0, 17); err != nil {
		return fmt.Errorf("%q: %q is not an address; write the 0-based number", spec, parts[1])
	}
	fmt.Fprintf(b, "[device.%s.tag.%s]\nregister = %q\naddress = %s\n", quickDevice, strings.Join(parts[:2], "-"), parts[0], parts[1])
	for i, key := range []string{"type", "byte_order"} {
		if len(parts) > 2+i {
			name, option, _ := strings.Cut(parts[2+i], ".")
			fmt.Fprintf(b, "%s = %q\n", key, name)
			writeTypeOption(b, name, option)
		}
	}
	return nil
}

// writeTypeOption writes what follows the dot of a type: the bit of "bool.3",
// the length of "string.8".
func writeTypeOption(b *strings.Builder, typ, option string) {
	key := map[string]string{"bool": "bit", "string": "length"}[typ]
	if n, err := strconv.Atoi(option); err == nil && key != "" {
		fmt.Fprintf(b, "%s = %d\n", key, n)
	}
}
