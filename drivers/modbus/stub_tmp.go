package modbus

import (
	"context"

	"github.com/gaugeway/gaugeway/gateway"
)

func (d *Driver) Write(ctx context.Context, device, tag string, v gateway.Value) (gateway.Answer, error) {
	return gateway.Answer{}, nil
}
func (d *Driver) Trace(f func(gateway.Frame)) (stop func()) { return func() {} }
