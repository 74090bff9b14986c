package modbus

import (
	"context"
	"errors"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Why a Client has no data. A wire.Exception and wire.ErrPDU are the others;
// anything else means that the line is gone.
var (
	ErrNoAnswer = errTimeout
	ErrDamaged  = errCRC
)

// Client asks instruments of which nothing is configured, for tools. One
// goroutine uses it.
type Client struct {
	line    gateway.Line
	x       engine
	timeout time.Duration

	silent byte      // the unit that owes an answer
	until  time.Time // and until when it may still come
}

// NewClient returns a client on an open line, which it closes with Close.
func NewClient(l gateway.Line, protocol string, timeout time.Duration) *Client {
	d := &Driver{protocol: protocol, timeout: timeout, options: Options{Protocol: protocol}.engine(), keep: new(keeper.Keeper)}
	return &Client{line: l, x: d.engine(l), timeout: timeout}
}

// Do sends a request and returns the data of its answer, which is valid until
// the next. A unit that owes an answer is left alone first, so that a late one
// is not taken for the next.
func (c *Client) Do(ctx context.Context, unit byte, r wire.Request) ([]byte, error) {
	if unit == c.silent && time.Now().Before(c.until) {
		if err := c.x.listen(ctx, c.until); err != nil {
			return nil, err
		}
	}
	data, at, err := c.x.exchange(ctx, unit, r, c.timeout)
	if errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDamaged) {
		c.silent, c.until = unit, at.Add(c.x.quarantine(0))
	}
	return data, err
}

// Close closes the line.
func (c *Client) Close() error { return c.line.Close() }
