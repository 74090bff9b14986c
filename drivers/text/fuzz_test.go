package text

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{`#{address:02X}{checksum}\r`, `\x{`, `{value:+07.2f}`, `\`, `{address:byte}\x49`, `{value:40d}`} {
		f.Add(s, "7")
	}
	f.Fuzz(func(t *testing.T, s, address string) {
		t1, err := parseTemplate(s)
		if err == nil {
			b, err := t1.render(filling{address: address, value: gateway.Int(-12)})
			if err == nil && len(b) > len(s)*(1+maxWidth+len(address)) {
				t.Fatalf("%d bytes of %q", len(b), s)
			}
		}
		if exact, _, err := parsePattern(s, address, true); err == nil {
			exact.MatchString("01 12.5")
		}
		if b, err := Unescape(s); err == nil && len(b) > len(s) {
			t.Fatalf("%q grew", s)
		}
	})
}

// framings is one of every kind.
func framings(t testing.TB) []*framing {
	var f gateway.Faults
	xor := newChecksum(ChecksumOptions{Kind: "xor_hex", After: "*"}, &f)
	crc := newChecksum(ChecksumOptions{Kind: "crc16_be"}, &f)
	sum := newChecksum(ChecksumOptions{Kind: "sum16_hex", Over: overAll}, &f)
	all := []*framing{
		newFraming(FrameOptions{End: `\r`}, nil, &f),
		newFraming(FrameOptions{End: []any{`\r\n`, `\r`}, Max: 16}, nil, &f),
		newFraming(FrameOptions{Start: "$", End: `\r\n`, Max: 32}, xor, &f),
		newFraming(FrameOptions{Start: `\x01`, End: `\x03`, Trailer: 4}, sum, &f),
		newFraming(FrameOptions{Length: 9}, crc, &f),
		newFraming(FrameOptions{Length: 4}, nil, &f),
		newFraming(FrameOptions{Idle: time.Millisecond}, nil, &f),
		newFraming(FrameOptions{Idle: time.Millisecond, End: `\r`, Start: "ab"}, xor, &f),
	}
	all[4].begins, all[4].refusal = []byte{1}, &ErrorFrameOptions{Length: 5, At: 1, Mask: 0x80}
	if len(f) > 0 {
		t.Fatal(f)
	}
	return all
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("$II*00\r\n$XDR\r\n"), uint8(2), true)
	f.Add([]byte("\x01AB\x030083"), uint8(3), false)
	f.Add([]byte{1, 0xC9, 2, 3, 4, 5, 6, 7, 8, 9, 10}, uint8(4), false)
	f.Add([]byte("\r\n12\r"), uint8(1), false)
	all := framings(f)
	f.Fuzz(func(t *testing.T, b []byte, which uint8, quiet bool) {
		x := all[int(which)%len(all)]
		for {
			got, used, noise, ok := x.next(b, quiet)
			if used < 0 || used > len(b) || noise < 0 || noise > used || len(got.says) > used {
				t.Fatalf("%d used, %d noise, %d said of %d", used, noise, len(got.says), len(b))
			}
			if ok && used == 0 {
				t.Fatal("a frame of nothing, for ever")
			}
			if !ok {
				return
			}
			b = b[used:]
		}
	})
}

func FuzzDecode(f *testing.F) {
	var devices []DeviceOptions
	for i, s := range []string{mensor, dcon, nmea, kellerBus, vaisala, sdi12} {
		devices = append(devices, parse(f, s))
		f.Add([]byte("1 14.503\r\n"), uint8(i))
	}
	f.Add([]byte("$IIXDR,P,1.0132,B,BARO,C,24.5,C,AIR*1A\r\n"), uint8(2))
	f.Fuzz(func(t *testing.T, reply []byte, which uint8) {
		readings, err := Decode(devices[int(which)%len(devices)], "", nil, reply)
		for _, r := range readings {
			if err != nil || r.Value.IsNone() != (r.Quality == gateway.Bad) {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	})
}

// hostile is a line on which anything may come, in pieces, whatever is asked.
type hostile struct {
	bytes []byte
	piece int
	reads int
}

func (h *hostile) Read(p []byte) (int, error) {
	if h.reads++; len(h.bytes) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	if h.piece == 0 && h.reads%2 == 1 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p[:min(len(p), h.piece+1)], h.bytes)
	h.bytes = h.bytes[n:]
	return n, nil
}

func (h *hostile) Write(p []byte) (int, error)     { return len(p), nil }
func (h *hostile) Close() error                    { return nil }
func (h *hostile) SetReadDeadline(time.Time) error { return nil }
func (h *hostile) Discard() error                  { return nil }
func (h *hostile) CharTime() time.Duration         { return 0 }

// FuzzEngine: hostile replies never hang, never grow what is kept, and never
// become a value that they do not spell out.
func FuzzEngine(f *testing.F) {
	f.Add([]byte("#1?\r1 14.503\r\n"), uint8(0))
	f.Add([]byte(strings.Repeat("9", 3000)+"\r1 14.503\r"), uint8(255))
	f.Add(make([]byte, 20000), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		d, err := New(Options{Line: "l", LineOptions: LineOptions{ResponseTimeout: time.Millisecond}, Devices: map[string]DeviceOptions{"d": parse(t, mensor)}, Now: gateway.NewBoot("b").Now})
		if err != nil {
			t.Fatal(err)
		}
		l := &hostile{bytes: b, piece: int(piece)}
		x := newEngine(l, d)
		x.silence = 0
		in := d.devices[0].in
		var c catch
		for range 3 {
			c.reset()
			x.echo = in.polls[0].steps[0].request
			_, err := x.await(context.Background(), in, in.polls[0].steps[0], &c, time.Now(), time.Microsecond)
			if err == nil && !strings.Contains(string(b), string(c.says)) {
				t.Fatalf("%q is not in %q", c.says, b)
			}
		}
		if cap(x.got) > 4*maxFrame || cap(d.scratch) > 4*maxFrame || cap(c.text) > 4*maxFrame {
			t.Fatal("it grows")
		}
	})
}
