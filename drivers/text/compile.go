package text

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// instrument is what the options of a device mean, ready to be used.
type instrument struct {
	options  DeviceOptions
	checksum *checksum
	framing  *framing // of the device; nil where only polls have one
	skip     [256]bool
	mask     byte // of what comes
	init     []*step
	wake     *step
	stop     *step
	polls    []*poll // by name
}

// poll is what is asked each interval.
type poll struct {
	name    string
	steps   []*step
	parting parting
	tags    []*tag // by name
}

// step is one command and its reply.
type step struct {
	name    string // for people: "pressure", "pressure step 2"
	brk     time.Duration
	request []byte
	quiet   bool // nothing comes back
	framing *framing
	match   *regexp.Regexp
	loose   *regexp.Regexp // the same for any address; nil where it names none
	refuse  *regexp.Regexp
	until   *regexp.Regexp
	wait    string
	pause   time.Duration
	timeout time.Duration // 0 means the line's
	asserts bool          // its replies say whose they are
}

// compile makes an instrument of the options, and names everything that is wrong.
func compile(device string, o DeviceOptions) (*instrument, gateway.Faults) {
	var f gateway.Faults
	in := &instrument{options: o, mask: 0xFF, checksum: newChecksum(o.Checksum, &f)}
	if o.Mask7 {
		in.mask = 0x7F
	}
	skip, err := Unescape(o.Skip)
	if err != nil {
		f.Add("skip", "%v", err)
	}
	for _, b := range skip {
		in.skip[b] = true
	}
	if !o.Frame.isZero() {
		in.framing = newFraming(o.Frame, in.checksum, &f)
	}
	for _, name := range slices.SortedFunc(maps.Keys(o.Init), byNumber) {
		in.init = append(in.init, in.step("init "+name, o.Init[name], "init."+name, &f))
	}
	if o.Wake != nil {
		in.wake = in.step("wake", *o.Wake, "wake", &f)
	}
	if o.Stop != nil {
		in.stop = in.step("stop", *o.Stop, "stop", &f)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Polls)) {
		in.polls = append(in.polls, in.poll(name, &f))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Tags)) {
		f.Under("tag."+name, in.tag(device, name))
	}
	return in, f
}

