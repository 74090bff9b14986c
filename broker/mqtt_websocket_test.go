package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// webClient is the client's end of a WebSocket to a broker of its own.
type webClient struct {
	t  *testing.T
	ws *websocket.Conn
}

func dialWeb(t *testing.T, protocols ...string) webClient {
	t.Helper()
	b := New("", Options{Listeners: map[string]Listener{"ws": {Address: "127.0.0.1:0", WebSocket: true}}}, nil, quietLog())
	runBroker(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+b.Addr("ws").String()+websocketPath, &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	return webClient{t, ws}
}

func (w webClient) send(kind websocket.MessageType, frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		if err := w.ws.Write(w.t.Context(), kind, f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// expect wants these bytes, in binary frames of any size.
func (w webClient) expect(want []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var got []byte
	for len(got) < len(want) {
		kind, p, err := w.ws.Read(ctx)
		if err != nil || kind != websocket.MessageBinary {
			w.t.Fatalf("after %s: %v, frame of kind %v", show(got), err, kind)
		}
		got = append(got, p...)
	}
	if !bytes.Equal(got, want) {
		w.t.Fatalf("got %s, want %s", show(got), show(want))
	}
}

// ends wants the connection to be closed, whatever is said before.
func (w webClient) ends() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := w.ws.Read(ctx); err != nil {
			if ctx.Err() != nil {
				w.t.Fatal("the connection is still open")
			}
			return
		}
	}
}

// checkWeb sends a CONNECT in pieces and other packets together, then a frame of text.
func checkWeb(t *testing.T, connect, connack []byte) {
	w := dialWeb(t, "other", websocketProtocol)
	if got := w.ws.Subprotocol(); got != websocketProtocol {
		t.Errorf("the protocol is %q", got)
	}
	w.send(websocket.MessageBinary, connect[:1], connect[1:5], connect[5:])
	w.expect(connack)
	w.send(websocket.MessageBinary, hx("c0 00 c0 00 c0"), hx("00"))
	w.expect(hx("d0 00 d0 00 d0 00"))
	w.send(websocket.MessageText, hx("c0 00"))
	w.ends()
}

func TestMQTT_6_0_0_1_WebSocket(t *testing.T) {
	checkWeb(t, connectPacket("a", true), accepted) // [MQTT-6.0.0-2], [MQTT-6.0.0-4]
	w := dialWeb(t, "other")
	w.ends()
}

func TestMQTT5_WebSocket(t *testing.T) {
	checkWeb(t, connect5("a", connectClean, ""), accepted5(0)) // [MQTT-6.0.0-1], [MQTT-6.0.0-2], [MQTT-6.0.0-4]
}

// A frame of text ends the connection at once, also before CONNECT.
func TestMQTT_6_0_0_1_TextFrame(t *testing.T) {
	w := dialWeb(t, websocketProtocol)
	begun := time.Now()
	w.send(websocket.MessageText, connectPacket("a", true))
	w.ends()
	if took := time.Since(begun); took > defaultLimits.connectTimeout/2 {
		t.Errorf("it took %v", took)
	}
}

// Who says DISCONNECT is told good-bye in WebSocket's words too, and is not cut
// off before it has answered: a panel would call that an error (RFC 6455, 7.1.1).
func TestWebSocketSaysGoodBye(t *testing.T) {
	b := New("", Options{Listeners: map[string]Listener{"ws": {Address: "127.0.0.1:0", WebSocket: true}}}, nil, quietLog())
	runBroker(t, b)
	for range 40 { // being cut off is a race that is not always lost
		sayGoodBye(t, b.Addr("ws").String())
	}
}

func sayGoodBye(t *testing.T, address string) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	said := bufio.NewReader(nc)
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", websocketPath)
	if r, err := http.ReadResponse(said, nil); err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(r, err)
	}
	send := func(opcode byte, payload []byte) { // masked with zeros
		if _, err := nc.Write(append([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)); err != nil {
			t.Fatal(err)
		}
	}
	send(2, append(connectPacket("a", true), hx("e0 00")...))
	want := append(append([]byte{0x82, byte(len(accepted))}, accepted...), hx("88 02 03 e8")...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(said, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s, %v, want %s", show(got), err, show(want))
	}
	nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // as long as a slow panel takes to answer
	if _, err := said.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cut off before it could answer: %v", err)
	}
	nc.SetReadDeadline(time.Now().Add(patience))
	send(8, hx("03 e8"))
	if _, err := said.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v", err)
	}
}
