package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/config"
	"github.com/gaugeway/gaugeway/gateway/status"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Ask a running gateway how it is",
		Args:  noArguments,
	}
	files := configFlag(cmd)
	socket := socketFlag(cmd, files)
	watch := cmd.Flags().Bool("watch", false, "show it every two seconds")
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := socket()
		if err != nil {
			return err
		}
		return showStatus(cmd.Context(), cmd.OutOrStdout(), path, *watch, *asJSON)
	}
	return cmd
}

// socketFlag adds --socket, and returns where the control socket is: as the flag
// says, else as the configuration does, else where it is by default.
func socketFlag(cmd *cobra.Command, files *[]string) func() (string, error) {
	socket := cmd.Flags().String("socket", "", "control `socket`, instead of the one in the configuration")
	return func() (string, error) {
		if *socket != "" {
			return *socket, nil
		}
		c, faults := config.Load(*files...)
		switch {
		case !faults.Fatal():
			return c.Control.Socket, nil
		case cmd.Flags().Changed("config"):
			return "", usageError{faults}
		default:
			return config.DefaultSocket(), nil
		}
	}
}

const watchInterval = 2 * time.Second

func showStatus(ctx context.Context, out io.Writer, socket string, watch, asJSON bool) error {
	for {
		s, err := status.Client{Path: socket}.Snapshot(ctx)
		if err != nil {
			return err
		}
		if watch && !asJSON {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		}
		if asJSON {
			err = json.NewEncoder(out).Encode(s)
		} else {
			err = status.WriteText(out, s)
		}
		if err != nil || !watch || !gateway.Sleep(ctx, watchInterval) {
			return err
		}
	}
}
