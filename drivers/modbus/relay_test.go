package modbus_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

// TestForeignSlaveBehindAFaultyWire has pymodbus answer, on real pseudo-terminals
// and by the clock. All requests have answers of the same length, and every tag
// another value.
func TestForeignSlaveBehindAFaultyWire(t *testing.T) {
	ours, theirs := ptyPair(t)
	holds, _ := foreignSlave(t, "rtu", theirs)
	far, err := os.OpenFile(ours, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := serial(115200, "none")
	near := openBaudLine(t, o, 0)
	o.Serial = near.name
	wire := simulate.NewInstruments()
	var relaying sync.WaitGroup
	relaying.Go(func() { _ = wire.Relay(t.Context(), patient{near.master}, far) })
	defer relaying.Wait()
	defer func() { _ = far.Close() }()
	defer func() { _ = near.master.Close() }()

	d := foreignDevice(1, 0, fourBytes(holds))
	d.NoMerge, d.Interval = true, 100*time.Millisecond
	good := 0
	for _, f := range []simulate.Fault{
		{},
		{Late: 0.1, LateBy: 140 * time.Millisecond},
		{Noise: 0.2, NUL: 0.2, Extra: 0.2, Split: 0.3},
		{Duplicate: 0.3, Noise: 0.2, NUL: 0.2}, // at once: a split one would come twice, the second time after the silence
		{Lost: 0.05, Flip: 0.05, WrongUnit: 0.05, Exception: 0.05},
		{Echo: true, Late: 0.05, LateBy: 140 * time.Millisecond, Duplicate: 0.05},
	} {
		f.Seed = 5
		wire.Fault(f)
		good += readThroughFaults(t, o, d, fourBytes(holds), f)
	}
	if good == 0 { // of one alone a busy machine could make nothing but timeouts
		t.Error("nothing was read")
	}
}

// fourBytes returns what has answers of the same length.
func fourBytes(holds []held) (some []held) {
	seen := make(map[string]bool)
	for _, h := range holds {
		if (h.Type == "uint32" || h.Type == "int32" || h.Type == "float32" || h.Type == "bcd32") && !seen[h.Value] {
			some, seen[h.Value] = append(some, h), true
		}
	}
	return some
}

// patient waits while nobody has the other side of a pseudo-terminal open.
type patient struct{ *os.File }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.File.Read(b)
		if n > 0 || !hangup(err) {
			return n, err
		}
		time.Sleep(time.Millisecond)
	}
}

func readThroughFaults(t *testing.T, o line.Options, d modbus.DeviceOptions, holds []held, f simulate.Fault) (good int) {
	t.Helper()
	span := time.Second
	if long() {
		span = time.Minute
	}
	driver, err := modbus.New(modbus.Options{Line: "l", Protocol: modbus.RTU, Now: gateway.NewBoot("test").Now,
		LineOptions: modbus.LineOptions{ResponseTimeout: 100 * time.Millisecond}, Devices: map[string]modbus.DeviceOptions{"a": d}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	s := &keepertest.Sheet{}
	_ = driver.Run(ctx, func(ctx context.Context) (gateway.Line, error) { return line.Open(ctx, o) }, s)
	bad, wrong := 0, 0
	for i, h := range holds {
		for _, r := range s.Of(fmt.Sprintf("a/t%d", i)) {
			switch {
			case r.Quality != gateway.Good:
				bad++
			case sameValue(r.Value.String(), h.Value):
				good++
			default:
				wrong++
				t.Errorf("%+v: %s", h, r.Value)
			}
		}
	}
	st := driver.Status()
	t.Logf("%+v: good %d, bad %d, wrong %d; %d requests, %d timeouts, %d late, %d wrong checksums", f, good, bad, wrong, st.Requests, st.Timeouts, st.LateFrames, st.CRCErrors)
	return good
}
