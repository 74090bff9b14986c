package broker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/gaugeway/gaugeway/gateway"
)

// patience is how long a test waits for another process before it fails.
const patience = 30 * time.Second

// serve runs a broker on a free port of loopback until the test ends.
func serve(t testing.TB, site string, o Options, tap gateway.Tap) (b *Broker, port string) {
	t.Helper()
	if o.Listeners == nil {
		o.Listeners = map[string]Listener{"local": {Address: "127.0.0.1:0"}}
	}
	b = New(site, o, tap, slog.New(slog.NewTextHandler(t.Output(), nil)))
	runBroker(t, b)
	_, port, err := net.SplitHostPort(b.Addr("local").String())
	if err != nil {
		t.Fatal(err)
	}
	return b, port
}

// runBroker runs b until the test ends.
func runBroker(t testing.TB, b *Broker) {
	t.Helper()
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// run runs a foreign client to its end and returns what it printed.
func run(t *testing.T, name, port string, args ...string) string {
	t.Helper()
	out, err := command(t, name, port, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func command(t *testing.T, name, port string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program(t, name), append([]string{"-h", "127.0.0.1", "-p", port}, args...)...)
}

// started is a foreign client that goes on.
type started struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, name, port string, args ...string) *started {
	t.Helper()
	s := &started{t: t, cmd: command(t, name, port, args...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	return s
}

func (s *started) kill() {
	s.cmd.Process.Kill() //nolint:errcheck // it may have ended
	s.cmd.Wait()         //nolint:errcheck // it was killed
}

// line wants this as the next line.
func (s *started) line(want string) {
	s.t.Helper()
	if !s.lines.Scan() {
		s.t.Fatalf("ended before it printed %q", want)
	}
	if got := s.lines.Text(); got != want {
		s.t.Fatalf("printed %q, not %q", got, want)
	}
}

func TestMosquittoPublishAndSubscribe(t *testing.T) {
	b, port := serve(t, "pad-7", Options{}, nil)
	b.Publish("ready", []byte("yes"), true)
	for qos := range 3 {
		q := fmt.Sprint(qos)
		sub := start(t, "mosquitto_sub", port, "-v", "-q", q, "-t", "a/#", "-t", "ready", "-F", "%t %p %q %r")
		sub.line("ready yes 0 1")
		run(t, "mosquitto_pub", port, "-q", q, "-t", "a/b", "-m", "hello")
		sub.line("a/b hello " + q + " 0")
		run(t, "mosquitto_pub", port, "-q", q, "-t", "a/c", "-r", "-m", "kept")
		sub.line("a/c kept " + q + " 0")
		if got := run(t, "mosquitto_sub", port, "-q", q, "-t", "a/+", "-C", "1", "-F", "%t %p %q %r"); got != "a/c kept "+q+" 1\n" {
			t.Errorf("late subscriber got %q", got)
		}
		run(t, "mosquitto_pub", port, "-q", q, "-t", "a/c", "-r", "-n")
		sub.line("a/c  " + q + " 0")
		sub.kill()
	}
	if st := b.Stats(); st.Retained != 1+len(b.sys) {
		t.Errorf("%d are retained", st.Retained)
	}
}

func TestMosquittoPersistentSession(t *testing.T) {
	_, port := serve(t, "", Options{}, nil)
	for _, qos := range []string{"1", "2"} {
		id := "absent" + qos
		run(t, "mosquitto_sub", port, "-c", "-i", id, "-q", qos, "-t", "t", "-E")
		pub := command(t, "mosquitto_pub", port, "-q", qos, "-t", "t", "-l")
		var say, want strings.Builder
		for i := range 500 {
			fmt.Fprintln(&say, i)
			fmt.Fprintf(&want, "%d\n", i)
		}
		pub.Stdin = strings.NewReader(say.String())
		if out, err := pub.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := run(t, "mosquitto_sub", port, "-c", "-i", id, "-q", qos, "-t", "t", "-C", "500"); got != want.String() {
			t.Errorf("the 500 came as %q", got)
		}
	}
}

func TestMosquittoWill(t *testing.T) {
	b, port := serve(t, "", Options{}, nil)
	b.Publish("ready", []byte("yes"), true)
	watch := start(t, "mosquitto_sub", port, "-v", "-t", "ready", "-t", "will", "-q", "1")
	watch.line("ready yes")
	dies := start(t, "mosquitto_sub", port, "-t", "ready", "--will-topic", "will", "--will-payload", "gone", "--will-qos", "1", "--will-retain")
	dies.line("yes")
	dies.kill()
	watch.line("will gone")
	if got := run(t, "mosquitto_sub", port, "-t", "will", "-C", "1", "-F", "%p %r"); got != "gone 1\n" {
		t.Errorf("retained will: %q", got)
	}
}

func TestMosquittoLogin(t *testing.T) {
	o := withUser(t, "hmi", "secret", nil, []string{"a/#"})
	no := false
	o.Listeners = map[string]Listener{"local": {Address: "127.0.0.1:0", AllowAnonymous: &no}}
	_, port := serve(t, "", o, nil)
	run(t, "mosquitto_pub", port, "-u", "hmi", "-P", "secret", "-q", "1", "-t", "a", "-m", "x")
	for _, args := range [][]string{{}, {"-u", "hmi", "-P", "wrong"}, {"-u", "eve", "-P", "secret"}} {
		out, err := command(t, "mosquitto_pub", port, append(args, "-t", "a", "-m", "x")...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "not authorised") {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	out, err := command(t, "mosquitto_sub", port, "-u", "hmi", "-P", "secret", "-t", "#", "-E").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "denied") {
		t.Errorf("%v: %s", err, out)
	}
	// What a 5.0 client is told is what it is told by every 3.1.1 server.
	if out, err := command(t, "mosquitto_pub", port, "-V", "5", "-t", "a", "-m", "x").CombinedOutput(); err == nil {
		t.Errorf("MQTT 5 is accepted: %s", out)
	}
	run(t, "mosquitto_pub", port, "-V", "mqttv31", "-i", "old", "-u", "hmi", "-P", "secret", "-q", "2", "-t", "a", "-m", "x")
}

func TestMosquittoSeesReadings(t *testing.T) {
	b, port := serve(t, "pad-7", Options{}, nil)
	b.Append([]gateway.Reading{reading(pressure, 1, gateway.Float32(12.34))}, nil)
	sub := start(t, "mosquitto_sub", port, "-t", "pad-7/#", "-v")
	sub.line(`pad-7/separator/pressure {"time":"2026-11-22T22:00:01.000Z","value":12.34,"unit":"bar","quality":"good"}`)
	b.Append([]gateway.Reading{failed(pressure, 2, gateway.Timeout)}, nil)
	sub.line(`pad-7/separator/pressure {"time":"2026-11-22T22:00:02.000Z","value":null,"unit":"bar","quality":"bad","reason":"timeout","last":12.34,"last_time":"2026-11-22T22:00:01.000Z"}`)
	if got := run(t, "mosquitto_sub", port, "-t", "$SYS/broker/clients/#", "-C", "4", "-F", "%t"); strings.Count(got, "$SYS/") != 4 {
		t.Errorf("$SYS: %q", got)
	}
}

func TestPaho(t *testing.T) {
	_, port := serve(t, "", Options{}, nil)
	connect := func(id string, clean bool, got chan<- mqtt.Message) mqtt.Client {
		o := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:" + port).SetClientID(id).SetCleanSession(clean).SetProtocolVersion(4).
			SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { got <- m })
		c := mqtt.NewClient(o)
		await(t, c.Connect())
		return c
	}
	got := make(chan mqtt.Message, 1000)
	sub := connect("sub", false, got)
	await(t, sub.Subscribe("t/#", 2, nil))
	pub := connect("pub", true, nil)
	receive := func() {
		for i := range 30 {
			m := <-got
			if string(m.Payload()) != fmt.Sprint(i) || m.Qos() != byte(i%3) || m.Duplicate() {
				t.Errorf("message %d is %q with QoS %d, duplicate %v", i, m.Payload(), m.Qos(), m.Duplicate())
			}
		}
	}
	for i := range 30 {
		await(t, pub.Publish("t/x", byte(i%3), false, fmt.Sprint(i)))
	}
	receive()
	sub.Disconnect(100)
	for i := range 30 {
		await(t, pub.Publish("t/x", byte(i%3), false, fmt.Sprint("absent", i)))
	}
	sub = connect("sub", false, got)
	for i := range 30 {
		if i%3 == 0 {
			continue // QoS 0 is not kept for who is absent
		}
		m := <-got
		for !strings.HasPrefix(string(m.Payload()), "absent") { // the client left before it acknowledged those
			m = <-got
		}
		if string(m.Payload()) != fmt.Sprint("absent", i) {
			t.Errorf("message %d is %q", i, m.Payload())
		}
	}
	await(t, sub.Unsubscribe("t/#"))
	sub.Disconnect(100)
	pub.Disconnect(100)
}

func await(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("the client gets no answer")
	}
	if token.Error() != nil {
		t.Fatal(token.Error())
	}
}

// Twenty thousand messages while the subscriber comes back again and again:
// none is lost, they are in order, and with QoS 2 none is doubled.
func TestReconnectingSubscriber(t *testing.T) {
	for _, c := range []struct {
		qos byte
		n   int
	}{{1, 20_000}, {2, 5_000}} {
		b, port := serve(t, "", Options{}, nil)
		address := "127.0.0.1:" + port
		s := &subscriber{t: t, address: address, qos: c.qos, room: make(chan struct{}, 3000)}
		s.connect()
		s.send(subscribePacket(1, "bench/#", c.qos))
		s.r.skip(t, 5) // nothing is published before the SUBACK
		var done sync.WaitGroup
		done.Go(func() { publishNumbers(t, address, c.qos, c.n, s.room) })
		s.receive(c.n)
		if t.Failed() {
			return // and leave the publisher alone
		}
		done.Wait()
		if s.connects < 90 || c.qos == 2 && s.doubled > 0 {
			t.Errorf("QoS %d: %d connections, %d doubled", c.qos, s.connects, s.doubled)
		}
		t.Logf("QoS %d: %d connections, %d doubled", c.qos, s.connects, s.doubled)
		s.nc.Close()
		if st := b.Stats(); st.DroppedFull != 0 {
			t.Errorf("%+v", st)
		}
		b.check(t)
	}
}

// subscriber receives the numbers 0, 1, 2 … and breaks off now and then.
type subscriber struct {
	t        *testing.T
	address  string
	qos      byte
	nc       net.Conn
	r        *load
	room     chan struct{} // one for each number that is on its way
	next     int           // the number to come
	held     map[uint16]bool
	connects int
	doubled  int
}

func (s *subscriber) connect() {
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.nc, s.r = nc, &load{nc, bufio.NewReader(nc)}
	s.connects++
	if s.held == nil {
		s.held = make(map[uint16]bool)
	}
	s.send(connectPacket("subscriber", false))
	s.r.skip(s.t, 4)
}

func (s *subscriber) send(p []byte) {
	if _, err := s.nc.Write(p); err != nil {
		s.t.Error(err)
	}
}

func (s *subscriber) receive(n int) {
	cut := n / 100
	for got := 0; s.next < n && !s.t.Failed(); got++ {
		if got == cut {
			s.nc.Close() // whatever is on its way
			s.connect()
			got = 0
		}
		first, id, body, err := s.r.whole()
		if err != nil {
			s.t.Error(err)
			return
		}
		s.take(first, id, body)
	}
}

func (s *subscriber) take(first byte, id uint16, body []byte) {
	switch {
	case first>>4 == typePubrel:
		delete(s.held, id)
		s.send(appendAck(nil, typePubcomp, id, mqtt311, reasonSuccess))
	case first>>4 == typePublish:
		if !s.held[id] {
			s.number(body)
		}
		if s.qos == 2 {
			s.held[id] = true
			s.send(appendAck(nil, typePubrec, id, mqtt311, reasonSuccess))
		} else {
			s.send(appendAck(nil, typePuback, id, mqtt311, reasonSuccess))
		}
	}
}

func (s *subscriber) number(payload []byte) {
	var i int
	if _, err := fmt.Sscan(string(payload), &i); err != nil || i > s.next {
		s.t.Errorf("%q comes where %d was to come", payload, s.next)
	}
	if i < s.next {
		s.doubled++
		return
	}
	s.next++
	<-s.room
}

// whole reads one packet and returns the payload of a PUBLISH.
func (l *load) whole() (first byte, id uint16, payload []byte, err error) {
	first, err = l.r.ReadByte()
	if err != nil {
		return 0, 0, nil, err
	}
	length, err := l.r.ReadByte() // all are shorter than 128 bytes
	if err != nil {
		return 0, 0, nil, err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(l.r, body); err != nil {
		return 0, 0, nil, err
	}
	r := cursor{buf: body}
	if first>>4 == typePublish {
		r.bytes()
	}
	id = r.uint16()
	return first, id, r.buf, nil
}

// publishNumbers publishes 0 to n-1, each when there is room.
func publishNumbers(t *testing.T, address string, qos byte, n int, room chan<- struct{}) {
	l := dialLoad(t, address, "publisher")
	id, open := uint16(0), 0
	for i := range n {
		room <- struct{}{}
		if id++; id == 0 {
			id = 1
		}
		l.write(t, pub(qos<<1, id, "bench/t", fmt.Sprint(i)))
		open++
		for open >= loadWindow || i == n-1 && open > 0 {
			first, id, err := l.packet()
			if err != nil {
				t.Error(err)
				return
			}
			if first>>4 == typePubrec {
				l.write(t, appendAck(nil, typePubrel, id, mqtt311, reasonSuccess))
			} else {
				open--
			}
		}
	}
}
