package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/drivers/line"
)

func newPorts() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ports",
		Short: "List the serial ports, their stable names, adapters, permissions, and who holds them",
		Args:  noArguments,
	}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ports, err := line.List()
		if err != nil {
			return fmt.Errorf("list the serial ports: %w", err)
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(ports)
		}
		return writePorts(cmd.OutOrStdout(), ports)
	}
	return cmd
}

func writePorts(w io.Writer, ports []line.Port) error {
	if len(ports) == 0 {
		_, err := fmt.Fprintln(w, "there is no serial port; plug in the adapter, and look with dmesg whether the kernel knows it")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PORT\tADAPTER\tDRIVER\tUSE\tNAME FOR THE CONFIGURATION")
	for _, p := range ports {
		name := p.Path
		if len(p.Stable) > 0 {
			name = p.Stable[0]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Path, p.Adapter, p.Driver, useOf(p), name)
	}
	return t.Flush()
}

// useOf says whether this user can have a port, and why not.
func useOf(p line.Port) string {
	var words []string
	if p.HeldBy != "" {
		words = append(words, "held by "+p.HeldBy)
	}
	if !p.Permitted && os.Geteuid() != 0 {
		words = append(words, fmt.Sprintf("not permitted: usermod -aG %s USER", p.Group))
	}
	if len(words) == 0 {
		return "free"
	}
	return strings.Join(words, "; ")
}
