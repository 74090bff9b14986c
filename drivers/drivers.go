// Package drivers is the list of the protocols that the gateway speaks.
package drivers

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/gateway"
)

// Driver reads the devices of one line. All methods but Run are safe for
// concurrent use, and for use while Run runs; those that ask something of the
// line need Run and fail with ctx when it does not get round to them.
type Driver interface {
	gateway.Driver
	String() string
	Status() gateway.LineStatus
	Tags() []*gateway.Tag
}

// Line is what a driver is made from.
type Line struct {
	Name     string
	Protocol string
	Modbus   modbus.LineOptions
	Devices  map[string]modbus.DeviceOptions
	Now      func() gateway.Stamp
	Log      *slog.Logger
}

// makers has one row per protocol.
var makers = map[string]func(Line) (Driver, error){
	modbus.RTU: newModbus,
	modbus.TCP: newModbus,
}

func newModbus(l Line) (Driver, error) {
	return modbus.New(modbus.Options{
		Line: l.Name, Protocol: l.Protocol, LineOptions: l.Modbus, Devices: l.Devices, Now: l.Now, Log: l.Log,
	})
}

// New returns the driver of a line; an unknown protocol is an error.
func New(l Line) (Driver, error) {
	create, ok := makers[l.Protocol]
	if !ok {
		return nil, fmt.Errorf("%q is not a protocol; use %s", l.Protocol, strings.Join(slices.Sorted(maps.Keys(makers)), " or "))
	}
	return create(l)
}
