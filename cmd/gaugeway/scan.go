package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/scan"
	"github.com/gaugeway/gaugeway/gateway/config"
	"github.com/gaugeway/gaugeway/gateway/status"
)

// scanQuestion is what a scan is to do, as it is asked of a running gateway.
type scanQuestion struct {
	Where     string   `json:"where"` // a port, an address, or a line of the configuration
	Protocols []string `json:"protocols,omitempty"`
	BaudRates []int    `json:"baud_rates,omitempty"`
	Parities  []string `json:"parities,omitempty"`
	IDs       string   `json:"ids"`
	Expect    []string `json:"expect,omitempty"`
	First     int      `json:"first"`
	Last      int      `json:"last"`
	All       bool     `json:"all,omitempty"`
	Millis    int64    `json:"timeout_ms"`
}

// scanLine is one line of the answer: how far it is, or the end.
type scanLine struct {
	Progress *scan.Progress `json:"progress,omitempty"`
	Result   *scan.Result   `json:"result,omitempty"`
	Error    string         `json:"error,omitempty"`
}

func newScan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scan PORT|ADDRESS|LINE",
		Short: "Find Modbus instruments: baud rates, parities, unit ids, what they are, and where their values stand",
		Example: "  gaugeway scan /dev/ttyUSB0\n" +
			"  gaugeway scan /dev/ttyUSB0 --ids 1-247 --expect \"5..60 bar\" --write site.toml\n" +
			"  gaugeway scan 10.0.0.20:502 --ids 1-8",
		Args: oneArgument("a port, an address or a line of the configuration"),
	}
	files := configFlag(cmd)
	socket := socketFlag(cmd, files)
	var q scanQuestion
	f := cmd.Flags()
	f.StringVar(&q.IDs, "ids", "1-32", "unit ids to ask, such as 1-32 or 1,5,7-9")
	f.IntSliceVar(&q.BaudRates, "baud", nil, "baud rates to try (all that are common)")
	f.StringSliceVar(&q.Parities, "parity", nil, "parities to try (none, even, odd)")
	f.StringSliceVar(&q.Protocols, "protocol", nil, "protocols to try (modbus-rtu; modbus-tcp at an address)")
	f.StringSliceVar(&q.Expect, "expect", nil, `look for a value, such as "5..60 bar"; several times for several`)
	f.IntVar(&q.First, "first", 0, "first register to look at")
	f.IntVar(&q.Last, "last", 127, "last register to look at")
	f.BoolVar(&q.All, "all", false, "go on with other settings after one that found something")
	timeout := f.Duration("response-timeout", 200*time.Millisecond, "how long an instrument may think")
	write := f.String("write", "", "write a first configuration of what was found to this `file`")
	asJSON := f.Bool("json", false, "write the result as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Where, q.Millis = args[0], timeout.Milliseconds()
		if *write != "" {
			if _, err := os.Stat(*write); err == nil {
				return usageError{fmt.Errorf("--write: %s exists already; name another file", *write)}
			}
		}
		path, err := socket()
		if err != nil {
			return err
		}
		result, err := q.run(cmd.Context(), *files, status.Client{Path: path}, progressTo(cmd.ErrOrStderr()))
		if *asJSON {
			err = errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(result))
		} else {
			writeScan(cmd.OutOrStdout(), result)
		}
		if *write != "" && len(result.Found) > 0 {
			err = errors.Join(err, writeScanned(cmd.OutOrStdout(), *write, q.Where, result))
		}
		return err
	}
	return cmd
}

// run scans: by itself, or through the gateway that has the line open.
func (q scanQuestion) run(ctx context.Context, files []string, client status.Client, progress func(scan.Progress)) (scan.Result, error) {
	result, err := q.through(ctx, client, progress)
	if err == nil || !errors.Is(err, status.ErrNoGateway) && !errors.Is(err, errNotHeld) {
		return result, err
	}
	end := line.Options{Serial: q.Where}
	if c, faults := config.Load(files...); !faults.Fatal() && c.Lines[q.Where].Protocol != "" {
		end = c.Lines[q.Where].Options
		q = q.on(c.Lines[q.Where])
	} else if !strings.HasPrefix(q.Where, "/") && strings.Contains(q.Where, ":") {
		end = line.Options{Address: q.Where}
	}
	o, err := q.options(end)
	if err != nil {
		return scan.Result{}, usageError{err}
	}
	return scan.Run(ctx, o, progress)
}

// errNotHeld says that the gateway that runs has nothing to do with a port.
var errNotHeld = errors.New("no line of the gateway")

