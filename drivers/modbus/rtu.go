package modbus

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/gaugeway/gaugeway/drivers/keeper"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// idleLook is how long an idle line is looked at for bytes that came meanwhile. A
// connection, which has no silence between frames, is always looked at for so
// long: a read that may not wait would not even take what is there.
const idleLook = time.Millisecond

// rtu is the engine of a line whose frames have no transaction id: RTU and
// ASCII, on a wire or over a network.
type rtu struct {
	reader
	framing framing
	witness witness
	timeout time.Duration
	char    time.Duration
	silence time.Duration
	options engineOptions

	pdu      [wire.MaxPDU]byte       // of a request
	request  []byte                  // the frame that was sent
	echoes   bool                    // its echo is passed over
	reply    [wire.MaxRTU]byte       // the PDU that answered
	buf      [2 * wire.MaxASCII]byte // what has arrived and is not accounted for
	n        int                     // how much of it
	dead     [2 * wire.MaxASCII]bool // where no frame begins, so that no checksum is worked out twice
	lastByte time.Time               // when the line was last not silent
	misses   int                     // in a row
}

func newRTU(line gateway.Line, f framing, timeout time.Duration, o engineOptions, w witness) *rtu {
	x := &rtu{reader: reader{line}, framing: f, witness: w, timeout: timeout, char: line.CharTime(), options: o}
	x.silence = max(f.silence(x.char), o.gap)
	if o.network {
		x.silence = max(x.silence, idleLook)
	}
	return x
}

func (x *rtu) exchange(ctx context.Context, unit byte, r wire.Request, think time.Duration) ([]byte, time.Time, error) {
	x.request = x.framing.append(x.request[:0], unit, r.AppendPDU(x.pdu[:0]))
	if err := x.settle(ctx); err != nil {
		return nil, time.Now(), err
	}
	// The reply to a write is its request over again.
	x.echoes = x.options.echo == echoOn || x.options.echo == echoAuto && !r.Function.Writes()
	sent := time.Now()
	if _, err := x.line.Write(x.request); err != nil {
		return nil, time.Now(), lineError{fmt.Errorf("write: %w", err)}
	}
	// The write returns long before the last bit has left, so the slave's time
	// to think begins when the wire can have carried both frames.
	return x.await(ctx, unit, r, sent.Add(x.wireTime(r)+think))
}

// settle returns when nothing has come for 3.5 characters: silence and drain
// are one loop and the last thing before the write, so that no byte of an older
// answer is left to be read as the next.
func (x *rtu) settle(ctx context.Context) error {
	now := time.Now()
	giveUp := now.Add(x.timeout + x.silence)
	quiet := x.lastByte.Add(x.silence)
	if look := now.Add(min(idleLook, x.silence)); quiet.Before(now) {
		quiet = look // nobody was listening: see what is there
	}
	for {
		n, now, err := x.read(ctx, x.room(), quiet)
		if err != nil {
			return err
		}
		if n == 0 {
			x.drop()
			return nil
		}
		x.n += n
		x.lastByte = now
		quiet = now.Add(x.silence)
		x.strays(time.Time{}) // it may have come any time since the last exchange
		if now.After(giveUp) {
			x.drop()
			return errCRC // somebody babbles
		}
	}
}

// await reads until the answer to r from the unit has come whole. Frames of
// others, late frames, noise and the echo of the request are passed over.
func (x *rtu) await(ctx context.Context, unit byte, r wire.Request, deadline time.Time) ([]byte, time.Time, error) {
	for {
		n, now, err := x.read(ctx, x.room(), deadline)
		if err != nil {
			return nil, now, err
		}
		if n == 0 {
			return nil, now, x.missing()
		}
		x.n += n
		x.lastByte = now
		for {
			f, found := x.next()
			if !found {
				break
			}
			data, err := r.ParseReply(f.PDU)
			if x.options.from(f.Unit, unit) && err != wire.ErrPDU { //nolint:errorlint // ParseReply returns it bare
				x.misses = 0
				return data, now, err
			}
			x.stray(f, now)
		}
	}
}

// missing tells an answer that came damaged from one that did not come.
func (x *rtu) missing() error {
	damaged := x.n >= x.framing.size(shortestReply)
	x.drop()
	x.misses++
	if damaged {
		return errCRC
	}
	return errTimeout
}

// next takes the first whole frame of a slave out of the buffer, at any offset;
// what stands before it is noise. The frame is valid until the next call.
func (x *rtu) next() (wire.RTUFrame, bool) {
	for i := 0; i < x.n; i++ {
		rest := x.buf[i:x.n]
		if x.echoes && len(x.request) > 0 && bytes.HasPrefix(rest, x.request) {
			x.echoes = x.options.echo == echoAuto // then any number of them is no reply
			x.witness.echoed()
			x.witness.strayBytes(i)
			x.take(i + len(x.request))
			i = -1
			continue
		}
		if x.dead[i] {
			continue
		}
		f, n, status := x.framing.at(rest, x.reply[:])
		if status != wire.Complete {
			x.dead[i] = status == wire.Invalid
			continue
		}
		f.PDU = x.reply[:copy(x.reply[:], f.PDU)]
		x.witness.strayBytes(i)
		x.take(i + n)
		return f, true
	}
	return wire.RTUFrame{}, false
}

// strays takes note of frames that came when nobody waited.
func (x *rtu) strays(at time.Time) {
	for {
		f, found := x.next()
		if !found {
			return
		}
		x.stray(f, at)
	}
}

func (x *rtu) stray(f wire.RTUFrame, at time.Time) {
	x.witness.strayFrame(f.Unit, at)
	x.witness.strayBytes(x.framing.size(len(f.PDU)))
}

// room returns where to read to. A full buffer holds no frame, or it would have
// been taken, except one that begins in its last bytes.
func (x *rtu) room() []byte {
	if x.n == len(x.buf) {
		x.witness.strayBytes(x.n - x.framing.most())
		x.take(x.n - x.framing.most())
	}
	return x.buf[x.n:]
}

// take removes the first n bytes of the buffer.
func (x *rtu) take(n int) {
	left := copy(x.dead[:], x.dead[n:x.n])
	clear(x.dead[left:x.n])
	x.n = copy(x.buf[:], x.buf[n:x.n])
}

// drop forgets everything in the buffer.
func (x *rtu) drop() {
	x.witness.strayBytes(x.n)
	x.take(x.n)
}

func (x *rtu) listen(ctx context.Context, until time.Time) error {
	for {
		n, now, err := x.read(ctx, x.room(), until)
		if err != nil || n == 0 {
			return err
		}
		x.n += n
		x.lastByte = now
		x.strays(now)
	}
}

func (x *rtu) wireTime(r wire.Request) time.Duration {
	return time.Duration(x.framing.size(len(r.AppendPDU(x.pdu[:0])))+x.replySize(r)) * x.char
}

// quarantine is at least twice what the unit ever took: an answer that comes
// later than that would be taken for the next one's, and nothing on RTU can
// tell (there is no transaction id).
func (x *rtu) quarantine(slowest time.Duration) time.Duration { return max(x.timeout, 2*slowest) }

func (x *rtu) replySize(r wire.Request) int { return x.framing.size(r.ReplySize()) }

// worn has a connection opened anew that has been silent for long: the serial
// server behind it may have forgotten it. What it still has in its buffers the
// quarantine takes care of. A port is a port.
func (x *rtu) worn() error {
	if x.options.network && x.misses >= wornAfter {
		return keeper.ErrWorn
	}
	return nil
}
