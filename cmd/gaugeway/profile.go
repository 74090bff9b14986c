package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/gateway/config"
)

func newProfile() *cobra.Command {
	cmd := &cobra.Command{Use: "profile", Short: "Device profiles: list, show, new, test"}
	directory := cmd.PersistentFlags().String("directory", drivers.DefaultProfileDirectory, "where the site keeps profiles of its own")
	list := &cobra.Command{
		Use: "list", Short: "List the profiles there are", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return listProfiles(cmd.OutOrStdout(), cmd.ErrOrStderr(), *directory)
		},
	}
	show := &cobra.Command{
		Use: "show NAME", Short: "Write a profile as it stands, to read or to copy", Args: oneArgument("the profile"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := findProfile(args[0], *directory)
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), p.Text)
			}
			return err
		},
	}
	cmd.AddCommand(list, show, newProfileNew(), newProfileTest(directory))
	return cmd
}

func listProfiles(out, errOut io.Writer, directory string) error {
	all, errs := drivers.Profiles(directory)
	for _, err := range errs {
		fmt.Fprintln(errOut, err)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tPROTOCOL\tVERIFIED\tINSTRUMENT")
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, p.Head.Protocol, p.Head.Verified, p.Head.Title)
	}
	return t.Flush()
}

// findProfile reads a profile by its name or from a file.
func findProfile(name, directory string) (drivers.Profile, error) {
	if strings.ContainsAny(name, "/.") {
		return drivers.ReadProfile(name)
	}
	p, err := drivers.FindProfile(name, directory)
	if err != nil {
		return p, usageError{err}
	}
	return p, nil
}

// profileTemplates are beginnings of a profile, by protocol.
var profileTemplates = map[string]string{
	"modbus": `[profile]
title = "Maker and model"
protocol = "modbus"
version = 1
source = "the manual: title, revision, page"
verified = "documentation"           # "hardware" once somebody has tried it
notes = ""

[line]                               # what the instrument is set to at the factory
baud_rate = 9600
parity = "none"

[device]
byte_order = "ABCD"                  # of its 32-bit values

[device.tag.pressure]
register = "holding"
address = 0                          # 0-based: 40001 in old manuals is 0 here
type = "float32"
unit = "bar"

[exchange.pressure]                  # from the manual; played by gaugeway profile test
hex = { request = "01 03 00 00 00 02 C4 0B", reply = "01 03 04 41 48 00 00 EF DD" }
tags = { pressure = "12.5" }
`,
	"text": `[profile]
title = "Maker and model"
protocol = "text"
version = 1
source = "the manual: title, revision, page"
verified = "documentation"           # "hardware" once somebody has tried it
notes = ""

[line]                               # what the instrument is set to at the factory
baud_rate = 9600
parity = "none"

[device]
address = "01"

[device.poll.pressure]
send = '*{address}P\r'
frame = { end = '\r', max = 64 }
match = '^\?{address}=(?P<p>[-+.0-9]+)$'

[device.tag.pressure]
field = "p"
unit = "bar"

[exchange.pressure]                  # from the manual; played by gaugeway profile test
request = '*01P\r'
reply = '?01=12.5\r'
tags = { pressure = "12.5" }
`,
}

func newProfileNew() *cobra.Command {
	cmd := &cobra.Command{Use: "new", Short: "Write the beginning of a profile, to be filled in", Args: noArguments}
	protocol := cmd.Flags().String("protocol", "modbus", "modbus or text")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		text, ok := profileTemplates[*protocol]
		if !ok {
			return usageError{fmt.Errorf("--protocol: %q is neither modbus nor text", *protocol)}
		}
		_, err := io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
	return cmd
}

func newProfileTest(directory *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Play the exchanges that a profile has written down, or decode a reply",
		Example: "  gaugeway profile test my-transmitter.toml\n" +
			"  gaugeway profile test my-transmitter.toml --reply '01 03 04 41 48 00 00 EF DD'",
		Args: oneArgument("the profile, a file or a name"),
	}
	reply := cmd.Flags().String("reply", "", "decode this reply, in `hex`")
	request := cmd.Flags().String("request", "", "the request that it answers, in `hex`, where the reply does not tell")
	poll := cmd.Flags().String("poll", "", "the poll that it answers, of a text instrument with several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := findProfile(args[0], *directory)
		if err != nil {
			return err
		}
		device, err := profileDevice(p)
		if err != nil {
			return err
		}
		if *reply == "" {
			return playExchanges(cmd.OutOrStdout(), p, device)
		}
		return decodeReply(cmd.OutOrStdout(), p, device, *poll, *request, *reply)
	}
	return cmd
}

// profileDevice is a device that has nothing but its profile, and what every
// configuration adds.
func profileDevice(p drivers.Profile) (drivers.DeviceOptions, error) {
	device, faults := config.ProfileDevice(p)
	if faults.Fatal() {
		return nil, usageError{faults}
	}
	return device, nil
}

func playExchanges(w io.Writer, p drivers.Profile, device drivers.DeviceOptions) error {
	if len(p.Exchanges) == 0 {
		return fmt.Errorf("profile %s has no exchange written down; add [exchange.NAME], or give --reply", p.Name)
	}
	var failed error
	for _, name := range slices.Sorted(maps.Keys(p.Exchanges)) {
		err := p.Play(name, device)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("exchange %s: %w", name, err))
			continue
		}
		fmt.Fprintf(w, "exchange %s: well\n", name)
	}
	return failed
}

func decodeReply(w io.Writer, p drivers.Profile, device drivers.DeviceOptions, poll, request, reply string) error {
	requestBytes, err1 := parseHex(request)
	replyBytes, err2 := parseHex(reply)
	if err := errors.Join(err1, err2); err != nil {
		return usageError{err}
	}
	readings, err := drivers.Decode(p.Head.Protocol, device, poll, requestBytes, replyBytes)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TAG\tVALUE\tUNIT")
	for _, r := range readings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.Tag.Name, drivers.Outcome(r), r.Tag.Unit)
	}
	return t.Flush()
}

func parseHex(text string) ([]byte, error) {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "", "0x", "", ",", "").Replace(text))
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal; write it like 01 03 04 41 48", text)
	}
	return b, nil
}
