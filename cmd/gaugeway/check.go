package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/config"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Name every fault of a configuration at once; opens nothing",
	}
	files := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			args = *files
		}
		_, faults := config.Load(args...)
		for _, f := range faults {
			fmt.Fprintln(cmd.ErrOrStderr(), f)
		}
		if faults.Fatal() {
			return usageError{errors.New("the configuration cannot be used")}
		}
		fmt.Fprintln(cmd.OutOrStdout(), "the configuration is well")
		return nil
	}
	return cmd
}
