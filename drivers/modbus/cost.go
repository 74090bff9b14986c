package modbus

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// assumedThink is how long most instruments take to answer (notes of makers say
// 5 to 50 ms), for a plan that knows nothing better.
const assumedThink = 20 * time.Millisecond

// Plan works out what a line has to carry, without opening it: the requests that
// a Driver of these options sends while nothing is refused, to instruments that
// answer after 20 ms. char is the time of one character, 0 where there is no wire.
// Options that Validate has faults for make an empty plan.
func Plan(o Options, char time.Duration) gateway.LinePlan {
	p := gateway.LinePlan{Line: o.Line}
	o.Now, o.Asked = func() gateway.Stamp { return gateway.Stamp{} }, false
	d, err := New(o)
	if err != nil {
		return p
	}
	x := d.engine(paper(char))
	for _, s := range d.sweeps {
		for _, b := range s.plan {
			r := gateway.PlannedRequest{
				Device: s.device.name, Interval: s.interval, Text: strings.TrimPrefix(b.request.String(), "read "), Tags: len(b.tags), Wire: x.wireTime(b.request),
			}
			r.Cycle = r.Wire + assumedThink + 2*d.silence(char)
			p.Requests = append(p.Requests, r)
			p.Use += float64(r.Cycle) / float64(r.Interval)
		}
	}
	slices.SortStableFunc(p.Requests, func(a, b gateway.PlannedRequest) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Interval, b.Interval))
	})
	return p
}

// silence returns how long a line is quiet between two frames.
func (d *Driver) silence(char time.Duration) time.Duration {
	p, _ := protocolOf(d.protocol)
	if p.framing == nil {
		return 0
	}
	return max(p.framing.silence(char), d.options.gap)
}

// paper is a line that is only thought of.
type paper time.Duration

var errPaper = errors.New("this line is only planned")

func (paper) Read([]byte) (int, error)        { return 0, errPaper }
func (paper) Write([]byte) (int, error)       { return 0, errPaper }
func (paper) Close() error                    { return nil }
func (paper) SetReadDeadline(time.Time) error { return nil }
func (paper) Discard() error                  { return nil }
func (p paper) CharTime() time.Duration       { return time.Duration(p) }