// through has the gateway scan a line of its own.
func (q scanQuestion) through(ctx context.Context, client status.Client, progress func(scan.Progress)) (result scan.Result, err error) {
	err = client.Lines(ctx, http.MethodPost, "/scan", q, func(text []byte) error {
		var l scanLine
		if err := json.Unmarshal(text, &l); err != nil {
			return err
		}
		if l.Progress != nil {
			progress(*l.Progress)
		}
		if l.Result != nil {
			result = *l.Result
		}
		if l.Error != "" {
			return errors.New(l.Error)
		}
		return nil
	})
	if err != nil && strings.HasPrefix(err.Error(), errNotHeld.Error()) {
		err = errNotHeld
	}
	return result, err
}

// on keeps what the configuration already knows of a line.
func (q scanQuestion) on(l config.Line) scanQuestion {
	if len(q.Protocols) == 0 {
		q.Protocols = []string{l.Protocol}
	}
	if len(q.BaudRates) == 0 && l.BaudRate != 0 {
		q.BaudRates = []int{l.BaudRate}
	}
	if len(q.Parities) == 0 && l.Parity != "" {
		q.Parities = []string{l.Parity}
	}
	return q
}

// options makes the options of a scan at an end of a line.
func (q scanQuestion) options(end line.Options) (scan.Options, error) {
	ids, err := scan.ParseIDs(q.IDs)
	if err != nil {
		return scan.Options{}, err
	}
	timeout := time.Duration(q.Millis) * time.Millisecond
	o := scan.Options{IDs: ids, All: q.All, First: q.First, Last: q.Last, Open: opener(end, timeout)}
	if q.First < 0 || q.Last > 65535 || q.First > q.Last {
		return o, fmt.Errorf("registers %d to %d are no range; use 0 to 65535", q.First, q.Last)
	}
	for _, text := range q.Expect {
		e, err := scan.ParseExpect(text)
		if err != nil {
			return o, err
		}
		o.Expect = append(o.Expect, e)
	}
	if end.Serial == "" {
		o.Settings = scan.Settings(orElse(q.Protocols, []string{modbus.TCP}), []int{0}, []string{""})
	} else {
		o.Settings = scan.Settings(orElse(q.Protocols, []string{modbus.RTU}), orElse(q.BaudRates, scan.BaudRates), orElse(q.Parities, scan.Parities))
	}
	return o, nil
}

func orElse[T any](given, otherwise []T) []T {
	if len(given) > 0 {
		return given
	}
	return otherwise
}

// opener opens an end of a line with one setting after the other.
func opener(end line.Options, timeout time.Duration) func(context.Context, scan.Setting) (scan.Asker, error) {
	return func(ctx context.Context, s scan.Setting) (scan.Asker, error) {
		o := end
		if end.Serial != "" {
			o.BaudRate, o.Parity, o.StopBits = s.BaudRate, s.Parity, s.StopBits
			if strings.Contains(s.Protocol, "ascii") {
				o.DataBits = 7 // serial line, 2.5.2
			}
		}
		if f := o.Validate(); len(f) > 0 {
			return nil, fmt.Errorf("%s: %s", f[0].Key, f[0].Text)
		}
		l, err := line.Open(ctx, o)
		if err != nil {
			return nil, err
		}
		return modbus.NewClient(l, s.Protocol, timeout), nil
	}
}

// scan answers on the control socket: the line is lent for as long as it takes.
func (g *instance) scan(w http.ResponseWriter, r *http.Request) {
	var q scanQuestion
	if !decode(w, r, &q) {
		return
	}
	name, ok := g.lineAt(q.Where)
	if !ok {
		status.Reply(w, nil, fmt.Errorf("%w is at %s", errNotHeld, q.Where))
		return
	}
	l := g.config.Lines[name]
	o, err := q.on(l).options(l.Options)
	if err != nil {
		status.Reply(w, nil, err)
		return
	}
	g.log.Info("scan begins", "line", name, "by", status.Peer(r.Context()))
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	tell := func(l scanLine) {
		_ = out.Encode(l) // an asker that went away ends the request's context
		_ = flush.Flush()
	}
	var result scan.Result
	err = g.drivers[name].Lend(r.Context(), func(ctx context.Context) (err error) {
		result, err = scan.Run(ctx, o, func(p scan.Progress) { tell(scanLine{Progress: &p}) })
		return err
	})
	end := scanLine{Result: &result}
	if err != nil {
		end.Error = err.Error()
	}
	tell(end)
}

// lineAt returns the line of this name, port or address.
func (g *instance) lineAt(where string) (string, bool) {
	if _, ok := g.config.Lines[where]; ok {
		return where, true
	}
	for name, l := range g.config.Lines {
		if l.Options.String() == where || l.Serial != "" && samePort(l.Serial, where) {
			return name, true
		}
	}
	return "", false
}

