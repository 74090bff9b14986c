package simulate

import (
	"context"
	"errors"
	"io"
)

func (in *Instruments) serveASCII(ctx context.Context, rw io.ReadWriter, pace pacing) error { return errors.New("later") }
