// Gaugeway is an edge gateway: it reads instruments on serial lines and Modbus,
// serves them to the site with MQTT, and brings every reading to remote servers
// over a link that fails and is billed by the byte.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/config"
)

// version is set by the linker.
var version = "unreleased"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2 // the command line or the configuration is wrong
)

// usageError is a mistake of the person at the command line or in a configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintf(errOut, "gaugeway: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(errOut, "gaugeway: %v\n", err)
		return exitFailed
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "gaugeway",
		Short:         "Edge gateway for remote sites: instruments to MQTT, nothing lost",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%q is not a command; see gaugeway --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(
		newRun(), newDemo(), newCheck(), newStatus(), newBroker(),
		newReceive(), newDecode(), newPasswd(), newVersion(),
		newRead(), newTrace(), newHold(), newPlan(), newProfile(), newSimulate(), newScan(), newPorts(), newBuffer(),
	)
	for _, c := range laterCommands {
		root.AddCommand(notYet(c.use, c.does))
	}
	return root
}

// laterCommands are promised and not in this version; they say so.
var laterCommands = []struct{ use, does string }{
	{"init", "write a first configuration"},
	{"reload", "make a running gateway read its configuration again"},
}

func notYet(use, does string) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              does + " (not in this version)",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return usageError{fmt.Errorf("%s is not in this version", use)}
		},
	}
}

// noArguments refuses arguments as a mistake of the command line.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return nil
}

// configFlag adds -c/--config.
func configFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringSliceP("config", "c", []string{config.DefaultFile}, "configuration `file`")
}

// load reads a configuration, says what is wrong with it, and fails if it cannot be used.
func load(errOut io.Writer, files []string) (*config.Config, error) {
	c, faults := config.Load(files...)
	if faults.Fatal() {
		return nil, usageError{fmt.Errorf("the configuration cannot be used\n%w", faults)}
	}
	for _, f := range faults {
		fmt.Fprintln(errOut, f)
	}
	return c, nil
}

// newLog returns the log of a running gateway. Under systemd the journal has the time.
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if os.Getenv("JOURNAL_STREAM") != "" {
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, options))
}
