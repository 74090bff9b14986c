package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/receive"
	"github.com/gaugeway/gaugeway/gateway/uplink"
)

type receiveFlags struct {
	server              uplink.Options
	prefix, group       string
	output, file, state string
}

func newReceive() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receive --server URL",
		Short: "Take batches from a server, drop what came twice, write records",
		Long: `Receive subscribes to the batches of all gateways on a server, drops what came
twice, and writes one record a line (NDJSON). It acknowledges to the server only
after the output has the records. With --file and --state each record is written
exactly once, whatever fails; to standard output each is written at least once.`,
		Args: noArguments,
	}
	var f receiveFlags
	flags := cmd.Flags()
	flags.StringArrayVar(&f.server.Servers, "server", nil, "`URL` of the server, mqtt:// mqtts:// ws:// wss://; more are tried in order")
	flags.StringVar(&f.server.ClientID, "client-id", "", "names the session that the server keeps (default gaugeway-receive-HOST)")
	flags.StringVar(&f.server.Username, "username", "", "user at the server")
	flags.StringVar(&f.server.PasswordFile, "password-file", "", "`file` with the password")
	flags.StringVar(&f.server.TLSCA, "tls-ca", "", "`file` with the certificates to trust")
	flags.StringVar(&f.server.TLSCert, "tls-cert", "", "`file` with the client certificate")
	flags.StringVar(&f.server.TLSKey, "tls-key", "", "`file` with its key")
	flags.StringVar(&f.prefix, "prefix", "gaugeway", "first levels of the topics, as in [uplink.X] prefix")
	flags.StringVar(&f.group, "group", "", "share the work with the receivers of this `name` ($share)")
	flags.StringVar(&f.output, "output", "ndjson", "what to write: ndjson")
	flags.StringVar(&f.file, "file", "", "append to this `file` instead of standard output")
	flags.StringVar(&f.state, "state", "", "`file` that remembers what is written, for exactly once")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runReceive(cmd, f) }
	return cmd
}

func runReceive(cmd *cobra.Command, f receiveFlags) error {
	if err := f.check(); err != nil {
		return usageError{err}
	}
	output, rejects, err := f.open(cmd.OutOrStdout(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	filter := f.prefix + "/+/data"
	if f.group != "" {
		filter = "$share/" + f.group + "/" + filter
	}
	log := newLog(cmd.ErrOrStderr(), slog.LevelInfo)
	err = receive.New(receive.Options{Server: f.server, Filters: []string{filter}, Rejects: rejects}, output, log).Run(cmd.Context())
	if cmd.Context().Err() != nil {
		err = nil // it was told to end
	}
	return errors.Join(err, output.Close())
}

func (f *receiveFlags) check() error {
	if len(f.server.Servers) == 0 {
		return errors.New("--server is missing; write where to receive from, like --server mqtts://scada.example.com:8883")
	}
	for _, s := range f.server.Servers {
		if u, err := url.Parse(s); err != nil || u.Host == "" {
			return fmt.Errorf("--server %q is not a server; write it like mqtts://scada.example.com:8883", s)
		}
	}
	switch f.output {
	case "ndjson":
	case "csv", "influx":
		return fmt.Errorf("--output %s is not in this version; use ndjson", f.output)
	default:
		return fmt.Errorf("--output %s is not in this version, or no output; use ndjson", f.output)
	}
	if f.state != "" && f.file == "" {
		return errors.New("--state needs --file: standard output cannot be taken back")
	}
	if f.group != "" && gateway.ValidName(f.group) != nil {
		return gateway.ValidName(f.group)
	}
	if f.server.ClientID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("no name for the session: %w; give one with --client-id", err)
		}
		f.server.ClientID = "gaugeway-receive-" + host
	}
	return nil
}

// open opens the output, and where messages are set aside that are no batch: a
// file beside the other one.
func (f *receiveFlags) open(stdout, stderr io.Writer) (receive.Output, io.Writer, error) {
	if f.file == "" {
		return receive.NewStream(stdout), stderr, nil
	}
	output, err := receive.NewFile(f.file, f.state)
	return output, &rejectFile{path: f.file + ".rejected"}, err
}

// rejectFile is made with the first message that is set aside.
type rejectFile struct{ path string }

func (r *rejectFile) Write(b []byte) (int, error) {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_SYNC, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(b)
	return n, errors.Join(err, f.Close())
}
