package simulate

import (
	"bytes"
	"context"
	"io"
	"slices"
	"time"
)

// exchange is one exchange of a text instrument.
type exchange struct{ request, reply []byte }

// streamEvery is how often an instrument speaks that nobody asks.
const streamEvery = time.Second

// Script has a text instrument answer a request with a reply, each time it comes
// whole. With an empty request it says the reply by itself, once a second.
func (in *Instruments) Script(request, reply []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.script = append(in.script, exchange{slices.Clone(request), slices.Clone(reply)})
}

// maxRequest bounds what is kept of a request that none of the script is.
const maxRequest = 1024

// serveScript plays the script until reading fails, and returns why.
func (in *Instruments) serveScript(ctx context.Context, rw io.ReadWriter, pace pacing) error {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(in, rw, pace)
	defer c.wg.Wait()
	defer cancel()
	c.wg.Go(func() { in.stream(ctx, c) })
	var buf []byte
	var chunk [256]byte
	for {
		n, err := rw.Read(chunk[:])
		if err != nil {
			return err
		}
		for _, b := range chunk[:n] {
			buf = append(buf, b)
			if x, ok := in.asked(buf); ok {
				c.send(ctx, len(x.request), in.recite(x))
				buf = buf[:0]
			}
		}
		if len(buf) > maxRequest {
			buf = append(buf[:0], buf[len(buf)-maxRequest:]...)
		}
	}
}

// asked returns the exchange whose request stands at the end of what has come;
// of several, that with the longest.
func (in *Instruments) asked(got []byte) (best exchange, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, x := range in.script {
		if len(x.request) > len(best.request) && bytes.HasSuffix(got, x.request) {
			best, ok = x, true
		}
	}
	return best, ok
}

// recite returns what is to be sent for an exchange, with what goes wrong.
func (in *Instruments) recite(x exchange) []piece {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counters.Requests++
	var out []piece
	if in.fault.Echo && len(x.request) > 0 {
		in.counters.Echoes++
		out = append(out, piece{bytes: slices.Clone(x.request)})
	}
	if in.fault.Silent || in.happens(in.fault.Lost) {
		in.counters.Silent++
		return out
	}
	pieces, _ := in.spread(slices.Clone(x.reply), OnTime, true)
	return append(out, pieces...)
}

// stream says what nobody asks for, until ctx ends.
func (in *Instruments) stream(ctx context.Context, c *conn) {
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		in.mu.Lock()
		script := slices.Clone(in.script)
		in.mu.Unlock()
		for _, x := range script {
			if len(x.request) == 0 {
				c.send(ctx, 0, in.recite(x))
			}
		}
	}
}
