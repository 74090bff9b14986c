package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gaugeway/gaugeway/cmd/gaugeway/demo"
)

const (
	demoLength   = time.Minute
	leastDemo    = 10 * time.Second // played: a commit, an outage and a drain need their time
	fastestSpeed = 20
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything on one machine with no hardware, and an account at the end",
		Long: `Demo plays simulated instruments on pseudo-terminals, the gateway as a process of
its own, a remote server and a link to it. The link fails and returns, the
gateway is killed with kill -9, an instrument answers too late and another falls
silent. At the end everything is counted; the exit code is 0 only if every
committed reading arrived exactly once and no value was wrong.`,
		Args: noArguments,
	}
	o := demo.Options{}
	cmd.Flags().DurationVar(&o.For, "for", demoLength, "how long the story is")
	cmd.Flags().Float64Var(&o.Speed, "speed", 1, "play it so many times faster")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "keep everything running and the files afterwards, until Ctrl-C")
	cmd.Flags().StringVar(&o.Runner, "runner", "", "run the gateway through this `command`, as an emulator")
	_ = cmd.Flags().MarkHidden("runner") // exists
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.Speed < 0.1 || o.Speed > fastestSpeed || float64(o.For)/o.Speed < float64(leastDemo) {
			return usageError{errors.New("--speed must be from 0.1 to 20, and --for divided by it at least 10s")}
		}
		o.Out = cmd.OutOrStdout()
		f, isFile := o.Out.(*os.File)
		o.Terminal = isFile && term.IsTerminal(int(f.Fd()))
		return demo.Run(cmd.Context(), o)
	}
	return cmd
}
