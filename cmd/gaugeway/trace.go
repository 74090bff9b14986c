package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway/status"
)

func newTrace() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace LINE",
		Short: "Show the frames on a line of a running gateway as they pass, decoded",
		Args:  oneArgument("the line"),
	}
	files := configFlag(cmd)
	socket := socketFlag(cmd, files)
	asJSON := cmd.Flags().Bool("json", false, "write one JSON object a frame")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := socket()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		err = status.Client{Path: path}.Lines(cmd.Context(), http.MethodGet, "/trace?line="+url.QueryEscape(args[0]), nil, func(line []byte) error {
			if *asJSON {
				_, err := fmt.Fprintf(out, "%s\n", line)
				return err
			}
			var f traceLine
			if err := json.Unmarshal(line, &f); err != nil {
				return err
			}
			_, err := fmt.Fprintln(out, f)
			return err
		})
		if errors.Is(err, context.Canceled) {
			return nil // Ctrl-C is how a trace ends
		}
		return err
	}
	return cmd
}

// String is a frame as a person reads it: "12:00:00.123 → 01 03 …  unit 1: read holding 0".
func (f traceLine) String() string {
	arrow := "←"
	if f.Sent {
		arrow = "→"
	}
	return fmt.Sprintf("%s %s %s  %s", f.Time.Local().Format("15:04:05.000"), arrow, spaced(f.Bytes), f.Text)
}

// spaced parts hexadecimal digits byte by byte.
func spaced(digits string) string {
	var b strings.Builder
	for i := 0; i+1 < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strings.ToUpper(digits[i : i+2]))
	}
	return b.String()
}
