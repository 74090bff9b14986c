package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/broker"
)

func newBroker() *cobra.Command {
	cmd := &cobra.Command{Use: "broker", Short: "Only the on-box broker, from the same configuration file", Args: noArguments}
	files := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(cmd.ErrOrStderr(), *files)
		if err != nil {
			return err
		}
		b := broker.New(c.Site, c.Broker, nil, newLog(cmd.ErrOrStderr(), slog.LevelInfo))
		if err := b.Listen(); err != nil {
			return err
		}
		if err := b.Run(cmd.Context()); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	return cmd
}
