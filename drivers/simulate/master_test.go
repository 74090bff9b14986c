package simulate

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// TestForeignMasters has pymodbus read, write and identify an instrument in every protocol.
func TestForeignMasters(t *testing.T) {
	const want = `read 1 65535 4660
none exception 2
coil done
coils done
read 1 1 0 1 1 0 0 1 0 1 1 0 0 0 0 0
register done
registers done
read 4660 1 2 3
mask done
both 53 7 8
forbidden exception 2
partly exception 2
read 122 123
identity ACME pump 1.0
`
	for _, protocol := range []string{"modbus-rtu", "modbus-ascii", "modbus-tcp", "modbus-rtu-over-tcp", "modbus-ascii-over-tcp"} {
		t.Run(protocol, func(t *testing.T) {
			o := Options{Protocol: protocol, Path: filepath.Join(t.TempDir(), "port")}
			if strings.HasSuffix(protocol, "tcp") {
				o = Options{Protocol: protocol, Address: "127.0.0.1:0"}
			}
			s := run(t, o)
			populate(t, s.Instruments)
			u := s.Unit(5)
			u.Writable(wire.ReadHoldingRegisters, 1000, 124)
			u.Writable(wire.ReadCoils, 20, 16)
			u.Identity(wire.Object{ID: 0, Text: "ACME"}, wire.Object{ID: 1, Text: "pump"}, wire.Object{ID: 2, Text: "1.0"})
			where := s.Path()
			if s.Addr() != "" {
				_, where, _ = net.SplitHostPort(s.Addr())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// Debian's Python has python3-pymodbus; another one in PATH need not.
			out, err := exec.CommandContext(ctx, "/usr/bin/python3", "testdata/master.py", strings.TrimPrefix(protocol, "modbus-"), where).CombinedOutput()
			if err != nil {
				t.Fatalf("%v; it needs python3-pymodbus: make test installs it\n%s", err, out)
			}
			if string(out) != want {
				t.Errorf("%s\nwant\n%s", out, want)
			}
		})
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	in := NewInstruments()
	u := in.Unit(1)
	u.SetWords(wire.ReadHoldingRegisters, 0, 1, 2)
	u.Writable(wire.ReadHoldingRegisters, 1, 2)
	for _, c := range []struct {
		pdu, want string
	}{
		{"\x06\x00\x00\x00\x09", "\x86\x02"},                             // not writable
		{"\x10\x00\x00\x00\x02\x04\x00\x09\x00\x09", "\x90\x02"},         // the first is not
		{"\x05\x00\x01\xff\x00", "\x85\x02"},                             // no such coil
		{"\x10\x00\x01\x00\x02\x03\x00\x09\x00", "\x90\x03"},             // does not fit its count
		{"\x17\x00\x09\x00\x01\x00\x02\x00\x01\x02\x00\x07", "\x97\x02"}, // nothing there to read
		{"\x2b\x0e\x01\x00", "\xab\x01"},                                 // says nothing of itself
		{"\x2b\x0d\x01\x00", "\xab\x01"},
		{"\x03\x00\x00\x00\x03", "\x03\x06\x00\x01\x00\x02\x00\x00"},
	} {
		reply, _, _ := in.answer(1, []byte(c.pdu))
		if string(reply) != c.want {
			t.Errorf("%x: %x, want %x", c.pdu, reply, c.want)
		}
	}
}
