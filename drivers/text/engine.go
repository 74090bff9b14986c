package text

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

const (
	// stopCheck is how long a read may keep a stopping driver waiting.
	stopCheck = 200 * time.Millisecond

	// idleLook is how long an idle line is looked at for bytes that came meanwhile.
	idleLook = time.Millisecond

	// A reply is over, and another may be asked for, after 3.5 characters of silence,
	// as on Modbus: no maker of text instruments asks for more without saying so.
	leastSilence = 2 * time.Millisecond
)

// breaker is a line that can be held down, as SDI-12 wants it.
type breaker interface {
	Break(time.Duration) error
}

// engine exchanges commands and replies on an open line, one at a time.
type engine struct {
	line    gateway.Line
	driver  *Driver
	char    time.Duration
	silence time.Duration

	buf      [2 * maxFrame]byte // what has arrived and is not accounted for
	n        int                // how much of it
	torn     bool               // the beginning of what is in buf is missing
	echo     []byte             // the command as it would come back; nil once it has, or cannot
	lastByte time.Time          // when the line was last not silent
	sent     []byte             // the last command, for people
	got      []byte             // and what came after it
}

func newEngine(l gateway.Line, d *Driver) *engine {
	x := &engine{line: l, driver: d, char: l.CharTime()}
	x.silence = max(x.char*7/2, leastSilence)
	return x
}

// read waits for bytes until the deadline, and keeps them; n is 0 when there are
// none by then.
func (x *engine) read(ctx context.Context, in *instrument, deadline time.Time) (n int, now time.Time, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, now, err
		}
		slice := deadline
		if limit := time.Now().Add(stopCheck); limit.Before(slice) {
			slice = limit
		}
		if err := x.line.SetReadDeadline(slice); err != nil {
			return 0, now, lineError{err}
		}
		n, err := x.line.Read(x.buf[x.n:])
		now = time.Now()
		switch {
		case n > 0: // an error with it will come again
			x.arrived(in, n, now)
			return n, now, nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, now, lineError{err}
		case !now.Before(deadline):
			return 0, now, nil
		}
	}
}

// arrived takes over n new bytes, without those that are passed over.
func (x *engine) arrived(in *instrument, n int, now time.Time) {
	fresh := x.buf[x.n : x.n+n]
	x.lastByte = now
	x.driver.traced(now, false, fresh)
	if room := maxFrame - len(x.got); room > 0 {
		x.got = append(x.got, fresh[:min(n, room)]...)
	}
	if in != nil {
		fresh = in.filter(fresh)
	}
	x.n += len(fresh)
}

// take removes the first n bytes of the buffer.
func (x *engine) take(n int) { x.n = copy(x.buf[:], x.buf[n:x.n]) }

// drop forgets everything in the buffer.
func (x *engine) drop(at time.Time) {
	x.driver.strayBytes(x.n, at)
	x.n = 0
}

// settle returns when nothing has come for a while: silence and drain are one
// loop and the last thing before the write, so that no byte of an older reply is
// left to be read as the next.
func (x *engine) settle(ctx context.Context, gap time.Duration) error {
	silence := max(x.silence, gap)
	now := time.Now()
	giveUp := now.Add(x.driver.timeout + silence)
	quiet := x.lastByte.Add(silence)
	if look := now.Add(min(idleLook, silence)); quiet.Before(look) {
		quiet = look // nobody was listening: see what is there
	}
	for {
		n, now, err := x.read(ctx, nil, quiet)
		if err != nil {
			return err
		}
		x.drop(now)
		if n == 0 {
			return nil
		}
		if now.After(giveUp) {
			return errBabble
		}
		quiet = now.Add(silence)
	}
}

// send writes a command, and returns when it is on the wire.
func (x *engine) send(in *instrument, s *step) (left time.Time, err error) {
	if s.brk > 0 {
		b, can := x.line.(breaker)
		if !can {
			x.driver.unbroken()
		} else if err := b.Break(s.brk); err != nil {
			return time.Time{}, lineError{fmt.Errorf("break: %w", err)}
		}
	}
	x.sent, x.got = s.request, x.got[:0]
	x.echo = in.filter(bytes.Clone(s.request))
	if in.options.CharacterDelay > 0 {
		return x.sendSlowly(s.request, in.options.CharacterDelay)
	}
	now := time.Now()
	if len(s.request) > 0 {
		x.driver.traced(now, true, s.request)
		if _, err := x.line.Write(s.request); err != nil {
			return time.Time{}, lineError{fmt.Errorf("write: %w", err)}
		}
	}
	// The write returns long before the last bit has left.
	return now.Add(time.Duration(len(s.request)) * x.char), nil
}

// sendSlowly is for instruments that lose what comes too fast.
func (x *engine) sendSlowly(b []byte, delay time.Duration) (left time.Time, err error) {
	x.driver.traced(time.Now(), true, b)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range b {
		<-timer.C
		timer.Reset(delay + x.char)
		if _, err := x.line.Write(b[i : i+1]); err != nil {
			return time.Time{}, lineError{fmt.Errorf("write: %w", err)}
		}
	}
	return time.Now().Add(x.char), nil
}

