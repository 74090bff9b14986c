package text_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper/keepertest"
	"github.com/gaugeway/gaugeway/drivers/text"
	"github.com/gaugeway/gaugeway/gateway"
)

type lab = keepertest.Lab[*text.Driver]

// start runs a driver; serve plays the far end of every line it opens.
func start(t *testing.T, o text.Options, char time.Duration, serve func(ctx context.Context, far io.ReadWriter) error) *lab {
	t.Helper()
	return startWith(t, o, keepertest.Serve(t, char, serve))
}

func startWith(t *testing.T, o text.Options, open func(context.Context) (gateway.Line, error)) *lab {
	t.Helper()
	if o.Now == nil {
		o.Now = keepertest.Stamps()
	}
	d, err := text.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return keepertest.Start(t, d, open)
}