// byNumber orders names that are numbers as numbers.
func byNumber(a, b string) int {
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 == nil && err2 == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

func (o FrameOptions) isZero() bool {
	return o.Start == "" && o.End == nil && o.Length == 0 && o.Idle == 0 && o.Trailer == 0 && o.Max == 0
}

// poll makes one poll of the options.
func (in *instrument) poll(name string, f *gateway.Faults) *poll {
	o := in.options.Polls[name]
	p := &poll{name: name}
	key := "poll." + name
	var below gateway.Faults
	if o.Interval != 0 {
		gateway.CheckInterval(&below, o.Interval)
	}
	p.parting = newParting(o, &below)
	switch {
	case in.options.listens():
		in.checkHeard(o, &below)
	case len(o.Steps) > 0 && (o.Send != "" || o.Match != "" || o.Frame != nil || o.Break > 0):
		below.Add("step", "says what is sent and what comes; remove send, match, frame and break beside it")
	case len(o.Steps) == 0 && o.Send == "":
		below.Add("send", "is missing; write the command, e.g. send = '#{address}?\\r'")
	}
	f.Under(key, below)
	if len(o.Steps) == 0 {
		p.steps = []*step{in.step(name, o.StepOptions, key, f)}
	}
	for _, s := range slices.SortedFunc(maps.Keys(o.Steps), byNumber) {
		p.steps = append(p.steps, in.step(name+" step "+s, o.Steps[s], key+".step."+s, f))
	}
	for _, field := range []struct{ key, name string }{{"split.field", fieldOf(o.Split)}, {"columns.field", fieldOf(o.Columns)}, {"pairs.field", fieldOf(o.Pairs)}, {"groups.field", fieldOf(o.Groups)}} {
		if field.name != "" {
			below = nil
			p.mustHave(field.name, field.key, &below)
			f.Under(key, below)
		}
	}
	return p
}

// checkHeard refuses what a listener's poll cannot have: it takes frames as they come.
func (in *instrument) checkHeard(o PollOptions, f *gateway.Faults) {
	if o.Send != "" || len(o.Steps) > 0 || o.Frame != nil || o.Begins != "" || o.ErrorFrame != nil || o.Checksum != nil || o.Wait != "" || o.Break > 0 || o.NoReply {
		f.Add("", "is heard, not asked: it has match, and neither send nor frame of its own; what starts a stream is in init")
	}
}

// step makes one command of the options.
func (in *instrument) step(name string, o StepOptions, key string, f *gateway.Faults) *step {
	s := &step{name: name, brk: o.Break, quiet: o.NoReply, wait: o.Wait, pause: o.Pause, timeout: o.ResponseTimeout}
	if s.timeout == 0 {
		s.timeout = in.options.ResponseTimeout
	}
	var below gateway.Faults
	defer func() { f.Under(key, below) }()
	check := in.checksum
	if o.Checksum != nil {
		check = newChecksum(*o.Checksum, &below)
	}
	s.frames(in, o, check, &below)
	in.patterns(s, o, &below)
	t, err := parseTemplate(o.Send)
	switch {
	case err != nil:
		below.Add("send", "%v", err)
	case t.has("value"):
		below.Add("send", "has {value}, which is for the key write of a tag")
	default:
		if s.request, err = t.render(filling{address: string(in.options.Address), checksum: check, frame: s.framing}); err != nil {
			below.Add("send", "%v", err)
		}
	}
	if t.has("address") && in.options.Address == "" {
		below.Add("send", "has {address}, and the device has none; write address = \"1\"")
	}
	if must := !strings.HasPrefix(key, "poll.") || strings.Contains(key, ".step."); must && o.Send == "" && o.Break == 0 {
		below.Add("send", "is missing")
	}
	checkDuration(&below, "break", o.Break, time.Second)
	checkDuration(&below, "pause", o.Pause, maxPause)
	checkDuration(&below, "response_timeout", o.ResponseTimeout, maxResponseTimeout)
	if o.Wait != "" && (s.match == nil || !slices.Contains(s.match.SubexpNames(), o.Wait)) {
		below.Add("wait", "is the group of match that holds the seconds, and match has none of this name")
	}
	return s
}

// frames finds how the replies begin and end.
func (s *step) frames(in *instrument, o StepOptions, check *checksum, f *gateway.Faults) {
	if o.NoReply {
		s.framing = in.framing
		return
	}
	own := in.framing
	if o.Frame != nil {
		own = newFraming(*o.Frame, check, f)
	}
	if own == nil {
		f.Add("frame", "is missing, here and on the device; write e.g. frame = { end = '\\r' }")
		return
	}
	mine := *own
	if o.Checksum != nil && o.Frame == nil {
		mine.protect(check)
	}
	t, err := parseTemplate(o.Begins)
	if err == nil {
		mine.begins, err = t.render(filling{address: string(in.options.Address)})
	}
	if err != nil {
		f.Add("begins", "%v", err)
	}
	s.asserts = t.has("address")
	if e := o.ErrorFrame; e != nil {
		mine.refusal = e
		if mine.length == 0 || e.Length < 1 || e.Length >= mine.length || e.At < 0 || e.At >= e.Length || e.Mask < 1 || e.Mask > 255 {
			f.Add("error_frame", "is a reply shorter than frame.length, with a byte at a place in it and a mask of 1 to 255")
			mine.refusal = nil
		}
	}
	s.framing = &mine
}

// patterns compiles what replies look like.
func (in *instrument) patterns(s *step, o StepOptions, f *gateway.Faults) {
	refuse := o.Error
	if refuse == "" {
		refuse = in.options.Error
	}
	for _, p := range []struct {
		key, text    string
		whole        bool
		exact, loose **regexp.Regexp
	}{{"match", o.Match, true, &s.match, &s.loose}, {"error", refuse, false, &s.refuse, nil}, {"until", o.Until, true, &s.until, nil}} {
		if p.text == "" {
			continue
		}
		exact, loose, err := parsePattern(p.text, string(in.options.Address), p.whole)
		if err != nil {
			f.Add(p.key, "%v", err)
			continue
		}
		if inPattern.MatchString(p.text) && in.options.Address == "" {
			f.Add(p.key, "has {address}, and the device has none; write address = \"1\"")
		}
		*p.exact = exact
		if p.loose != nil {
			*p.loose = loose
		}
	}
	s.asserts = s.asserts || s.loose != nil
}

func checkDuration(f *gateway.Faults, key string, d, most time.Duration) {
	if d < 0 || d > most {
		f.Add(key, "%s is not sensible; use at most %s", d, most)
	}
}

// filling is what the placeholders of this device stand for.
func (in *instrument) filling(v gateway.Value, x *framing) filling {
	return filling{address: string(in.options.Address), value: v, checksum: in.checksum, frame: x}
}

// mustHave refuses a field that no reply of the poll has.
func (p *poll) mustHave(field, key string, f *gateway.Faults) {
	var names []string
	for _, s := range p.steps {
		if s.match == nil {
			continue
		}
		for _, name := range s.match.SubexpNames() {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	if !slices.Contains(names, field) {
		f.Add(key, "%s; a field is a named group of match, (?P<%s>…)", gateway.Unknown(field, "a field of poll "+p.name, names), field)
	}
}

// tag makes a tag and gives it to its poll.
func (in *instrument) tag(device, name string) gateway.Faults {
	o := in.options.Tags[name]
	f := o.Validate()
	if err := gateway.ValidName(name); err != nil {
		f.Add("", "%v", err)
	}
	if o.IsEnabled() && in.options.intervalOf(o) == 0 {
		f.Add("interval", "is missing, here, on the poll and on the device; write e.g. interval = \"1s\"")
	}
	wanted := in.options.pollOf(o)
	i := slices.IndexFunc(in.polls, func(p *poll) bool { return p.name == wanted })
	if i < 0 {
		switch names := slices.Sorted(maps.Keys(in.options.Polls)); {
		case len(names) == 0:
			f.Add("poll", "there is none; write [device.NAME.poll.NAME] with send, frame and match")
		case wanted == "":
			f.Add("poll", "is missing; the device has several: %v", names)
		default:
			f.Add("poll", "%s", gateway.Unknown(wanted, "a poll of the device", names))
		}
		return f
	}
	t := newTag(device, name, in.options, in.polls[i], &f)
	if o.WriteMatch != "" {
		if _, _, err := parsePattern(o.WriteMatch, string(in.options.Address), true); err != nil {
			f.Add("write_match", "%v", err)
		}
	}
	if o.IsEnabled() {
		in.polls[i].tags = append(in.polls[i].tags, t)
	}
	return f
}

func fieldOf(o any) string {
	switch o := o.(type) {
	case *SplitOptions:
		if o != nil {
			return o.Field
		}
	case *ColumnsOptions:
		if o != nil {
			return o.Field
		}
	case *PairsOptions:
		if o != nil {
			return o.Field
		}
	case *GroupsOptions:
		if o != nil {
			return o.Field
		}
	}
	return ""
}

// newParting reads how a reply is parted.
func newParting(o PollOptions, f *gateway.Faults) parting {
	p := parting{unit: -1}
	n := 0
	var err error
	if s := o.Split; s != nil {
		n++
		p.way, p.field = bySplit, s.Field
		p.separator, err = Unescape(s.Separator)
		if err != nil || len(p.separator) == 0 {
			f.Add("split.separator", "is missing or no text; write e.g. separator = ','")
		}
	}
	if c := o.Columns; c != nil {
		n++
		p.way, p.field, p.skip, p.width = byColumns, c.Field, c.Skip, c.Width
		if c.Skip < 0 || c.Width < 1 || c.Width > maxFrame || c.Skip > maxFrame {
			f.Add("columns.width", "is at least 1, and skip at least 0")
		}
	}
	if s := o.Pairs; s != nil {
		n++
		p.way, p.field, p.equals = byPairs, s.Field, []byte("=")
		p.separator, err = Unescape(s.Separator)
		if err != nil || len(p.separator) == 0 {
			f.Add("pairs.separator", "is missing or no text; write e.g. separator = ','")
		}
		if s.Equals != "" {
			p.equals = []byte(s.Equals)
		}
	}
	if g := o.Groups; g != nil {
		n++
		p.way, p.field, p.size, p.key, p.value = byGroups, g.Field, g.Size, g.Key, g.Value
		p.separator, err = Unescape(g.Separator)
		places := append([]int{g.Value}, g.Key...)
		if g.Unit != nil {
			p.unit = *g.Unit
			places = append(places, p.unit)
		}
		if err != nil || len(p.separator) == 0 || g.Size < 1 || g.Size > maxFields || len(g.Key) == 0 || slices.Min(places) < 0 || slices.Max(places) >= g.Size {
			f.Add("groups", "needs separator, size, and key, value and unit that count from 0 within a group")
			p.size, p.separator = max(p.size, 1), []byte(",")
		}
	}
	if n > 1 {
		f.Add("split", "a reply is parted in one way; keep one of split, columns, pairs and groups")
	}
	return p
}
