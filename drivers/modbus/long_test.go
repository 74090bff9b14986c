//go:build long

// What takes minutes by the clock: make test-long runs it. make test has the same
// in virtual time.

package modbus_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// TestLongThirtyTwoDeadOnesOnAPseudoTerminal is the real line, port and clock.
func TestLongThirtyTwoDeadOnesOnAPseudoTerminal(t *testing.T) {
	o := serial(9600, "none")
	b := openBaudLine(t, o, 200)
	o.Serial = b.name
	_, devices := crowd(32)
	options := rtu(0, devices)
	options.Now = gateway.NewBoot("test").Now
	driver, err := modbus.New(options)
	if err != nil {
		t.Fatal(err)
	}
	s, busy := &keepertest.Sheet{}, 0.0
	started := options.Now().At
	for minute := 2; minute <= 4; minute++ { // after each of them
		sample := time.AfterFunc(time.Duration(minute)*61*time.Second, func() { busy += driver.Status().Busy / 3 })
		defer sample.Stop()
	}
	runFor(t, b, driver, o, 4*61*time.Second+100*time.Millisecond, s)
	per := make([]int, 4)
	for _, r := range s.Of("live/v") {
		if minute := (r.Stamp.At - started) / 60_000; r.Quality == gateway.Good && minute < 4 {
			per[minute]++
		}
	}
	// One sweep of one register is 15.6 ms on the wire and 3.5 characters to think.
	live := (time.Duration(wire.RTURequestSize+7)*b.char + b.quiet).Seconds()
	t.Logf("good readings of the live one, by minute: %v; in the last three the line was %.1f %% in use, the dead ones' part %.1f %%", per, 100*busy, 100*(busy-live))
	if per[1] != 60 || per[2] != 60 || per[3] != 60 {
		t.Errorf("%v good readings a minute, want 60", per)
	}
	if busy-live > 0.05 {
		t.Errorf("the dead ones cost %.1f %% of the line, want 5 %%", 100*(busy-live))
	}
}

// TestLongEfficiency holds the figures that the line is to reach, best of three.
func TestLongEfficiency(t *testing.T) {
	for _, c := range []struct {
		o         line.Options
		registers int
		want      float64
	}{
		{serial(9600, "none"), 2, 0.95}, {serial(9600, "none"), 20, 0.97}, {serial(9600, "even"), 125, 0.97},
		{serial(19200, "none"), 20, 0.97}, {serial(19200, "even"), 125, 0.97}, {serial(115200, "none"), 125, 0.90},
	} {
		var best figures
		var quiet time.Duration
		var tries []string
		for range 3 {
			b, f := runOn(t, c.o, c.registers, 3*time.Second)
			tries = append(tries, fmt.Sprintf("%.3f", f.efficiency))
			if f.efficiency > best.efficiency {
				best, quiet = f, b.quiet
			}
		}
		t.Logf("%d baud, %d registers: efficiency %s, median pause %s above t3.5", c.o.BaudRate, c.registers, strings.Join(tries, " "), best.gap-quiet)
		if best.efficiency < c.want || best.gap-quiet > 500*time.Microsecond {
			t.Errorf("%d baud, %d registers: want %.2f, and half a millisecond", c.o.BaudRate, c.registers, c.want)
		}
	}
}
