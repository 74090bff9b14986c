package modbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Why an errand was not done, to be asked with errors.Is. The sentence around it
// says which line, device or tag.
var (
	ErrUnknown  = errors.New("there is no such device or tag")
	ErrLineDown = errors.New("the line is down")
)

// maxInquiries bounds the requests of people that wait for their turn.
const maxInquiries = 16

// inquiry is one request of a person. The goroutine that polls does it between
// its own.
//
//	caller ─inquiries─► waiting ─unit not blocked─► exchange ─result─► caller
type inquiry struct {
	ctx     context.Context // of the caller: when it ends nobody waits for the result
	unit    *unit
	request wire.Request
	result  chan result // has room for it

	// taken is set by whoever is first: the caller who gives up, so that it is
	// never sent, or the polling goroutine that sends it.
	taken atomic.Bool
}

// result is what came of an inquiry.
type result struct {
	sent, got []byte // frames; got is nil where no answer came
	data      []byte
	stamp     gateway.Stamp
	took      time.Duration
	tried     bool  // it may have reached the instrument
	err       error // why there is no data: of the instrument, or of the line
}

// ask has the polling goroutine send a request. The error is that it was not
// sent; what the instrument made of it is in the result.
func (d *Driver) ask(ctx context.Context, u *unit, r wire.Request) (result, error) {
	if why := d.downReason(); why != "" {
		return result{}, fmt.Errorf("%w: line %s: %s", ErrLineDown, d.line, why)
	}
	q := &inquiry{ctx: ctx, unit: u, request: r, result: make(chan result, 1)}
	select {
	case d.inquiries <- q:
	case <-ctx.Done():
		return result{}, d.late(ctx)
	}
	return d.outcome(ctx, q)
}

// outcome waits for the result of an inquiry.
func (d *Driver) outcome(ctx context.Context, q *inquiry) (result, error) {
	select {
	case res := <-q.result:
		if errors.Is(res.err, ErrLineDown) {
			return res, res.err
		}
		return res, nil
	case <-ctx.Done():
		return result{tried: !q.taken.CompareAndSwap(false, true)}, d.late(ctx)
	}
}

// late says that ctx has ended too soon.
func (d *Driver) late(ctx context.Context) error {
	return fmt.Errorf("line %s did not get round to it in time: %w", d.line, ctx.Err())
}

// downReason says why the line is known to be down, or "".
func (d *Driver) downReason() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status.Open || d.status.Reason == startingReason {
		return ""
	}
	return d.status.Reason
}

// inquiryAt returns the inquiry that may be sent now, or nil.
func (d *Driver) inquiryAt(now time.Time) *inquiry {
	d.receive()
	for i, q := range d.waiting {
		if !now.Before(q.unit.blockedUntil) {
			d.waiting = slices.Delete(d.waiting, i, i+1)
			return q
		}
	}
	return nil
}

// receive takes over new inquiries, and drops those that nobody waits for.
func (d *Driver) receive() {
	for len(d.waiting) < maxInquiries {
		select {
		case q := <-d.inquiries:
			d.waiting = append(d.waiting, q)
			continue
		default:
		}
		break
	}
	if len(d.waiting) > 0 {
		d.waiting = slices.DeleteFunc(d.waiting, func(q *inquiry) bool { return q.ctx.Err() != nil })
	}
}

// arrivals is where idle hears of new inquiries; nil while no more can wait.
func (d *Driver) arrivals() <-chan *inquiry {
	if len(d.waiting) >= maxInquiries {
		return nil
	}
	return d.inquiries
}

// refuseInquiries fails what waits for a line that is not there.
func (d *Driver) refuseInquiries() {
	why := d.downReason()
	for d.receive(); len(d.waiting) > 0; d.receive() {
		for _, q := range d.waiting {
			q.result <- result{err: fmt.Errorf("%w: line %s: %s", ErrLineDown, d.line, why)}
		}
		d.waiting = d.waiting[:0]
	}
}

// inquire does an inquiry. The error is that the line is lost, or ctx's.
func (d *Driver) inquire(ctx context.Context, x engine, q *inquiry) error {
	u := q.unit
	if u.avoid != 0 && x.replySize(q.request) == u.avoid {
		// The missing answer could pass for this one's: first one of another length.
		if _, _, err := d.inquireOnce(ctx, x, u, unlike(q.request)); err != nil {
			q.result <- result{err: fmt.Errorf("%w: line %s: %w", ErrLineDown, d.line, err)}
			return err
		}
		if time.Now().Before(u.blockedUntil) {
			d.waiting = append(d.waiting, q)
			return nil
		}
	}
	if !q.taken.CompareAndSwap(false, true) {
		return nil // its caller has gone
	}
	res, data, err := d.inquireOnce(ctx, x, u, q.request)
	res.tried = true
	if err != nil && !isMiss(res.err) {
		res.err = fmt.Errorf("%w: line %s: %w", ErrLineDown, d.line, err)
	}
	res.data = slices.Clone(data)
	q.result <- res
	return err
}

// inquireOnce does one transaction, and notes what it says of the unit.
func (d *Driver) inquireOnce(ctx context.Context, x engine, u *unit, r wire.Request) (result, []byte, error) {
	sent := time.Now()
	u.triedAt = sent
	d.tap.start()
	data, at, err := x.exchange(ctx, u.id, r, d.timeout)
	d.count(sent, at, err)
	res := result{stamp: d.now(), took: at.Sub(sent), err: err}
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
			d.offline(u, err, d.now())
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
