package broker_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gaugeway/gaugeway/broker"
	"github.com/gaugeway/gaugeway/gateway"
)

func Example() {
	o := broker.Defaults()
	o.Listeners["local"] = broker.Listener{Address: "127.0.0.1:0"}
	if faults := o.Validate(); len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	b := broker.New("pad-7", o, nil, slog.New(slog.DiscardHandler))
	if err := b.Listen(); err != nil {
		fmt.Println(err) // and go on: Run tries again
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go b.Run(ctx) //nolint:errcheck // ends with ctx

	pressure := &gateway.Tag{Device: "separator", Name: "pressure", Unit: "bar"}
	b.Append([]gateway.Reading{{Tag: pressure, Stamp: b.Now(), Value: gateway.Float32(12.34)}}, nil)
	b.Publish("pad-7/_state", []byte(`{"state":"online"}`), true)
	fmt.Println(b.Stats().Retained >= 2)
	// Output: true
}
