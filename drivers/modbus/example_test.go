package modbus_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/gateway"
)

type printer struct{}

func (printer) Append(rs []gateway.Reading, _ func(error)) {
	for _, r := range rs {
		fmt.Println(r.Tag, r.Value, r.Tag.Unit, r.Quality, r.Reason)
	}
}

func ExampleDriver_Run() {
	slave := 7
	boot, err := gateway.ThisBoot()
	if err != nil {
		panic(err)
	}
	d, err := modbus.New(modbus.Options{
		Line: "rs485", Protocol: modbus.RTU, Now: boot.Now,
		Devices: map[string]modbus.DeviceOptions{"separator": {
			SlaveID: &slave, Interval: time.Second,
			Tags: map[string]modbus.TagOptions{"pressure": {Address: 100, Type: "float32", TagOptions: gateway.TagOptions{Unit: "bar"}}},
		}},
	})
	if err != nil {
		panic(err)
	}
	port := line.Options{Serial: "/dev/ttyUSB0", BaudRate: 9600, Parity: "none"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = d.Run(ctx, func(ctx context.Context) (gateway.Line, error) { return line.Open(ctx, port) }, printer{})
	fmt.Println(err)
}
