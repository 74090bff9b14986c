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
	serial, address, protocol string
	baud                      int
	parity                    string
	dataBits, stopBits        int
	slave                     int
	timeout                   string
}

func (e *endpoint) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.serial, "serial", "", "serial `port`, instead of a configuration")
	f.StringVar(&e.address, "address", "", "`host:port`, instead of a configuration")
	f.StringVar(&e.protocol, "protocol", "", "protocol of the line (modbus-rtu on a port, modbus-tcp at an address)")
	f.IntVar(&e.baud, "baud", 9600, "baud rate")
	f.StringVar(&e.parity, "parity", "none", "none, even or odd")
	f.IntVar(&e.dataBits, "data-bits", 8, "7 or 8")
	f.IntVar(&e.stopBits, "stop-bits", 1, "1 or 2")
	f.IntVar(&e.slave, "slave-id", 1, "the number that the instrument is set to")
	f.StringVar(&e.timeout, "response-timeout", "500ms", "how long the instrument may think")
}

// given reports whether the flags name a line at all.
func (e *endpoint) given() bool { return e.serial != "" || e.address != "" }

// The names that stand for a line and a device without a name.
const (
	quickLine   = "line"
	quickDevice = "instrument"
)

// config is a configuration of one line and one device with these tags, which
// are written like "holding:100:float32:ABCD".
func (e *endpoint) config(specs []string) (*config.Config, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "site = \"read\"\n[line.%s]\nresponse_timeout = %q\n", quickLine, e.timeout)
	protocol := e.protocol
	if e.serial != "" {
		if protocol == "" {
			protocol = "modbus-rtu"
		}
		fmt.Fprintf(&b, "serial = %q\nbaud_rate = %d\nparity = %q\ndata_bits = %d\nstop_bits = %d\n", e.serial, e.baud, e.parity, e.dataBits, e.stopBits)
	} else {
		if protocol == "" {
			protocol = "modbus-tcp"
		}
		fmt.Fprintf(&b, "address = %q\n", e.address)
	}
	fmt.Fprintf(&b, "protocol = %q\n[device.%s]\nline = %q\nslave_id = %d\ninterval = \"24h\"\n", protocol, quickDevice, quickLine, e.slave)
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
