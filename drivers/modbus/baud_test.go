package modbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// baudLine is a pseudo-terminal that keeps a baud rate: both directions share one
// wire, and every byte takes its time. One instrument hangs on it, which answers
// every read of its unit after it has seen 3.5 characters of silence.
//
//	driver ─► /dev/pts/N │ master ─► the request has passed ─► 3.5 characters ─► the answer, byte by byte
type baudLine struct {
	name   string
	master *os.File
	char   time.Duration
	quiet  time.Duration // t3.5
	unit   byte

	cycles  []time.Duration // from request to request, answered ones only
	gaps    []time.Duration // from the end of an answer to the next request
	carried time.Duration   // what was on the wire in these cycles, and the silence that must be
}

func openBaudLine(t testing.TB, o line.Options, unit byte) *baudLine {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	b := &baudLine{name: fmt.Sprintf("/dev/pts/%d", n), master: os.NewFile(uintptr(fd), "/dev/ptmx"), unit: unit}
	o.Serial = b.name
	b.char = o.CharTime()
	b.quiet = max(b.char*7/2, 1750*time.Microsecond)
	return b
}

// serve plays wire and instrument until the master is closed.
func (b *baudLine) serve() {
	var buf [256]byte
	var last, ended time.Time // the last answered request began, its answer ended
	var ideal time.Duration   // of the last cycle
	for {
		n, began, err := b.request(buf[:])
		if err != nil {
			return
		}
		if !ended.IsZero() {
			b.cycles = append(b.cycles, began.Sub(last))
			b.gaps = append(b.gaps, began.Sub(ended))
			b.carried += ideal
		}
		passed := began.Add(time.Duration(n) * b.char)
		last, ended = began, time.Time{}
		if buf[0] != b.unit {
			continue
		}
		reply := replyTo(buf[:n])
		ended = b.send(reply, passed.Add(b.quiet))
		ideal = time.Duration(n+len(reply))*b.char + 2*b.quiet
	}
}

// request returns the bytes of a request, and when the first came.
func (b *baudLine) request(buf []byte) (n int, began time.Time, err error) {
	for n < wire.RTURequestSize {
		m, err := b.master.Read(buf[n:])
		if n == 0 {
			began = time.Now()
		}
		if err != nil {
			if hangup(err) {
				time.Sleep(time.Millisecond)
				continue
			}
			return 0, began, err
		}
		n += m
	}
	return n, began, nil
}

// hangup reports whether nobody has the other side of a pseudo-terminal open.
func hangup(err error) bool { return errors.Is(err, unix.EIO) }

// send delivers each byte when the wire has carried it, and returns when it
// delivered the last.
func (b *baudLine) send(reply []byte, from time.Time) (ended time.Time) {
	for sent := 0; sent < len(reply); {
		last := sent == len(reply)-1 || b.char < time.Millisecond && sent > 0
		due := sent + 1
		if last {
			due = len(reply)
		} else if b.char < time.Millisecond {
			due = len(reply) - 1 // no clock wakes us for each of the fast ones
		}
		sleepUntil(from.Add(time.Duration(due) * b.char))
		ended = time.Now() // before the write, so that no noise makes a gap look too short
		if _, err := b.master.Write(reply[sent:due]); err != nil {
			return ended
		}
		sent = due
	}
	return ended
}

// sleepUntil sleeps, and spins for the last bit: a timer alone is late by more than
// what is measured here.
func sleepUntil(t time.Time) {
	const early = 200 * time.Microsecond
	if d := time.Until(t) - early; d > 0 {
		time.Sleep(d)
	}
	for time.Now().Before(t) {
	}
}

// replyTo answers a read of registers with numbers.
func replyTo(request []byte) []byte {
	count := int(binary.BigEndian.Uint16(request[4:]))
	pdu := []byte{request[1], byte(2 * count)}
	for i := range 2 * count {
		pdu = append(pdu, byte(i))
	}
	return wire.AppendRTU(nil, request[0], pdu)
}

// figures of a run.
type figures struct {
	efficiency float64       // the share of the possible transactions that were done
	gap        time.Duration // median, from an answer to the next request
	shortest   time.Duration
	cycles     int
}

