package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/buffer"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
	"github.com/gaugeway/gaugeway/gateway/status"
)

func newBuffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look into a buffer, of a running gateway or a file taken home",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBufferStats(), newBufferVerify(), newBufferExport())
	return cmd
}

// looked is the buffer that a command looks into.
type looked struct {
	file, directory *string
	files           *[]string
	socket          func() (string, error)
}

func lookedFlags(cmd *cobra.Command) *looked {
	l := &looked{files: configFlag(cmd)}
	l.socket = socketFlag(cmd, l.files)
	l.file = cmd.Flags().String("file", "", "a buffer `file` that no gateway runs; it is only read")
	l.directory = cmd.Flags().String("directory", "", "the `directory` with such a file")
	return l
}

// view opens the file that the flags name; without one it returns nil, and the
// gateway that runs is meant.
func (l *looked) view() (*buffer.View, error) {
	path := *l.file
	switch {
	case *l.file != "" && *l.directory != "":
		return nil, usageError{errors.New("buffer: give --file or --directory, not both")}
	case *l.directory != "":
		path = buffer.FileIn(*l.directory)
	case path == "":
		return nil, nil
	}
	signal.Ignore(syscall.SIGPIPE) // of head: the copy goes when the command fails, and would stay if it was killed
	v, err := buffer.OpenView(path)
	if errors.Is(err, flash.ErrInUse) {
		return nil, fmt.Errorf("%w; or ask the gateway that runs: leave out --file and --directory", err)
	}
	return v, err
}

func (l *looked) client() (status.Client, error) {
	path, err := l.socket()
	return status.Client{Path: path}, err
}

func newBufferStats() *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "What is in it: epochs, classes, backlogs, boots", Args: noArguments}
	l := lookedFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := l.summary(cmd.Context())
		switch {
		case err != nil:
			return err
		case *asJSON:
			return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
		default:
			return writeSummary(cmd.OutOrStdout(), s)
		}
	}
	return cmd
}

func (l *looked) summary(ctx context.Context) (s buffer.Summary, err error) {
	v, err := l.view()
	if err != nil {
		return s, err
	}
	if v != nil {
		defer v.Close()
		return v.Summary(ctx)
	}
	client, err := l.client()
	if err != nil {
		return s, err
	}
	return s, client.Do(ctx, http.MethodGet, "/buffer/stats", nil, &s)
}

func writeSummary(w io.Writer, s buffer.Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "used\t%s of %s\n", gateway.Size(s.UsedBytes), gateway.Size(s.FileBytes))
	if s.MaxBytes > 0 {
		fmt.Fprintf(t, "at most\t%s\n", gateway.Size(s.MaxBytes))
	}
	fmt.Fprintln(t, "\nEPOCH\tCLASS\tFROM SEQ\tTO SEQ\tGIVEN UP")
	for _, e := range s.Epochs {
		for _, class := range sortedKeys(e.Classes) {
			c := e.Classes[class]
			first := "-"
			if c.First > 0 {
				first = fmt.Sprint(c.First)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\n", e.Epoch, class, first, c.Committed, c.GivenUp)
		}
	}
	fmt.Fprintln(t, "\nUPLINK\tBACKLOG\tGAPS\tOLDEST UNSENT")
	for _, name := range sortedKeys(s.Uplinks) {
		u := s.Uplinks[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", name, u.Backlog, u.Gaps, timeText(u.Oldest))
	}
	fmt.Fprintln(t, "\nBOOT\tCLOCK\tSTARTED")
	for _, b := range s.Boots {
		fmt.Fprintf(t, "%s\t%s\t%s\n", b.Boot, b.Clock, timeText(b.Started))
	}
	for _, f := range s.Damaged {
		fmt.Fprintf(t, "\nDAMAGED\t%s\n", f)
	}
	return t.Flush()
}

func timeText(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return string(gateway.AppendTime(nil, at.UnixMilli()))
}

// verifyLine is what a running gateway tells while it verifies: how far it is,
// and at last what it found.
type verifyLine struct {
	Done   int64            `json:"done,omitempty"`
	Total  int64            `json:"total,omitempty"`
	Result *buffer.Verified `json:"result,omitempty"`
	Error  string           `json:"error,omitempty"`
}

const tellEvery = time.Second

// everySecond calls tell at most once a second, and not in the first.
func everySecond(tell func(done, total int64)) func(done, total int64) {
	last := time.Now()
	return func(done, total int64) {
		if time.Since(last) >= tellEvery {
			last = time.Now()
			tell(done, total)
		}
	}
}

func newBufferVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Check and decode every segment, and look for missing readings", Args: noArguments}
	l := lookedFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		x, err := l.verify(cmd.Context(), func(done, total int64) {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d of about %d readings\n", done, total)
		})
		if err != nil {
			return err
		}
		if *asJSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(x)
		} else {
			err = writeVerified(cmd.OutOrStdout(), x)
		}
		if err == nil && len(x.Faults) > 0 {
			err = fmt.Errorf("the buffer is damaged in %d places", len(x.Faults))
		}
		return err
	}
	return cmd
}

