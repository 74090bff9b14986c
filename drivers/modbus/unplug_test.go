package modbus_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

// watcher is a Sink that tells of every reading.
type watcher chan gateway.Reading

func (w watcher) Append(rs []gateway.Reading, _ func(error)) {
	for _, r := range rs {
		w <- r
	}
}

// until waits for a reading with this reason, and returns it.
func (w watcher) until(t *testing.T, reason gateway.Reason) gateway.Reading {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case r := <-w:
			if r.Reason == reason {
				return r
			}
		case <-limit:
			t.Fatalf("no reading with reason %q", reason)
		}
	}
}

// TestUnpluggedAndBack is on real pseudo-terminals, with the port a gateway uses.
func TestUnpluggedAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usb-FTDI-port0")
	sim, err := simulate.New(simulate.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Unit(1).Set(wire.ReadHoldingRegisters, 0, "float32", "CDAB", 12.34); err != nil {
		t.Fatal(err)
	}
	d, err := modbus.New(modbus.Options{Line: "rs485", Protocol: modbus.RTU, Now: gateway.NewBoot("test").Now, Devices: map[string]modbus.DeviceOptions{
		"a": {SlaveID: ptr(1), Interval: 50 * time.Millisecond, Tags: map[string]modbus.TagOptions{"p": {Address: 0, Type: "float32", ByteOrder: "CDAB"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	readings := make(watcher, 10_000)
	running.Go(func() {
		if err := sim.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		open := func(ctx context.Context) (gateway.Line, error) {
			return line.Open(ctx, line.Options{Serial: path, BaudRate: 19200, Parity: "even"})
		}
		if err := d.Run(ctx, open, readings); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	for range 3 {
		if r := readings.until(t, gateway.NoReason); r.Value != gateway.Float32(12.34) {
			t.Errorf("%v, want 12.34", r.Value)
		}
		sim.Unplug()
		if r := readings.until(t, gateway.LineDown); !r.Value.IsNone() || r.Quality != gateway.Bad {
			t.Errorf("%v %v while it is unplugged", r.Value, r.Quality)
		}
		if err := sim.Plug(); err != nil {
			t.Fatal(err)
		}
	}
	readings.until(t, gateway.NoReason)
	cancel()
	running.Wait()
	if n := sim.Counters().Unplugged; n < 3 {
		t.Errorf("unplugged %d times, want 3", n)
	}
}
