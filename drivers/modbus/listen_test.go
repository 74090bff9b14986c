package modbus_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

// TestModemsThatDialIn has a modem dial in, go quiet without hanging up, and dial in
// again: the new connection is the line, at once.
func TestModemsThatDialIn(t *testing.T) {
	in := simulate.NewInstruments()
	in.Unit(1).SetWords(wire.ReadHoldingRegisters, 0, 42)
	opener := line.NewOpener(line.Options{Listen: "127.0.0.1:0"})
	defer func() { _ = opener.Close() }()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := opener.Open(ended); !errors.Is(err, context.Canceled) { // listens from now on
		t.Fatal(err)
	}
	var modems sync.WaitGroup
	defer modems.Wait()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", opener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	mute := dial() // takes requests, and never answers
	defer func() { _ = mute.Close() }()

	o := rtu(0, map[string]modbus.DeviceOptions{"a": oneTag(1, 50*time.Millisecond)})
	o.Protocol, o.Now = modbus.RTUOverTCP, gateway.NewBoot("test").Now
	d, err := modbus.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sink := &awaiting{done: cancel}
	second := sync.OnceFunc(func() {
		conn := dial()
		modems.Go(func() { defer conn.Close(); _ = in.ServeRTU(ctx, conn) })
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	})
	err = d.Run(ctx, func(ctx context.Context) (gateway.Line, error) {
		l, err := opener.Open(ctx)
		if err == nil {
			second()
		}
		return l, err
	}, sink)
	if !errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%v; no good reading came; %+v", err, d.Status())
	}
	if s := d.Status(); s.Requests > 3 {
		t.Errorf("%d requests until the new modem was used", s.Requests)
	}
}

// awaiting ends a context with the first good reading.
type awaiting struct{ done context.CancelFunc }

func (a *awaiting) Append(rs []gateway.Reading, done func(error)) {
	for _, r := range rs {
		if r.Quality == gateway.Good {
			a.done()
		}
	}
	if done != nil {
		done(nil)
	}
}
