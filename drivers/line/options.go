package line

import (
	"net"
	"strconv"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// Options say where a line is and how it is spoken to. DataBits and StopBits of
// zero mean 8 and 1.
type Options struct {
	Serial  string `toml:"serial"`  // the path of a serial port; /dev/serial/by-id names survive replugging
	Address string `toml:"address"` // or host:port
	Listen  string `toml:"listen"`  // or :port, where modems dial in

	BaudRate int    `toml:"baud_rate"`
	DataBits int    `toml:"data_bits"`
	Parity   string `toml:"parity"` // none, even or odd
	StopBits int    `toml:"stop_bits"`

	RS485      string `toml:"rs485"`       // who switches the direction: off ("", the adapter) or kernel
	LowLatency *bool  `toml:"low_latency"` // ask the driver to hand over bytes at once; nil means true
}

const (
	defaultDataBits = 8
	defaultStopBits = 1

	maxBaudRate = 4_000_000 // B4000000 is the fastest that Linux names
)

// Validate names everything that is wrong.
func (o Options) Validate() gateway.Faults {
	var f gateway.Faults
	given := 0
	for _, where := range []string{o.Serial, o.Address, o.Listen} {
		if where != "" {
			given++
		}
	}
	switch {
	case given > 1:
		f.Add("", "a line has one of serial, address and listen; remove the others")
	case given == 0:
		f.Add("", "serial, address or listen is missing; write serial = \"/dev/serial/by-id/…\" or address = \"10.0.0.20:502\"")
	case o.Serial != "":
		o.validateSerial(&f)
	case o.Address != "":
		o.validateNetwork(&f, "address", o.Address)
	default:
		o.validateNetwork(&f, "listen", o.Listen)
	}
	return f
}

func (o Options) validateSerial(f *gateway.Faults) {
	if o.BaudRate == 0 {
		f.Add("baud_rate", "is missing; write the rate from the instrument's sheet, e.g. baud_rate = 9600")
	} else if o.BaudRate < 50 || o.BaudRate > maxBaudRate {
		f.Add("baud_rate", "%d is not a baud rate; use 50 to %d", o.BaudRate, maxBaudRate)
	}
	switch o.Parity {
	case "none", "even", "odd":
	case "":
		f.Add("parity", "is missing; write parity = \"none\", \"even\" or \"odd\"")
	default:
		f.Add("parity", "%q is not a parity; use none, even or odd", o.Parity)
	}
	if n := o.dataBits(); n != 7 && n != 8 {
		f.Add("data_bits", "%d is not possible; use 7 or 8", n)
	}
	if n := o.stopBits(); n != 1 && n != 2 {
		f.Add("stop_bits", "%d is not possible; use 1 or 2", n)
	}
	if o.RS485 != "" && o.RS485 != rs485Off && o.RS485 != rs485Kernel {
		f.Add("rs485", "%s", gateway.Unknown(o.RS485, "a way to switch the direction", []string{rs485Off, rs485Kernel}))
	}
}

func (o Options) validateNetwork(f *gateway.Faults, key, where string) {
	host, port, err := net.SplitHostPort(where)
	if err != nil {
		f.Add(key, "%q has no port; write host:port, e.g. %q", where, net.JoinHostPort(where, "502"))
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		f.Add(key, "port %q is not a number from 1 to 65535", port)
	}
	if host == "" && key == "address" {
		f.Add(key, "%q has no host; write host:port", where)
	}
	if o.BaudRate != 0 || o.DataBits != 0 || o.Parity != "" || o.StopBits != 0 || o.RS485 != "" || o.LowLatency != nil {
		f.Add("", "baud_rate, data_bits, parity, stop_bits, rs485 and low_latency belong to a serial line; remove them or write serial instead of %s", key)
	}
}

// CharTime returns how long one character is on the wire; 0 for TCP.
func (o Options) CharTime() time.Duration {
	if o.Serial == "" || o.BaudRate <= 0 {
		return 0
	}
	bits := 1 + o.dataBits() + o.stopBits()
	if o.Parity == "even" || o.Parity == "odd" {
		bits++
	}
	baud := time.Duration(o.BaudRate)
	return (time.Duration(bits)*time.Second + baud - 1) / baud
}

// String names the line as a person would: its path or its address.
func (o Options) String() string {
	switch {
	case o.Serial != "":
		return o.Serial
	case o.Listen != "":
		return "listen " + o.Listen
	default:
		return o.Address
	}
}

func (o Options) dataBits() int {
	if o.DataBits == 0 {
		return defaultDataBits
	}
	return o.DataBits
}

func (o Options) stopBits() int {
	if o.StopBits == 0 {
		return defaultStopBits
	}
	return o.StopBits
}