// samePort reports whether two paths lead to one port, as by-id names do.
func samePort(a, b string) bool {
	realA, errA := filepath.EvalSymlinks(a)
	realB, errB := filepath.EvalSymlinks(b)
	return errA == nil && errB == nil && realA == realB
}

// progressTo shows how far a scan is, on one line of a terminal, or now and then
// a line where it is none.
func progressTo(w io.Writer) func(scan.Progress) {
	var last time.Time
	terminal := isTerminal(w)
	return func(p scan.Progress) {
		if terminal {
			fmt.Fprintf(w, "\r\x1b[K%s unit %d: %d of %d, at most %s left ", p.Setting, p.Unit, p.Done, p.Total, p.Remaining.Round(time.Second))
			if p.Done+1 >= p.Total {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		}
		if time.Since(last) >= progressEvery {
			last = time.Now()
			fmt.Fprintf(w, "%s unit %d: %d of %d\n", p.Setting, p.Unit, p.Done, p.Total)
		}
	}
}

const progressEvery = 5 * time.Second

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func writeScan(w io.Writer, r scan.Result) {
	for _, setting := range r.Garbled {
		fmt.Fprintf(w, "%s: something answers, but not readably; the rate or the parity is wrong, or two have one id\n", setting)
	}
	for _, f := range r.Found {
		fmt.Fprintf(w, "%s unit %d: %s\n", f.Setting, f.Unit, f.Says)
		for _, id := range f.Identity {
			fmt.Fprintf(w, "    %s: %s\n", id.Name, id.Value)
		}
		for _, g := range f.Guesses {
			fmt.Fprintf(w, "    perhaps %s\n", g)
		}
	}
	if len(r.Found) == 0 {
		fmt.Fprintln(w, "nothing answered; check power, the A and B wires, the termination, and --ids")
	}
}

// writeScanned writes a first configuration.
func writeScanned(out io.Writer, file, where string, r scan.Result) error {
	text := scannedConfiguration(where, r)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	fmt.Fprintf(out, "%s is written; look it over, then: gaugeway check %s\n", file, file)
	return nil
}

func scannedConfiguration(where string, r scan.Result) string {
	var b strings.Builder
	b.WriteString("# Written by gaugeway scan. A guess is what fits: compare it with the instrument's sheet.\n\nsite = \"site\"\n")
	s := r.Found[0].Setting
	fmt.Fprintf(&b, "\n[line.line]\nprotocol = %q\n", s.Protocol)
	if s.BaudRate > 0 {
		fmt.Fprintf(&b, "serial = %q\nbaud_rate = %d\nparity = %q\n", where, s.BaudRate, s.Parity)
		if strings.Contains(s.Protocol, "ascii") {
			b.WriteString("data_bits = 7\n")
		}
	} else {
		fmt.Fprintf(&b, "address = %q\n", where)
	}
	for _, f := range r.Found {
		if f.Setting != s {
			continue // another setting is another line
		}
		fmt.Fprintf(&b, "\n[device.unit%d]", f.Unit)
		for _, id := range f.Identity {
			fmt.Fprintf(&b, "\n# %s: %s", id.Name, strings.ToValidUTF8(strings.ReplaceAll(id.Value, "\n", " "), "?"))
		}
		fmt.Fprintf(&b, "\nline = \"line\"\nslave_id = %d\ninterval = \"10s\"\n", f.Unit)
		writeGuesses(&b, f)
	}
	return b.String()
}

// writeGuesses writes a tag for the best guess of each unit of measure, and the
// others as comments.
func writeGuesses(b *strings.Builder, f scan.Found) {
	taken := make(map[string]bool)
	for _, g := range f.Guesses {
		if taken[g.Unit] {
			fmt.Fprintf(b, "# or: %s\n", g)
			continue
		}
		taken[g.Unit] = true
		fmt.Fprintf(b, "\n[device.unit%d.tag.value%d]\nregister = %q\naddress = %d\ntype = %q\n", f.Unit, len(taken), g.Register, g.Address, g.Type)
		for _, given := range []struct{ key, value string }{{"byte_order", g.Order}, {"unit", g.Unit}} {
			if given.value != "" {
				fmt.Fprintf(b, "%s = %q\n", given.key, given.value)
			}
		}
		if g.Scale != "" {
			fmt.Fprintf(b, "scale = %s\n", g.Scale)
		}
	}
	if len(taken) == 0 {
		fmt.Fprintf(b, "# no value is known yet; for example:\n# [device.unit%d.tag.pressure]\n# address = 0\n# type = \"float32\"\n", f.Unit)
	}
}