// exchange sends the command of a step and reads its reply into c. at is when it
// came. It waits for silence first, unless the command is one that ends a stream.
func (x *engine) exchange(ctx context.Context, in *instrument, s *step, c *catch, timeout time.Duration, force bool) (at time.Time, err error) {
	x.torn = false
	if !force {
		if err := x.settle(ctx, in.options.Gap); err != nil {
			return time.Now(), err
		}
	}
	left, err := x.send(in, s)
	if err != nil {
		return time.Now(), err
	}
	at = left
	if !s.quiet {
		at, err = x.await(ctx, in, s, c, left, timeout)
	}
	if err == nil && s.pause > 0 {
		return at, x.skim(ctx, left.Add(s.pause))
	}
	return at, err
}

// skim passes over what comes until a time.
func (x *engine) skim(ctx context.Context, until time.Time) error {
	for {
		n, now, err := x.read(ctx, nil, until)
		x.driver.strayBytes(x.n, time.Time{})
		x.n = 0
		if err != nil || n == 0 || now.After(until) {
			return err
		}
	}
}

// await reads until the reply to a step has come whole. Replies of others, noise
// and the echo of the command are passed over. An instrument that goes on and on
// is given up when the longest reply could have come.
func (x *engine) await(ctx context.Context, in *instrument, s *step, c *catch, left time.Time, timeout time.Duration) (time.Time, error) {
	longest := s.framing.max + len(s.request)
	hard := left.Add(2*timeout + time.Duration(longest)*x.char)
	last, why := left, errTimeout
	for {
		deadline := last.Add(timeout)
		if hard.Before(deadline) {
			deadline = hard
		}
		quiet := deadline
		if idle := x.lastByte.Add(s.framing.idle); s.framing.idle > 0 && x.n > 0 && idle.Before(deadline) {
			quiet = idle
		}
		n, now, err := x.read(ctx, in, quiet)
		if err != nil {
			return now, err
		}
		if n > 0 {
			last = now
		}
		for {
			f, ok := x.next(s.framing, x.ended(s.framing, n, now), now)
			if !ok {
				break
			}
			v := s.judge(f, c)
			if v == ours {
				return now, nil
			}
			if v == refused {
				return now, fmt.Errorf("%w: %s", errRefused, quote(f.says))
			}
			why = x.passed(v, f, why, now)
		}
		if !now.Before(deadline) {
			return now, x.missing(s, why, now)
		}
	}
}

// ended reports whether silence has ended a frame, where it does.
func (x *engine) ended(f *framing, n int, now time.Time) bool {
	return f.idle > 0 && n == 0 && !now.Before(x.lastByte.Add(f.idle))
}

// passed notes a frame that is not the reply, and returns why there is none.
func (x *engine) passed(v verdict, f frame, why error, now time.Time) error {
	x.driver.strayBytes(len(f.says), time.Time{})
	switch v {
	case damaged:
		return errDamaged
	case nonsense:
		if why == errTimeout { //nolint:errorlint // the first counts
			return fmt.Errorf("%w: %.80s", errNonsense, quote(f.says))
		}
	}
	return why
}

// missing tells a reply that came damaged from one that did not come.
func (x *engine) missing(s *step, why error, now time.Time) error {
	if why == errTimeout && s.framing.checksum != nil && x.n > s.framing.checksum.kind.size { //nolint:errorlint // nothing else came
		why = errDamaged
	}
	x.drop(now)
	return why
}

// next takes the next whole frame out of the buffer; it is valid until the next
// read. A frame whose beginning is missing is none.
func (x *engine) next(framing *framing, quiet bool, now time.Time) (frame, bool) {
	for {
		if !x.unechoed(quiet) || !x.mended(framing, quiet) {
			return frame{}, false
		}
		f, used, noise, ok := framing.next(x.buf[:x.n], quiet)
		whole := ok && len(f.says) <= framing.max
		if ok {
			f.says = x.keep(f.says)
			if !whole {
				noise = used
			}
		}
		x.driver.strayBytes(noise, time.Time{})
		x.take(used)
		switch {
		case whole:
			return f, true
		case !ok:
			x.overflow(framing)
			return frame{}, false
		}
	}
}

// mended drops the end of a frame whose beginning is missing. It reports whether
// what is in the buffer can be looked at.
func (x *engine) mended(framing *framing, quiet bool) bool {
	if !x.torn {
		return true
	}
	at, end := framing.end(x.buf[:x.n], 0)
	switch {
	case at >= 0:
		x.driver.strayBytes(at, time.Time{})
		x.take(at + len(end))
		x.torn = false
	case quiet && framing.idle > 0:
		x.drop(time.Time{})
		x.torn = false
	default:
		x.overflow(framing)
	}
	return !x.torn
}

// keep copies a frame to where the buffer's next bytes do not overwrite it.
func (x *engine) keep(b []byte) []byte {
	x.driver.scratch = append(x.driver.scratch[:0], b...)
	return x.driver.scratch
}

// unechoed takes the echo of the command off, which some adapters send back. It
// reports whether what is in the buffer can be looked at.
func (x *engine) unechoed(quiet bool) bool {
	if len(x.echo) == 0 || x.n == 0 {
		return true
	}
	n := min(x.n, len(x.echo))
	switch {
	case !bytes.Equal(x.buf[:n], x.echo[:n]):
		x.echo = nil
	case n == len(x.echo):
		x.take(n)
		x.echo = nil
		x.driver.echoed()
	default:
		return quiet // more of it may come
	}
	return true
}

// overflow drops what is longer than any frame. What follows is then the end of
// something, and no frame of its own.
func (x *engine) overflow(framing *framing) {
	if x.n <= framing.max+len(framing.start)+framing.trailer+2 {
		return
	}
	x.torn = x.torn || framing.cut()
	x.drop(time.Time{})
}
