package modbus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Why an errand was not done, to be asked with errors.Is. The sentence around it
// says which line, device or tag.
var (
	ErrUnknown  = keeper.ErrUnknown
	ErrLineDown = keeper.ErrLineDown
)

// result is what came of a request of a person.
type result struct {
	sent, got []byte // frames; got is nil where no answer came
	data      []byte
	stamp     gateway.Stamp
	took      time.Duration
	tried     bool  // it may have reached the instrument
	err       error // why there is no data: of the instrument, or of the line
}

// ask has the polling goroutine send a request. The error is that it was not
// sent, or that nobody knows; what the instrument made of it is in the result.
func (d *Driver) ask(ctx context.Context, u *unit, r wire.Request) (result, error) {
	var res result
	begun, err := d.keep.Ask(ctx, func() time.Time { return u.blockedUntil }, func(run context.Context, begin func() bool) error {
		return d.inquire(run, u, r, begin, &res)
	})
	if err != nil && !errors.Is(err, ErrLineDown) {
		return result{tried: begun}, err // the polling goroutine may be at it still
	}
	return res, err
}

// inquire does a request of a person. The error is as that of keeper.Do.
func (d *Driver) inquire(ctx context.Context, u *unit, r wire.Request, begin func() bool, res *result) error {
	if u.avoid != 0 && d.x.replySize(r) == u.avoid {
		// The missing answer could pass for this one's: first one of another length.
		if other, _, err := d.inquireOnce(ctx, u, unlike(r)); err != nil {
			res.err = other.err
			return err
		}
		if time.Now().Before(u.blockedUntil) {
			return keeper.ErrLater
		}
	}
	if !begin() {
		return nil // its caller has gone
	}
	got, data, err := d.inquireOnce(ctx, u, r)
	got.tried, got.data = true, slices.Clone(data)
	*res = got
	return err
}

// inquireOnce does one transaction, and notes what it says of the unit.
func (d *Driver) inquireOnce(ctx context.Context, u *unit, r wire.Request) (result, []byte, error) {
	x, sent := d.x, time.Now()
	u.triedAt = sent
	d.tap.start()
	data, at, err := x.exchange(ctx, u.id, r, d.timeout)
	d.count(sent, at, err)
	res := result{stamp: d.keep.Now(), took: at.Sub(sent), err: err}
	res.sent, res.got = d.tap.stop()
	switch {
	case ctx.Err() != nil:
		return res, nil, ctx.Err()
	case isLineError(err):
		d.owe(x, u, r, sent, at)
		return res, nil, err
	case isMiss(err) || viaGateway(err):
		d.silent(x, u, r, err, sent, at)
		if u.dead() || viaGateway(err) {
			d.offline(u, err, d.keep.Now())
		}
		return res, nil, x.worn()
	default:
		d.answered(u, sent, at, res.stamp)
		return res, data, nil
	}
}

// unlike returns a request whose answer has another length than that to r.
func unlike(r wire.Request) wire.Request {
	other := wire.Request{Function: wire.ReadHoldingRegisters, Address: r.Address, Count: 1}
	if other.DataSize() == r.DataSize() {
		other.Count = 2
	}
	return other
}
