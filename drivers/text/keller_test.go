package text_test

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

const kellerBus = `
address = "1"
interval = "1s"
checksum = { kind = "crc16_be" }
frame = { length = 9 }
[init.1]
send = '{address:byte}\x30{checksum}'
frame = { length = 10 }
begins = '{address:byte}\x30'
[poll.p]
send = '{address:byte}\x49\x01{checksum}'
begins = '{address:byte}\x49'
error_frame = { length = 5, at = 1, mask = 0x80 }
[poll.t]
send = '{address:byte}\x49\x04{checksum}'
begins = '{address:byte}\x49'
error_frame = { length = 5, at = 1, mask = 0x80 }
[tag.p]
poll = "p"
at = 2
type = "float32"
status_at = 6
status_good = ["0"]
[tag.t]
poll = "t"
at = 2
type = "float32"
`

func withCRC(b ...byte) []byte {
	crc := uint16(0xFFFF)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= 0xA001
			}
		}
	}
	return binary.BigEndian.AppendUint16(b, crc)
}

// TestBinary is a Keller transmitter behind an adapter that echoes: it refuses
// until function 48 was called, and garbles every seventh answer.
func TestBinary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready, n := false, 0
		l := start(t, options(t, map[string]string{"a": kellerBus}), char, func(ctx context.Context, far io.ReadWriter) error {
			var b [16]byte
			for {
				if _, err := io.ReadFull(far, b[:2]); err != nil {
					return err
				}
				size := 4
				if b[1] == 73 {
					size = 5
				}
				if _, err := io.ReadFull(far, b[2:size]); err != nil {
					return err
				}
				_, _ = far.Write(b[:size]) // the echo
				value := map[byte]float32{1: 1.25, 4: 21.5}[b[2]]
				reply := withCRC(b[0], 73|0x80, 32)
				switch {
				case b[1] == 48:
					ready = true
					reply = withCRC(b[0], 48, 5, 20, 12, 28, 10, 1)
				case ready:
					reply = withCRC(append(binary.BigEndian.AppendUint32([]byte{b[0], 73}, math.Float32bits(value)), 0)...)
				}
				if n++; n%7 == 0 {
					reply[3] ^= 0x10
				}
				time.Sleep(5 * time.Millisecond)
				_, _ = far.Write(reply[:4])
				time.Sleep(5 * time.Millisecond)
				_, _ = far.Write(reply[4:])
			}
		})
		time.Sleep(time.Minute)
		for tag, want := range map[string]string{"a/p": "1.25", "a/t": "21.5"} {
			good := 0
			rs := l.Sheet.Of(tag)
			for i := range rs {
				switch got := last(rs[i : i+1]); got {
				case want:
					good++
				case "bad crc":
				default:
					t.Errorf("%s reads %s", tag, got)
				}
			}
			if good < 35 {
				t.Errorf("%d good readings of %s", good, tag)
			}
		}
		if s := l.Driver.Status(); s.Echoes == 0 || s.CRCErrors == 0 {
			t.Errorf("%+v", s)
		}
	})
}
