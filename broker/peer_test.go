package broker

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gaugeway/gaugeway/gateway"
)

// quietLog is a log that nobody reads.
func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stop ends a broker that is served by Serve only.
func (b *Broker) stop() {
	b.closeAll()
	b.work.Wait()
}

// bubble runs a test with a broker of its own in made-up time.
func bubble(t *testing.T, test func(t *testing.T, b *Broker)) {
	t.Helper()
	bubbleWith(t, "", Options{}, nil, test)
}

func bubbleWith(t *testing.T, site string, o Options, tap gateway.Tap, test func(t *testing.T, b *Broker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := New(site, o, tap, slog.New(slog.NewTextHandler(t.Output(), nil)))
		defer func() {
			b.stop()
			st := b.Stats()
			if st.Connected != 0 || len(b.conns) != 0 || len(b.unidentified) != 0 {
				t.Errorf("connections are left over: %+v", st)
			}
		}()
		test(t, b)
	})
}

// peer is the client's end of a connection, at the level of bytes.
type peer struct {
	t  *testing.T
	nc net.Conn

	mu     sync.Mutex
	come   bytes.Buffer
	closed bool
}

// join connects through a pipe. What the broker sends is collected at once.
func join(t *testing.T, b *Broker) *peer {
	p := joinSilent(t, b)
	go p.collect()
	return p
}

// joinSilent connects and does not read.
func joinSilent(t *testing.T, b *Broker) *peer {
	client, server := net.Pipe()
	go b.Serve(server, "local")
	synctest.Wait()
	t.Cleanup(func() { client.Close() })
	return &peer{t: t, nc: client}
}

func (p *peer) collect() {
	buf := make([]byte, 4096)
	for {
		n, err := p.nc.Read(buf)
		p.mu.Lock()
		p.come.Write(buf[:n])
		p.closed = err == io.EOF || p.closed
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes packets. The broker may close meanwhile.
func (p *peer) send(packets ...[]byte) {
	p.t.Helper()
	for _, packet := range packets {
		if _, err := p.nc.Write(packet); err != nil && err != io.ErrClosedPipe {
			p.t.Fatal(err)
		}
	}
}

// got returns what has come since the last call.
func (p *peer) got() []byte {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bytes.Clone(p.come.Bytes())
	p.come.Reset()
	return b
}

// expect wants exactly these packets to have come.
func (p *peer) expect(packets ...[]byte) {
	p.t.Helper()
	if got, want := p.got(), bytes.Join(packets, nil); !bytes.Equal(got, want) {
		p.t.Fatalf("got  %s\nwant %s", show(got), show(want))
	}
}

// ends wants the connection to be closed, after these packets.
func (p *peer) ends(packets ...[]byte) {
	p.t.Helper()
	p.expect(packets...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.t.Fatal("the connection is still open")
	}
}

// lives wants the connection to answer.
func (p *peer) lives() {
	p.t.Helper()
	p.send(hx("c0 00"))
	p.expect(hx("d0 00"))
}

func show(b []byte) string { return fmt.Sprintf("% x %q", b, b) }

// hx reads bytes as the specification shows them; what is in quotes is text.
func hx(s string) []byte {
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			panic(err)
		}
		out = append(out, b...)
	}
	return out
}

var accepted = hx("20 02 00 00")

// enter connects with a clean session and reads the CONNACK.
func enter(t *testing.T, b *Broker, id string) *peer {
	t.Helper()
	p := join(t, b)
	p.send(connectPacket(id, true))
	p.expect(accepted)
	return p
}

// resume connects without a clean session.
func resume(t *testing.T, b *Broker, id string, present byte) *peer {
	t.Helper()
	p := join(t, b)
	p.send(connectPacket(id, false))
	if got, want := p.got(), []byte{0x20, 2, present, 0}; !bytes.HasPrefix(got, want) {
		t.Fatalf("got %s, want first %s", show(got), show(want))
	} else {
		p.mu.Lock()
		p.come.Write(got[4:])
		p.mu.Unlock()
	}
	return p
}

// subscribe subscribes and wants the QoS granted.
func (p *peer) subscribe(filter string, qos byte) {
	p.t.Helper()
	p.send(subscribePacket(1, filter, qos))
	p.expect([]byte{0x90, 3, 0, 1, qos})
}

// connectPacket is a CONNECT of 3.1.1 with keepalive 0.
func connectPacket(id string, clean bool) []byte { return connectWith(id, clean, 0) }

func connectWith(id string, clean bool, keepalive uint16) []byte {
	flags := byte(0)
	if clean {
		flags = connectClean
	}
	return connectFlags(flags, keepalive, id)
}

// connectFlags is a CONNECT with any flags and the fields that follow.
func connectFlags(flags byte, keepalive uint16, fields ...string) []byte {
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, flags}, byte(keepalive>>8), byte(keepalive))
	for _, f := range fields {
		body = appendText(body, f)
	}
	return append(appendHeader(nil, typeConnect<<4, len(body)), body...)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func subscribePacket(id uint16, filter string, qos byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	body = append(appendText(body, filter), qos)
	return append(appendHeader(nil, typeSubscribe<<4|2, len(body)), body...)
}

func unsubscribePacket(id uint16, filter string) []byte {
	body := appendText(binary.BigEndian.AppendUint16(nil, id), filter)
	return append(appendHeader(nil, typeUnsubscribe<<4|2, len(body)), body...)
}

// pub is a PUBLISH; id counts only with QoS 1 and 2.
func pub(flags byte, id uint16, topic, payload string) []byte {
	return appendPublish(nil, &message{topic: topic, payload: payload}, delivery{flags: flags & 9, qos: flags >> 1 & 3, id: id})
}

func ackPacket(kind byte, id uint16) []byte { return appendAck(nil, kind, id, mqtt311, reasonSuccess) }

var disconnect = hx("e0 00")
