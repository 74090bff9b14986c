package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/receive"
)

func newDecode() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decode",
		Short: "Decode lines of topic<TAB>base64 payload into records, without a server",
		Args:  noArguments,
	}
	withInput := cmd.Flags().Bool("with-input-index", false, "add the 0-based index of the line that each record came from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		complain := func(line int, err error) { fmt.Fprintf(cmd.ErrOrStderr(), "line %d: %v\n", line, err) }
		bad, err := receive.Decode(cmd.InOrStdin(), cmd.OutOrStdout(), *withInput, complain)
		if err == nil && bad > 0 {
			err = fmt.Errorf("%d lines could not be decoded", bad)
		}
		return err
	}
	return cmd
}
