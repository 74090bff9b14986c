package modbus

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Why a transaction has no data. A wire.Exception and wire.ErrPDU are the others.
var (
	errTimeout = errors.New("no answer")
	errCRC     = errors.New("answers with a wrong checksum")
)

// lineError means that the line is gone and another must be opened.
type lineError struct{ err error }

func (e lineError) Error() string { return e.err.Error() }
func (e lineError) Unwrap() error { return e.err }

// engine does transactions on an open line, one at a time.
type engine interface {
	// exchange sends r to the unit and returns the data of its answer, which is
	// valid until the next exchange, and when it came. The unit may think for so long.
	exchange(ctx context.Context, unit byte, r wire.Request, think time.Duration) (data []byte, at time.Time, err error)

	// listen waits until a time, and takes note of what comes meanwhile.
	listen(ctx context.Context, until time.Time) error

	// quarantine returns how long a unit whose answer did not come must be left
	// alone, when the slowest answer it ever gave took so long.
	quarantine(slowest time.Duration) time.Duration

	// replySize returns the length by which a late answer to r could be told
	// from others; 0 where answers are told apart by more than that.
	replySize(r wire.Request) int

	// wireTime returns how long request and answer are on the wire.
	wireTime(r wire.Request) time.Duration

	// worn says why the line should be opened anew, or nil.
	worn() error
}

// engineOptions are what an engine is told of its line.
type engineOptions struct {
	echo    string
	gap     time.Duration // at least so long between frames
	anyUnit bool          // a reply may come from unit 0 or 255
	network bool
}

// from reports whether a reply that says it is from one unit may be of another.
// Some gateways put 0 or 255 there.
func (o engineOptions) from(says, asked byte) bool {
	return says == asked || o.anyUnit && (says == 0 || says == 255)
}

// The values of echo.
const (
	echoAuto = "auto" // passed over, except where the reply would look the same
	echoOn   = "on"   // the first copy of each request is passed over
	echoOff  = "off"  // nothing is
)

// witness is told of everything that is not the awaited answer.
type witness interface {
	// strayFrame is told of a good frame that nobody waits for any more. at is
	// when it came; zero if that is not known.
	strayFrame(unit byte, at time.Time)
	strayBytes(n int) // and all bytes that are not part of an answer
	echoed()          // our own request came back
}

// stopCheck is how long a read may keep a stopping driver waiting.
const stopCheck = 200 * time.Millisecond

// reader reads from a line until a deadline.
type reader struct{ line gateway.Line }

// read waits for bytes until the deadline; n is 0 when there are none by then.
func (r reader) read(ctx context.Context, p []byte, deadline time.Time) (n int, now time.Time, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, now, err
		}
		slice := deadline
		if limit := time.Now().Add(stopCheck); limit.Before(slice) {
			slice = limit
		}
		if err := r.line.SetReadDeadline(slice); err != nil {
			return 0, now, lineError{err}
		}
		n, err := r.line.Read(p)
		now = time.Now()
		switch {
		case n > 0:
			return n, now, nil // an error with it will come again
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, now, lineError{err}
		case !now.Before(deadline):
			return 0, now, nil
		}
	}
}

func reasonOf(err error) gateway.Reason {
	var exception wire.Exception
	switch {
	case errors.Is(err, errTimeout):
		return gateway.Timeout
	case errors.Is(err, errCRC):
		return gateway.CRC
	case errors.As(err, &exception):
		return gateway.Exception
	case errors.Is(err, wire.ErrPDU):
		return gateway.DeviceFault
	default:
		return gateway.LineDown
	}
}
