package modbus

import (
	"context"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) { return func() {} }

type Identity struct{ Name, Value string }

type asker interface{ Do(ctx context.Context, unit byte, r wire.Request) ([]byte, error) }

func Identify(ctx context.Context, c asker, unit byte) ([]Identity, error) { return nil, nil }