func (b *baudLine) figures() figures {
	var sum time.Duration
	for _, c := range b.cycles {
		sum += c
	}
	slices.Sort(b.gaps)
	return figures{float64(b.carried) / float64(sum), b.gaps[len(b.gaps)/2], b.gaps[0], len(b.cycles)}
}

// runOn polls on a baud-keeping line for a while, as fast as it goes.
func runOn(t testing.TB, o line.Options, registers int, d time.Duration) (*baudLine, figures) {
	t.Helper()
	b := openBaudLine(t, o, 1)
	o.Serial = b.name
	tags := make(map[string]modbus.TagOptions) // of ten requests, so that the interval does not bound what is measured
	for i := range 10 {
		tags[fmt.Sprintf("first%d", i)] = modbus.TagOptions{Address: 1000 * i, Type: "uint16"}
		tags[fmt.Sprintf("last%d", i)] = modbus.TagOptions{Address: 1000*i + registers - 1, Type: "uint16"}
	}
	driver, err := modbus.New(modbus.Options{Line: "rs485", Protocol: modbus.RTU, Now: gateway.NewBoot("test").Now, Devices: map[string]modbus.DeviceOptions{
		"a": {SlaveID: ptr(1), Interval: gateway.MinInterval, MaxGap: ptr(125), Tags: tags},
	}})
	if err != nil {
		t.Fatal(err)
	}
	runFor(t, b, driver, o, d, &keepertest.Sheet{})
	return b, b.figures()
}

func runFor(t testing.TB, b *baudLine, driver *modbus.Driver, o line.Options, d time.Duration, sink gateway.Sink) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var running sync.WaitGroup
	running.Go(b.serve)
	_ = driver.Run(ctx, func(ctx context.Context) (gateway.Line, error) { return line.Open(ctx, o) }, sink)
	_ = b.master.Close()
	running.Wait()
}

func serial(baud int, parity string) line.Options {
	return line.Options{BaudRate: baud, Parity: parity}
}

// TestNoPauseIsShorterThanItMustBe cannot fail by noise: noise makes pauses longer.
func TestNoPauseIsShorterThanItMustBe(t *testing.T) {
	for _, o := range []line.Options{serial(9600, "even"), serial(115200, "none")} {
		b, f := runOn(t, o, 2, 700*time.Millisecond)
		t.Logf("%d baud: %d cycles, efficiency %.3f, median pause %s, shortest %s, t3.5 %s", o.BaudRate, f.cycles, f.efficiency, f.gap, f.shortest, b.quiet)
		if f.cycles < 5 {
			t.Errorf("%d cycles", f.cycles)
		}
		if f.shortest < b.quiet {
			t.Errorf("%d baud: a pause of %s, want %s at least", o.BaudRate, f.shortest, b.quiet)
		}
	}
}

// BenchmarkLine tells which share of the possible transactions is done.
func BenchmarkLine(b *testing.B) {
	for _, c := range []struct {
		o         line.Options
		registers int
	}{
		{serial(9600, "none"), 2}, {serial(9600, "even"), 2}, {serial(9600, "none"), 20}, {serial(9600, "none"), 125},
		{serial(19200, "even"), 2}, {serial(19200, "none"), 20}, {serial(19200, "none"), 125},
		{serial(115200, "none"), 2}, {serial(115200, "none"), 20}, {serial(115200, "none"), 125},
	} {
		b.Run(fmt.Sprintf("%d-%s-%d", c.o.BaudRate, c.o.Parity, c.registers), func(b *testing.B) {
			for b.Loop() {
				var best figures
				var quiet time.Duration
				for range 3 {
					l, f := runOn(b, c.o, c.registers, 3*time.Second)
					if f.efficiency > best.efficiency {
						best, quiet = f, l.quiet
					}
					if f.shortest < l.quiet {
						b.Errorf("a pause of %s", f.shortest)
					}
				}
				b.ReportMetric(best.efficiency, "efficiency")
				b.ReportMetric(float64(best.gap-quiet)/1e6, "ms-above-t3.5")
			}
		})
	}
}
