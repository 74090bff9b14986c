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
	socket := cmd.Flags().String("socket", "", "control `socket`, instead of the one in the configuration")
	watch := cmd.Flags().Bool("watch", false, "show it every two seconds")
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path := *socket
		if path == "" {
			path = config.DefaultSocket()
			if c, faults := config.Load(*files...); !faults.Fatal() {
				path = c.Control.Socket
			} else if cmd.Flags().Changed("config") {
				return usageError{faults}
			}
		}
		return showStatus(cmd.Context(), cmd.OutOrStdout(), path, *watch, *asJSON)
	}
	return cmd
}

const watchInterval = 2 * time.Second

func showStatus(ctx context.Context, out io.Writer, socket string, watch, asJSON bool) error {
	for {
		s, err := status.Ask(ctx, socket)
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
