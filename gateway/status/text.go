package status

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes a snapshot for a person.
func WriteText(w io.Writer, s Snapshot) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	since := func(at time.Time) string { return s.Time.Sub(at).Round(time.Second).String() }
	uptime := time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(t, "site %s\tgaugeway %s\tup %v\tclock %s\n\n", s.Site, s.Version, uptime, s.Clock)

	fmt.Fprintln(t, "LINE\tSTATE\tFOR\tREQUESTS\tTIMEOUTS\tCRC\tEXCEPTIONS\tLATE\tUSE\t")
	for _, name := range slices.Sorted(maps.Keys(s.Lines)) {
		l := s.Lines[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%.0f %%\t%s\n", name, l.State, since(l.Since), l.Requests, l.Timeouts, l.CRCErrors, l.Exceptions, l.LateFrames, 100*l.Use, joined(l.Error, uartText(l.UART)))
	}
	fmt.Fprintln(t, "\nDEVICE\tSTATE\tFOR\tLINE\tMISSED\t")
	for _, name := range slices.Sorted(maps.Keys(s.Devices)) {
		d := s.Devices[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", name, d.State, since(d.Since), d.Line, d.Missed, joined(d.Detail, d.Refused, held(s.Time, d.Held), strings.Join(d.Alarms, ", ")))
	}
	fmt.Fprintln(t, "\nUPLINK\tSTATE\tFOR\tBACKLOG\tDELIVERED\tSENT\tRECEIVED\t")
	for _, name := range slices.Sorted(maps.Keys(s.Uplinks)) {
		u := s.Uplinks[name]
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", name, u.State, since(u.Since), u.Backlog, u.Readings, bytesText(u.BytesUp), bytesText(u.BytesDown), u.Server+u.Error)
	}
	where := "on disk"
	if s.Buffer.Memory {
		where = "IN MEMORY ONLY: the disk cannot be used"
	}
	fmt.Fprintf(t, "\nbuffer\tepoch %s\t%s of %s\t%d commits\t%d readings given up\t%s\n", s.Buffer.Epoch, bytesText(uint64(s.Buffer.Bytes)), bytesText(uint64(s.Buffer.MaxBytes)), s.Buffer.Commits, s.Buffer.GivenUp, where)
	fmt.Fprintf(t, "broker\t%d clients\t%d sessions\t%d retained\t%d in, %d out\t%d dropped\n", s.Broker.Clients, s.Broker.Sessions, s.Broker.Retained, s.Broker.In, s.Broker.Out, s.Broker.Dropped)
	return t.Flush()
}

// joined joins what there is to say.
func joined(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "; ")
}

func held(now, until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return "held for " + until.Sub(now).Round(time.Second).String()
}

// uartText tells what the hardware counted, if it is any trouble.
func uartText(u *UART) string {
	if u == nil || *u == (UART{}) {
		return ""
	}
	return fmt.Sprintf("hardware: %d framing, %d parity, %d overruns, %d breaks", u.Framing, u.Parity, u.Overruns, u.Breaks)
}

func bytesText(n uint64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f KB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
