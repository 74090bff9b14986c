package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/drivers/line"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/config"
	"github.com/gaugeway/gaugeway/gateway/status"
)

func newRead() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "read [DEVICE[/TAG]...]",
		Short: "Read once: value, unit, quality, raw bytes, time taken",
		Example: "  gaugeway read separator separator/pressure\n" +
			"  gaugeway read --serial /dev/ttyUSB0 --baud 9600 --slave-id 1 holding:100:float32:ABCD",
	}
	files := configFlag(cmd)
	socket := socketFlag(cmd, files)
	asJSON := cmd.Flags().Bool("json", false, "write one JSON object a value")
	var e endpoint
	e.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		answers, err := e.read(cmd, args, *files, socket)
		if writeErr := writeAnswers(cmd.OutOrStdout(), answers, *asJSON); err == nil {
			err = writeErr
		}
		return err
	}
	return cmd
}

// read reads what is asked for: with the flags' own line, through the gateway
// that runs, or by itself where none does.
func (e *endpoint) read(cmd *cobra.Command, args, files []string, socket func() (string, error)) ([]readAnswer, error) {
	if e.given() {
		if len(args) == 0 {
			return nil, usageError{errors.New("read: name what to read, such as holding:100:float32:ABCD")}
		}
		return e.readThere(cmd.Context(), args, socket)
	}
	questions := readQuestions(args)
	path, err := socket()
	if err != nil {
		return nil, err
	}
	answers, err := readThrough(cmd.Context(), status.Client{Path: path}, questions)
	if !errors.Is(err, status.ErrNoGateway) {
		return answers, err
	}
	c, err := load(cmd.ErrOrStderr(), files)
	if err != nil {
		return nil, err
	}
	return readAlone(cmd.Context(), c, questions)
}

// readThere reads with the flags' own line. Where a running gateway has it, the
// gateway lends it.
func (e *endpoint) readThere(ctx context.Context, specs []string, socket func() (string, error)) ([]readAnswer, error) {
	c, err := e.config(specs)
	if err != nil {
		return nil, err
	}
	answers, err := readAlone(ctx, c, []readQuestion{{Device: quickDevice}})
	if !errors.Is(err, line.ErrBusy) {
		return answers, err
	}
	path, socketErr := socket()
	if socketErr != nil {
		return nil, socketErr
	}
	askErr := status.Client{Path: path}.Do(ctx, http.MethodPost, "/read-there", thereQuestion{*e, specs}, &answers)
	if errors.Is(askErr, status.ErrNoGateway) || askErr != nil && strings.HasPrefix(askErr.Error(), errNotHeld.Error()) {
		return nil, err // somebody else has it
	}
	return answers, askErr
}

// thereQuestion asks for one read of an instrument that no configuration has, on
// a line that the gateway has.
type thereQuestion struct {
	Endpoint endpoint `json:"endpoint"`
	Tags     []string `json:"tags"`
}

func (g *instance) readThere(ctx context.Context, q thereQuestion) (answers []readAnswer, err error) {
	c, err := q.Endpoint.config(q.Tags)
	if err != nil {
		return nil, err
	}
	where := c.Lines[quickLine].Options.String()
	name, ok := g.lineAt(where)
	if !ok {
		return nil, fmt.Errorf("%w is at %s", errNotHeld, where)
	}
	g.log.Info("line is read by hand", "line", name, "by", status.Peer(ctx))
	err = g.drivers[name].Lend(ctx, func(ctx context.Context) (err error) {
		answers, err = readAlone(ctx, c, []readQuestion{{Device: quickDevice}})
		return err
	})
	return answers, err
}

func readQuestions(args []string) []readQuestion {
	var questions []readQuestion
	for _, arg := range args {
		device, tag, _ := strings.Cut(arg, "/")
		questions = append(questions, readQuestion{Device: device, Tag: tag})
	}
	return questions
}

// readThrough asks the gateway that runs; without questions, for every device.
func readThrough(ctx context.Context, client status.Client, questions []readQuestion) ([]readAnswer, error) {
	if len(questions) == 0 {
		s, err := client.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		questions = readQuestions(sortedKeys(s.Devices))
	}
	var all []readAnswer
	var failed error
	for _, q := range questions {
		var answers []readAnswer
		if err := client.Do(ctx, http.MethodPost, "/read", q, &answers); err != nil {
			if errors.Is(err, status.ErrNoGateway) {
				return nil, err
			}
			failed = errors.Join(failed, err)
		}
		all = append(all, answers...)
	}
	return all, failed
}

// readAlone opens the lines itself; without questions it reads every device.
func readAlone(ctx context.Context, c *config.Config, questions []readQuestion) ([]readAnswer, error) {
	if len(questions) == 0 {
		questions = readQuestions(sortedKeys(c.Devices))
	}
	byLine := make(map[string][]readQuestion)
	for _, q := range questions {
		dev, ok := c.Devices[q.Device]
		if !ok {
			return nil, usageError{errors.New(gateway.Unknown(q.Device, "a device", sortedKeys(c.Devices)))}
		}
		byLine[dev.Line] = append(byLine[dev.Line], q)
	}
	var all []readAnswer
	var failed error
	for _, name := range sortedKeys(byLine) {
		answers, err := readLine(ctx, c, name, byLine[name])
		all, failed = append(all, answers...), errors.Join(failed, err)
	}
	return all, failed
}

// nowhere is where the readings of a driver go that runs for one read.
type nowhere struct{}

func (nowhere) Append(_ []gateway.Reading, done func(error)) {
	if done != nil {
		done(nil)
	}
}

func readLine(ctx context.Context, c *config.Config, name string, questions []readQuestion) ([]readAnswer, error) {
	boot, err := gateway.ThisBoot()
	if err != nil {
		return nil, err
	}
	l := c.ForDriver(name)
	l.Now, l.Log, l.Asked = boot.Now, slog.New(slog.DiscardHandler), true
	d, err := drivers.New(l)
	if err != nil {
		return nil, err
	}
	first, err := line.Open(ctx, c.Lines[name].Options) // so that what is wrong with the port is told at once
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (gateway.Line, error) {
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return line.Open(ctx, c.Lines[name].Options)
	}
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.Run(ctx, open, nowhere{}) })
	var out []readAnswer
	var failed error
	for _, q := range questions {
		answers, err := d.Read(ctx, q.Device, q.Tag)
		failed = errors.Join(failed, err)
		for _, a := range answers {
			out = append(out, newReadAnswer(a))
		}
	}
	stop()
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		failed = errors.Join(failed, err)
	}
	return out, failed
}

func writeAnswers(w io.Writer, answers []readAnswer, asJSON bool) error {
	if asJSON {
		for _, a := range answers {
			if err := json.NewEncoder(w).Encode(a); err != nil {
				return err
			}
		}
		return nil
	}
	if len(answers) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TAG\tVALUE\tUNIT\tQUALITY\tTOOK\tREQUEST\tREPLY")
	for _, a := range answers {
		quality := a.Quality
		if a.Reason != "" {
			quality += ", " + a.Reason
		}
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%.1f ms\t%s\t%s\n", a.Device, a.Tag, a.Value, a.Unit, quality, a.Millis, spaced(a.Request), spaced(a.Reply))
	}
	return t.Flush()
}
