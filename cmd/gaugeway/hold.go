package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/config"
	"github.com/gaugeway/gaugeway/gateway/status"
)

// longestHold bounds a hold: who forgets it has his alarms back within days.
const longestHold = 7 * 24 * time.Hour

func newHold() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold DEVICE",
		Short: "Mark a device's readings uncertain, reason maintenance, and silence its alarms for a while",
		Args:  oneArgument("the device"),
	}
	files := configFlag(cmd)
	socket := socketFlag(cmd, files)
	length := cmd.Flags().String("for", "1h", "how long, such as 30m or 2h; 0s lets go of it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := config.ParseDuration(*length)
		if err != nil {
			return usageError{fmt.Errorf("--for: %w; write it like 30m or 2h", err)}
		}
		path, err := socket()
		if err != nil {
			return err
		}
		q := holdQuestion{Device: args[0], Seconds: d.Seconds()}
		if err := (status.Client{Path: path}).Do(cmd.Context(), http.MethodPost, "/hold", q, nil); err != nil {
			return err
		}
		if d == 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%s is not held any more\n", args[0])
			return nil
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is held for %s, until %s\n", args[0], d, time.Now().Add(d).Format("15:04:05"))
		return nil
	}
	return cmd
}

// holdsFile is where holds outlive a restart: a power cut during maintenance must
// not call the control room.
func (g *instance) holdsFile() string { return filepath.Join(g.config.Buffer.Directory, "holds.json") }

// loadHolds takes up what was held when the gateway ended. What is further away
// than a hold can be comes from a clock that was wrong.
func (g *instance) loadHolds() {
	text, err := os.ReadFile(g.holdsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var held map[string]time.Time
	if err == nil {
		err = json.Unmarshal(text, &held)
	}
	if err != nil {
		g.log.Warn("what was held cannot be read", "error", err)
		return
	}
	for device, until := range held {
		if _, err := g.driverOf(device); err == nil && time.Until(until) <= longestHold {
			g.holds.Hold(device, until)
			g.log.Info("device held", "device", device, "until", until, "by", "a hold from before the start")
		}
	}
}

// saveHolds keeps what is held.
func (g *instance) saveHolds() error {
	text, err := json.Marshal(g.holds.Held())
	if err != nil {
		return err
	}
	next := g.holdsFile() + ".new"
	if err := os.WriteFile(next, text, 0o640); err != nil {
		return fmt.Errorf("the device is held, and would not be after a restart: %w", err)
	}
	return os.Rename(next, g.holdsFile())
}

// oneArgument refuses more or fewer arguments than one; what names it.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one argument, %s; see %s --help", cmd.CommandPath(), what, cmd.CommandPath())}
		}
		return nil
	}
}
