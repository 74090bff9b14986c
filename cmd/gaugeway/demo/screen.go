package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const screenInterval = 250 * time.Millisecond

// screen shows the demonstration as it goes: a picture on a terminal, a line
// per scene elsewhere.
type screen struct {
	stage   *stage
	out     io.Writer
	lines   int // of the picture that stands on the terminal
	backlog []int
	sampled time.Time
}

const (
	bold, dim, red, green, yellow, reset = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"

	sparkWidth = 48
)

func newScreen(s *stage) *screen {
	sc := &screen{stage: s, out: s.options.Out}
	fmt.Fprintf(sc.out, "gaugeway demo: %d instruments on pseudo-terminals, the gateway, a link, a server; %v at speed %g\n", len(instruments), s.options.For, s.options.Speed)
	fmt.Fprintf(sc.out, "Try it from another terminal: %s\n\n", s.invitation())
	return sc
}

// announce tells a scene where no picture is drawn.
func (sc *screen) announce(name string) {
	if sc.stage.options.Terminal {
		return
	}
	onSite, server, doubled, bad := sc.stage.account.counts()
	fmt.Fprintf(sc.out, "%5.1fs  on site %5d  at the server %5d  doubled on the way %3d  bad %3d  %s\n", sc.stage.storyTime().Seconds(), onSite, server, doubled, bad, name)
}

// storyTime is how far the story is.
func (s *stage) storyTime() time.Duration {
	return min(time.Duration(float64(time.Since(s.began))*s.options.Speed), s.options.For)
}

// draw draws the picture over the last one.
func (sc *screen) draw() {
	if !sc.stage.options.Terminal {
		return
	}
	text := sc.picture()
	if sc.lines > 0 {
		fmt.Fprintf(sc.out, "\x1b[%dA", sc.lines)
	}
	sc.lines = strings.Count(text, "\n")
	io.WriteString(sc.out, strings.ReplaceAll(text, "\n", "\x1b[K\n")) // a picture that cannot be drawn is no fault of the gateway
}

func (sc *screen) picture() string {
	s := sc.stage
	onSite, server, doubled, bad := s.account.counts()
	s.mu.Lock()
	scene := s.scene
	s.mu.Unlock()
	var b strings.Builder
	done := min(1, float64(time.Since(s.began))/float64(s.length))
	fmt.Fprintf(&b, "%s%s%s %v of %v\n\n", green, bar(done, 40), reset, s.storyTime().Round(time.Second), s.options.For)
	fmt.Fprintf(&b, "  %s%s%s\n\n", bold, scene, reset)
	for _, i := range instruments {
		fmt.Fprintf(&b, "  %-10s %s%-6s%s  %s  %s  %s\n", i.name, dim, i.line, reset,
			sc.cell(i.name, "pressure"), sc.cell(i.name, "temperature"), sc.quality(i.name))
	}
	gatewayText, linkText := green+"runs"+reset, green+"up"+reset
	if !s.child.alive() {
		gatewayText = red + "dead" + reset
	}
	if s.link.isCut() {
		linkText = red + "cut" + reset
	}
	sc.sample(onSite - server)
	fmt.Fprintf(&b, "\n  gateway   %s      link %s      %.1f KB over it\n", gatewayText, linkText, float64(s.link.bytes())/1000)
	fmt.Fprintf(&b, "  readings  %s%d%s on site   %s%d%s at the server   %d bad with a reason\n", bold, onSite, reset, bold, server, reset, bad)
	fmt.Fprintf(&b, "  refused   %d late answers at the instruments   %d doubled readings at the server\n", s.instruments.lateAnswers(), doubled)
	fmt.Fprintf(&b, "  waiting   %s%-6d%s %s%s%s\n", bold, max(0, onSite-server), reset, yellow, spark(sc.backlog), reset)
	return b.String()
}

func (sc *screen) cell(device, tag string) string {
	r := sc.stage.account.latestOf(device, tag)
	value := r.Value
	if value == "" || value == "null" {
		value = "-"
	}
	return fmt.Sprintf("%8s %-5s", value, r.Unit)
}

func (sc *screen) quality(device string) string {
	r := sc.stage.account.latestOf(device, "pressure")
	switch r.Quality {
	case "":
		return dim + "starting" + reset
	case "good":
		return green + "good" + reset
	default:
		return red + r.Quality + " " + r.Reason + reset
	}
}

// sample keeps the backlog of the last seconds for the sparkline.
func (sc *screen) sample(waiting int) {
	step := sc.stage.length / sparkWidth
	if time.Since(sc.sampled) < step {
		return
	}
	sc.sampled = time.Now()
	sc.backlog = append(sc.backlog, max(0, waiting))
}

func bar(share float64, width int) string {
	full := int(share * float64(width))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func spark(values []int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	highest := 1
	for _, v := range values {
		highest = max(highest, v)
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(levels[v*(len(levels)-1)/highest])
	}
	return b.String()
}

// tell writes the account.
func (s *stage) tell(r result) {
	w := s.options.Out
	mark := func(n int) string {
		if !s.options.Terminal {
			return fmt.Sprintf("%7d", n)
		}
		if n == 0 {
			return fmt.Sprintf("%s%7d%s", green, n, reset)
		}
		return fmt.Sprintf("%s%7d%s", red, n, reset)
	}
	fmt.Fprintf(w, "\nThe account\n")
	fmt.Fprintf(w, "  %7d  readings made (%d good, %d bad with a reason)\n", r.made, r.good, r.bad)
	fmt.Fprintf(w, "  %7d  delivered; %d arrived twice and were dropped by their identity\n", r.delivered, r.doubled)
	fmt.Fprintf(w, "  %s  doubled at the server\n", mark(r.conflicts))
	fmt.Fprintf(w, "  %s  lost of those that were committed\n", mark(r.lost+r.missing))
	fmt.Fprintf(w, "  %s  given up (gaps)\n", mark(r.gaps))
	fmt.Fprintf(w, "  %s  wrong values: each was compared with what the instrument had\n", mark(len(r.wrong)))
	fmt.Fprintf(w, "  %7d  answers came too late; a library that reads whatever comes next publishes each as the next value\n", s.instruments.lateAnswers())
	fmt.Fprintf(w, "  %7d  younger than the last commit before the kill -9, and so not promised yet\n", r.young)
	if r.delivered > 0 {
		fmt.Fprintf(w, "  %7.1f  bytes per reading over the link, both ways, above TCP; one JSON message per reading: %.1f\n", float64(r.bytes)/float64(r.delivered), float64(r.jsonBytes)/float64(r.delivered))
	}
	for i, wrong := range r.wrong {
		if i == 5 {
			fmt.Fprintf(w, "  … and %d more\n", len(r.wrong)-i)
			break
		}
		fmt.Fprintf(w, "  WRONG: %s\n", wrong)
	}
	if text := s.childLog(); !r.well() && text != "" {
		fmt.Fprintf(w, "\nThe end of the gateway's log:\n%s", text)
	}
}
