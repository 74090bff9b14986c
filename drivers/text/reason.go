package text

import (
	"errors"

	"github.com/gaugeway/gaugeway/gateway"
)

// Why a poll has no values. Anything else means that the line is gone.
var (
	errTimeout  = errors.New("no answer")
	errDamaged  = errors.New("answers with a wrong checksum")
	errRefused  = errors.New("answers that it cannot")
	errNonsense = errors.New("answers something that the pattern does not match")
	errBabble   = errors.New("does not stop talking")
	errSlow     = errors.New("needs longer for its answer than the interval")
)

// lineError means that the line is gone and another must be opened.
type lineError struct{ err error }

func (e lineError) Error() string { return e.err.Error() }
func (e lineError) Unwrap() error { return e.err }

func isLineError(err error) bool {
	var l lineError
	return errors.As(err, &l)
}

// isMiss reports whether there was no good answer, so that it is asked again.
func isMiss(err error) bool {
	return errors.Is(err, errTimeout) || errors.Is(err, errDamaged) || errors.Is(err, errNonsense) || errors.Is(err, errBabble)
}

func reasonOf(err error) gateway.Reason {
	switch {
	case errors.Is(err, errTimeout):
		return gateway.Timeout
	case errors.Is(err, errDamaged):
		return gateway.CRC
	case errors.Is(err, errRefused), errors.Is(err, errNonsense), errors.Is(err, errBabble), errors.Is(err, errSlow):
		return gateway.DeviceFault
	default:
		return gateway.LineDown
	}
}
