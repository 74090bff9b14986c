package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gaugeway/gaugeway/broker"
	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/config"
	"github.com/gaugeway/gaugeway/gateway/flash"
	"github.com/gaugeway/gaugeway/gateway/status"
	"github.com/gaugeway/gaugeway/gateway/uplink"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{Use: "run", Short: "The gateway; what systemd starts", Args: noArguments}
	files := configFlag(cmd)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "log more")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		debug.SetGCPercent(gcPercent)
		c, err := load(cmd.ErrOrStderr(), *files)
		if err != nil {
			return err
		}
		level := slog.LevelInfo
		if *verbose {
			level = slog.LevelDebug
		}
		g, err := newGateway(c, newLog(cmd.ErrOrStderr(), level))
		if err != nil {
			return err
		}
		return g.run(cmd.Context())
	}
	return cmd
}

// gcPercent is half of Go's own: a box has little memory, and the processor has
// time.
const gcPercent = 50

// instance is a running gateway: the rooms of one configuration, wired.
type instance struct {
	config  *config.Config
	log     *slog.Logger
	started time.Time
	boot    *gateway.Boot
	store   *buffer.Store
	broker  *broker.Broker
	drivers map[string]drivers.Driver // by line
	uplinks map[string]*uplink.Uplink
	control *status.Control // nil where the socket cannot be had
	holds   *gateway.Holds  // between the drivers and the broker
	alarms  *alarms
	writes  map[string]chan broker.Write // from clients on site, by line
}

// newGateway builds the rooms of c and opens what must be open before anything runs.
func newGateway(c *config.Config, log *slog.Logger) (*instance, error) {
	boot, err := gateway.ThisBoot()
	if err != nil {
		return nil, err
	}
	g := &instance{
		config: c, log: log, started: time.Now(), boot: boot,
		drivers: make(map[string]drivers.Driver), uplinks: make(map[string]*uplink.Uplink),
		writes: make(map[string]chan broker.Write),
	}
	if err := g.newDrivers(); err != nil {
		return nil, err
	}
	for name, o := range c.Uplinks {
		g.uplinks[name] = uplink.New(name, c.Site, version, o, log)
	}
	if g.store, err = buffer.Open(c.Buffer, boot, sortedKeys(c.Uplinks), log.With("room", "buffer")); err != nil {
		return nil, err
	}
	g.alarms = &alarms{site: c.Site, topic: c.Broker.Topic, publish: func(topic string, payload []byte) { g.broker.Publish(topic, payload, true) }}
	report := gateway.NewReport(g.store, g.rules(), g.alarms.changed)
	tap := &gateway.Forwarder{Filters: c.Forward(), Store: report}
	g.broker = broker.New(c.Site, c.Broker, tap, log.With("room", "broker"))
	g.broker.Now, g.broker.Version = boot.Now, version
	g.broker.Written = g.written
	for _, u := range g.uplinks {
		u.Deliver = g.broker.Bridge
	}
	g.holds = gateway.NewHolds(g.broker)
	g.loadHolds()
	if err := g.broker.Listen(); err != nil {
		log.Error("the on-box broker cannot be reached; trying again", "error", err)
	}
	if g.control, err = status.Listen(c.Control.Socket, g.handler()); err != nil {
		log.Error("no control socket: status cannot be asked for", "error", err)
	}
	return g, nil
}

func (g *instance) newDrivers() error {
	for name := range g.config.Lines {
		l := g.config.ForDriver(name)
		l.Now, l.Log = g.boot.Now, g.log
		d, err := drivers.New(l)
		if err != nil {
			return err
		}
		g.drivers[name], g.writes[name] = d, make(chan broker.Write, waitingWrites)
	}
	return nil
}

// rules returns the options of every tag, for what goes up and for alarms.
func (g *instance) rules() map[*gateway.Tag]gateway.TagOptions {
	options, rules := g.config.TagOptions(), make(map[*gateway.Tag]gateway.TagOptions)
	for _, d := range g.drivers {
		for _, tag := range d.Tags() {
			rules[tag] = options[tag.String()]
		}
	}
	return rules
}

// run runs the gateway until ctx ends, and returns what went wrong, the last
// commit included. The store ends last, so that what the others did until their
// end is committed.
func (g *instance) run(ctx context.Context) error {
	storeContext, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	storeEnded := make(chan error, 1)
	storeFailed, fail := context.WithCancelCause(ctx)
	go func() {
		err := g.store.Run(storeContext)
		fail(fmt.Errorf("buffer: %w", err))
		storeEnded <- err
	}()
	err := g.work(storeFailed)
	stopStore()
	return faults(err, <-storeEnded)
}

// faults joins the errors that are more than "was told to end". Each is looked
// at by itself: joined first, a failed commit would pass for a clean stop.
func faults(errs ...error) error {
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, context.Canceled) })...)
}

// work runs everything but the store until ctx ends or one of them fails.
func (g *instance) work(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		g.boot.KeepTime(ctx, g.config.Clock == "trusted", g.log)
		return nil
	})
	work.Go(func() error { return g.broker.Run(ctx) })
	for name, d := range g.drivers {
		port := line.NewOpener(g.config.Lines[name].Options)
		work.Go(func() error { return errors.Join(d.Run(ctx, port.Open, g.holds), port.Close()) })
		work.Go(func() error { return g.doWrites(ctx, name) })
	}
	for name, u := range g.uplinks {
		o := g.config.Uplinks[name]
		ship := gateway.Ship{
			Name: name, Store: g.store, Uplink: u, Interval: o.Interval, Forward: o.Forward,
			Log: g.log.With("uplink", name),
		}
		work.Go(func() error { return u.Run(ctx) })
		work.Go(func() error { return ship.Run(ctx) })
	}
	if g.control != nil {
		work.Go(func() error { return g.control.Run(ctx) })
	}
	work.Go(func() error { return g.publishStates(ctx) })
	work.Go(func() error { return g.feedWatchdog(ctx) })
	g.log.Info("gaugeway runs", "site", g.config.Site, "version", version, "lines", len(g.drivers), "devices", len(g.config.Devices), "uplinks", len(g.uplinks))
	return work.Wait()
}

// feedWatchdog tells systemd that the gateway is ready, and then, as long as
// every room answers, that it lives.
func (g *instance) feedWatchdog(ctx context.Context) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		g.log.Warn("systemd was not told that the gateway is ready", "error", err)
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return nil // nobody watches
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
			return ctx.Err()
		case <-tick.C:
			// The snapshot takes the locks of every room, and the read is answered by
			// the committer: where one hangs, so does this, and systemd acts.
			g.snapshot()
			if err := g.committerAnswers(ctx, interval/3); err != nil {
				g.log.Error("the committer does not answer", "error", err)
				continue
			}
			if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
				g.log.Warn("systemd was not told that the gateway lives", "error", err)
			}
		}
	}
}

// committerAnswers asks the committer for nothing. A disk that fails is an
// answer too: only silence is none.
func (g *instance) committerAnswers(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := g.store.File().Read(ctx, func(*flash.Tx) error { return nil })
	if errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
