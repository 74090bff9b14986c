package buffer_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/gateway"
)

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	boot := gateway.NewBoot("380f0a2e")
	o := buffer.Defaults()
	o.Directory = dir
	store, err := buffer.Open(o, boot, []string{"scada"}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- store.Run(ctx) }()
	boot.SetOffset(gateway.Offset{Milli: 1_763_850_000_000, Trusted: true})

	pressure := &gateway.Tag{Device: "separator", Name: "pressure", Type: "uint16", Unit: "bar", Scale: gateway.One}
	store.Append([]gateway.Reading{{Tag: pressure, Stamp: gateway.Stamp{Boot: boot, At: 1500}, Value: gateway.Int(12), Class: gateway.Normal}},
		func(err error) { fmt.Println("on disk:", err == nil) })
	b, err := store.Next(ctx, "scada", gateway.Want{Classes: gateway.AllClasses, Wait: true})
	fmt.Println(b.Class, b.First, b.Readings[0].Tag, b.Readings[0].Value, err)
	from, to := b.Range()
	store.Ack(ctx, "scada", b.Epoch, b.Class, from, to)

	cancel()
	fmt.Println(<-ended)
	// Output:
	// on disk: true
	// normal 1 separator/pressure 12 <nil>
	// <nil>
}
