package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gaugeway/gaugeway/drivers"
	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/config"
)

// fullLine is above what a line should be planned for: retries and a dead
// neighbour need room as well.
const fullLine = 0.8

func newPlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan [FILE...]",
		Short: "Tell what a configuration will ask of its lines; opens nothing",
	}
	files := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	history := cmd.Flags().String("history", "", "cost the readings of a CSV `file` (not in this version)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *history != "" {
			return usageError{errors.New("plan --history is not in this version")}
		}
		if len(args) == 0 {
			args = *files
		}
		c, err := load(cmd.ErrOrStderr(), args)
		if err != nil {
			return err
		}
		var plans []gateway.LinePlan
		for _, name := range sortedKeys(c.Lines) {
			plans = append(plans, drivers.Plan(c.ForDriver(name)))
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(newPlanJSON(c, plans))
		}
		return writePlan(cmd.OutOrStdout(), plans)
	}
	return cmd
}

func writePlan(w io.Writer, plans []gateway.LinePlan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, p := range plans {
		if i > 0 {
			fmt.Fprintln(t)
		}
		verdict := ""
		switch {
		case p.Use > 1:
			verdict = "this cannot be done: raise intervals, or part the devices over two lines"
		case p.Use > fullLine:
			verdict = "this leaves no room for retries"
		}
		fmt.Fprintf(t, "line %s\t%d requests\tin use %.1f %%\t%s\n", p.Line, len(p.Requests), 100*p.Use, verdict)
		fmt.Fprintln(t, "DEVICE\tEVERY\tREQUEST\tTAGS\tON THE WIRE\tTAKES")
		for _, r := range p.Requests {
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Device, r.Interval, r.Text, r.Tags, millis(r.Wire), millis(r.Cycle))
		}
	}
	return t.Flush()
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// planJSON is what plan --json writes.
type planJSON struct {
	Site  string         `json:"site"`
	Lines []linePlanJSON `json:"lines"`
}

type linePlanJSON struct {
	Line     string        `json:"line"`
	Use      float64       `json:"use"`
	Requests []requestJSON `json:"requests"`
}

type requestJSON struct {
	Device   string  `json:"device"`
	Interval float64 `json:"interval_s"`
	Request  string  `json:"request"`
	Tags     int     `json:"tags"`
	Wire     float64 `json:"wire_ms"`
	Cycle    float64 `json:"cycle_ms"`
}

func newPlanJSON(c *config.Config, plans []gateway.LinePlan) planJSON {
	out := planJSON{Site: c.Site}
	for _, p := range plans {
		l := linePlanJSON{Line: p.Line, Use: p.Use, Requests: []requestJSON{}}
		for _, r := range p.Requests {
			l.Requests = append(l.Requests, requestJSON{
				Device: r.Device, Interval: r.Interval.Seconds(), Request: r.Text, Tags: r.Tags,
				Wire: r.Wire.Seconds() * 1000, Cycle: r.Cycle.Seconds() * 1000,
			})
		}
		out.Lines = append(out.Lines, l)
	}
	return out
}