func (l *looked) verify(ctx context.Context, progress func(done, total int64)) (x buffer.Verified, err error) {
	v, err := l.view()
	if err != nil {
		return x, err
	}
	if v != nil {
		defer v.Close()
		return v.Verify(ctx, everySecond(progress))
	}
	client, err := l.client()
	if err != nil {
		return x, err
	}
	body, err := client.Stream(ctx, http.MethodPost, "/buffer/verify", nil)
	if err != nil {
		return x, err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; {
		var line verifyLine
		switch err := lines.Decode(&line); {
		case err != nil:
			return x, fmt.Errorf("the gateway did not verify to the end: %w", err)
		case line.Error != "":
			return x, errors.New(line.Error)
		case line.Result != nil:
			return *line.Result, nil
		}
		progress(line.Done, line.Total)
	}
}

func writeVerified(w io.Writer, x buffer.Verified) error {
	for _, f := range x.Faults {
		fmt.Fprintln(w, f)
	}
	_, err := fmt.Fprintf(w, "%d segments with %d readings are well, %d given up by gaps, %d faults\n", x.Segments, x.Readings, x.GivenUp, len(x.Faults))
	return err
}

// exportQuestion asks for readings.
type exportQuestion struct {
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Device string    `json:"device,omitempty"`
	Tag    string    `json:"tag,omitempty"`
	Format string    `json:"format"`
}

func (q exportQuestion) filter() buffer.Filter {
	return buffer.Filter{From: q.From, To: q.To, Device: q.Device, Tag: q.Tag}
}

func newBufferExport() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export", Short: "Write readings as CSV or NDJSON, delivered ones too", Args: noArguments,
		Example: "  gaugeway buffer export --from 24h --device separator --output yesterday.csv\n" +
			"  gaugeway buffer export --file buffer.db --format ndjson",
	}
	l := lookedFlags(cmd)
	var q exportQuestion
	from := cmd.Flags().String("from", "", "from this `time` on: RFC 3339, or so long ago, such as 24h")
	to := cmd.Flags().String("to", "", "until before this `time`")
	cmd.Flags().StringVar(&q.Device, "device", "", "only this `device`")
	cmd.Flags().StringVar(&q.Tag, "tag", "", "only `tags` of this name")
	cmd.Flags().StringVar(&q.Format, "format", "csv", "csv or ndjson")
	output := cmd.Flags().String("output", "", "write to this `file` instead of standard output")
	site := cmd.Flags().String("site", "", "the `name` of the site in NDJSON, which a file does not know")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if !slices.Contains(exportFormats, q.Format) {
			return usageError{fmt.Errorf("--format: %s", gateway.Unknown(q.Format, "a format", exportFormats))}
		}
		if q.From, err = moment(*from, time.Now()); err != nil {
			return usageError{fmt.Errorf("--from: %w", err)}
		}
		if q.To, err = moment(*to, time.Now()); err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		out := cmd.OutOrStdout()
		if *output == "" {
			return l.export(cmd.Context(), q, *site, out)
		}
		file, err := os.OpenFile(*output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, os.ErrExist) {
			return usageError{fmt.Errorf("--output: %s is there already; name another file, or remove it", *output)}
		}
		if err != nil {
			return err
		}
		return errors.Join(l.export(cmd.Context(), q, *site, file), file.Close())
	}
	return cmd
}

// moment reads a time, or how long ago it was; "" is no time.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%q is no time; write it like 2026-11-22T23:00:00Z, or how long ago, like 24h", text)
	}
	return at, nil
}

func (l *looked) export(ctx context.Context, q exportQuestion, site string, out io.Writer) error {
	v, err := l.view()
	if err != nil {
		return err
	}
	if v != nil {
		defer v.Close()
		return exportTo(ctx, v, q, site, out)
	}
	client, err := l.client()
	if err != nil {
		return err
	}
	body, err := client.Stream(ctx, http.MethodPost, "/buffer/export", q)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err = io.Copy(out, body); err != nil {
		return fmt.Errorf("the export is not complete: %w", err)
	}
	if text := body.Trailer(exportError); text != "" {
		return errors.New(text)
	}
	return nil
}

// exportTo writes what q asks for, and as much as can be read of what is damaged.
func exportTo(ctx context.Context, v *buffer.View, q exportQuestion, site string, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	write := newExporter(q.Format, site, out)
	if err := write.head(); err != nil {
		return err
	}
	err := v.Export(ctx, q.filter(), write.reading)
	return errors.Join(err, write.end(), out.Flush())
}

// exportError is the trailer that says how an export ended.
const exportError = "Gaugeway-Error"

func (g *instance) bufferStats(w http.ResponseWriter, r *http.Request) {
	s, err := g.store.View().Summary(r.Context())
	status.Reply(w, s, err)
}

func (g *instance) bufferVerify(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	tell := func(l verifyLine) {
		if out.Encode(l) == nil {
			_ = flush.Flush() // who went away is noticed by the context
		}
	}
	x, err := g.store.View().Verify(r.Context(), everySecond(func(done, total int64) { tell(verifyLine{Done: done, Total: total}) }))
	if err != nil {
		tell(verifyLine{Error: err.Error()})
		return
	}
	tell(verifyLine{Result: &x})
}

func (g *instance) bufferExport(w http.ResponseWriter, r *http.Request) {
	var q exportQuestion
	if !decode(w, r, &q) {
		return
	}
	if !slices.Contains(exportFormats, q.Format) {
		status.Reply(w, nil, errors.New(gateway.Unknown(q.Format, "a format", exportFormats)))
		return
	}
	w.Header().Set("Trailer", exportError)
	w.Header().Set("Content-Type", "application/octet-stream")
	g.log.Info("the buffer is exported", "by", status.Peer(r.Context()))
	if err := exportTo(r.Context(), g.store.View(), q, g.config.Site, w); err != nil {
		w.Header().Set(exportError, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}
