package line

import (
	"context"
	"errors"
	"fmt"

	"github.com/gaugeway/gaugeway/gateway"
)

// Why a line cannot be opened, to be asked with errors.Is.
var (
	ErrMissing      = errors.New("line is missing")
	ErrBusy         = errors.New("line is busy")
	ErrNotPermitted = errors.New("line is not permitted")
	ErrNotPort      = errors.New("not a serial port")
)

// Open opens the line once. The error is one sentence for a person. The line is
// used by one goroutine, Close included.
func Open(ctx context.Context, o Options) (gateway.Line, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case o.Serial != "":
		return openSerial(o)
	case o.Listen != "":
		return nil, fmt.Errorf("listen on %s: a line that instruments dial in to needs an Opener", o.Listen)
	default:
		return dial(ctx, o)
	}
}

// openError says in one sentence why a line did not open, and wraps the reason
// a program can decide on.
type openError struct {
	sentence string
	reason   error
}

func (e *openError) Error() string { return e.sentence }
func (e *openError) Unwrap() error { return e.reason }
