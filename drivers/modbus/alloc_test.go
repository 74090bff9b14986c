package modbus

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// prompt is a line whose instruments answer every request at once.
type prompt struct {
	protocol string
	out      []byte
	room     [wire.MaxRTU]byte
}

func (p *prompt) Read(b []byte) (int, error) {
	if len(p.out) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, p.out)
	p.out = p.out[:copy(p.out, p.out[n:])]
	return n, nil
}

func (p *prompt) Write(b []byte) (int, error) {
	f := wire.RTUFrame{Unit: b[0], PDU: b[1:]}
	switch p.protocol {
	case TCP:
		f = wire.RTUFrame{Unit: b[6], PDU: b[7:]}
	case ASCII, ASCIIOverTCP:
		f, _, _ = wire.ASCIIFrameAt(b, p.room[:])
	}
	var reply [253]byte
	size := 2 * int(binary.BigEndian.Uint16(f.PDU[3:]))
	reply[0], reply[1] = f.PDU[0], byte(size)
	for i := range size {
		reply[2+i] = byte(i + 1)
	}
	switch pdu := reply[:2+size]; p.protocol {
	case TCP:
		p.out = wire.AppendMBAP(p.out[:0], binary.BigEndian.Uint16(b), f.Unit, pdu)
	case ASCII, ASCIIOverTCP:
		p.out = wire.AppendASCII(p.out[:0], f.Unit, pdu)
	default:
		p.out = wire.AppendRTU(p.out[:0], f.Unit, pdu)
	}
	return len(b), nil
}

func (p *prompt) Close() error                    { return nil }
func (p *prompt) SetReadDeadline(time.Time) error { return nil }
func (p *prompt) Discard() error                  { return nil }
func (p *prompt) CharTime() time.Duration         { return 0 }

type nowhere struct{ n int }

func (s *nowhere) Append(rs []gateway.Reading, _ func(error)) { s.n += len(rs) }

// steady returns a function that does one whole sweep of so many tags, half of
// them scaled integers with a valid range, half floats.
func steady(t testing.TB, protocol string, tags int) (sweep func(), sink *nowhere) {
	d := DeviceOptions{SlaveID: ptr(1), Interval: time.Second, Tags: make(map[string]TagOptions)}
	for i := range tags {
		o := TagOptions{Address: 2 * i, Type: "float32"}
		if i%2 == 0 {
			o.Type, o.Scale, o.ValidRange = "uint16", ptr(decimal(t, "0.1")), []gateway.Decimal{{}, decimal(t, "100000")}
		}
		d.Tags[fmt.Sprintf("t%d", i)] = o
	}
	boot := gateway.NewBoot("b")
	driver, err := New(Options{Line: "l", Protocol: protocol, Devices: map[string]DeviceOptions{"d": d}, Now: boot.Now})
	if err != nil {
		t.Fatal(err)
	}
	sink = &nowhere{}
	driver.publish = sink
	x := driver.engine(&prompt{protocol: protocol})
	if r, ok := x.(*rtu); ok {
		r.silence = 0 // the test's line reads nothing at once instead of waiting for silence
	}
	s := driver.sweeps[0]
	ctx := context.Background()
	return func() {
		s.start()
		for s.active {
			if err := driver.transact(ctx, x, s); err != nil {
				t.Fatal(err)
			}
		}
	}, sink
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, protocol := range protocolNames() {
		sweep, sink := steady(t, protocol, 50)
		if n := testing.AllocsPerRun(100, sweep); n != 0 {
			t.Errorf("%s: %v allocations per sweep", protocol, n)
		}
		if sink.n < 100*50 {
			t.Errorf("%d readings", sink.n)
		}
	}
}

func BenchmarkSweep(b *testing.B) {
	for _, protocol := range protocolNames() {
		b.Run(protocol, func(b *testing.B) {
			sweep, sink := steady(b, protocol, 50)
			b.ReportAllocs()
			for b.Loop() {
				sweep()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sink.n), "ns/reading")
		})
	}
}
