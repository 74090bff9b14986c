package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveVariable makes the test binary a broker on this address, so that its
// processor time can be told from that of the clients.
const serveVariable = "BROKER_TEST_SERVE"

func TestMain(m *testing.M) {
	if address := os.Getenv(serveVariable); address != "" {
		b := New("", Options{Listeners: map[string]Listener{"local": {Address: address}}}, nil, slog.New(slog.DiscardHandler))
		if err := b.Listen(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		b.Run(context.Background()) //nolint:errcheck // ends with the process
	}
	os.Exit(m.Run())
}

// rival is a broker in a process of its own.
type rival struct {
	name  string
	start func(b testing.TB, address string) *exec.Cmd
}

var rivals = []rival{
	{"ours", func(b testing.TB, address string) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), serveVariable+"="+address)
		return cmd
	}},
	{"mosquitto", func(b testing.TB, address string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(address)
		file := filepath.Join(b.TempDir(), "mosquitto.conf")
		conf := fmt.Sprintf("listener %s %s\nallow_anonymous true\nmax_inflight_messages 100\nmax_queued_messages 100000\nlog_type none\n", port, host)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			b.Fatal(err)
		}
		return exec.Command(program(b, "mosquitto"), "-c", file)
	}},
}

// program finds a foreign program.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is needed for this test; install it: make test does", name)
	return ""
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (r rival) run(b testing.TB) (address string, cmd *exec.Cmd) {
	address = freeAddress(b)
	cmd = r.start(b, address)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() //nolint:errcheck // it was killed
	})
	for range 500 {
		if nc, err := net.Dial("tcp", address); err == nil {
			nc.Close()
			return address, cmd
		}
		time.Sleep(10 * time.Millisecond) // of another process there is nothing to wait on
	}
	b.Fatalf("%s does not come up", r.name)
	return "", nil
}

// cpu returns the processor time that a process has used.
func cpu(b testing.TB, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 everywhere
}

// resident returns the resident memory of a process in bytes.
func resident(b testing.TB, pid int) int {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize()
}

// load is a client for loads: it knows as little as it can.
type load struct {
	nc net.Conn
	r  *bufio.Reader
}

func dialLoad(b testing.TB, address, id string) *load {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	l := &load{nc, bufio.NewReaderSize(nc, 64<<10)}
	l.write(b, connectPacket(id, true))
	l.skip(b, 4)
	return l
}

func (l *load) write(b testing.TB, p []byte) {
	if _, err := l.nc.Write(p); err != nil {
		b.Error(err)
	}
}

func (l *load) skip(b testing.TB, n int) {
	if _, err := io.CopyN(io.Discard, l.r, int64(n)); err != nil {
		b.Error(err)
	}
}

// packet reads one packet and returns its first byte and packet identifier.
func (l *load) packet() (first byte, id uint16, err error) {
	first, err = l.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	n, err := binary.ReadUvarint(l.r)
	if err != nil {
		return 0, 0, err
	}
	body, err := l.r.Peek(int(n))
	if err != nil {
		return 0, 0, err
	}
	switch {
	case first>>4 == typePublish && first&6 != 0:
		id = binary.BigEndian.Uint16(body[2+binary.BigEndian.Uint16(body):])
	case len(body) >= 2:
		id = binary.BigEndian.Uint16(body)
	}
	_, err = l.r.Discard(int(n))
	return first, id, err
}

// subscribeLoad receives n messages, answering them, and then closes done.
func (l *load) receive(b testing.TB, n int, done *sync.WaitGroup) {
	defer done.Done()
	var answers []byte
	for n > 0 {
		first, id, err := l.packet()
		if err != nil {
			b.Error(err)
			return
		}
		switch {
		case first>>4 == typePubrel:
			answers = appendAck(answers, typePubcomp, id, mqtt311, reasonSuccess)
			n--
		case first&6 == 2:
			answers = appendAck(answers, typePuback, id, mqtt311, reasonSuccess)
			n--
		case first&6 == 4:
			answers = appendAck(answers, typePubrec, id, mqtt311, reasonSuccess)
		default:
			n--
		}
		if len(answers) > 0 && (l.r.Buffered() == 0 || n == 0) {
			l.write(b, answers)
			answers = answers[:0]
		}
	}
}

const loadWindow = 20

// publish sends n messages with at most loadWindow unacknowledged.
func (l *load) publish(b testing.TB, n int, qos byte, done *sync.WaitGroup) {
	defer done.Done()
	m := &message{topic: "bench/a/topic", payload: strings.Repeat("x", 100)}
	var out []byte
	sent, open, id := 0, 0, uint16(0)
	for sent < n || open > 0 {
		for sent < n && (open < loadWindow && qos > 0 || qos == 0 && len(out) < 4096) {
			if id++; id == 0 {
				id = 1
			}
			out = appendPublish(out, m, delivery{qos: qos, id: id})
			sent++
			if qos > 0 {
				open++
			}
		}
		l.write(b, out)
		out = out[:0]
		for open > 0 {
			first, id, err := l.packet()
			if err != nil {
				b.Error(err)
				return
			}
			switch first >> 4 {
			case typePubrec:
				out = appendAck(out, typePubrel, id, mqtt311, reasonSuccess)
			default:
				open--
			}
			if l.r.Buffered() == 0 {
				break
			}
		}
	}
	if len(out) > 0 {
		l.write(b, out)
	}
}

// BenchmarkThroughput compares the processor time of a broker per message.
func BenchmarkThroughput(b *testing.B) {
	for qos := range byte(3) {
		for _, publishers := range []int{1, 10} {
			for _, r := range rivals {
				b.Run(fmt.Sprintf("qos%d/%dpub/%s", qos, publishers, r.name), func(b *testing.B) {
					benchThroughput(b, r, qos, publishers)
				})
			}
		}
	}
}

func benchThroughput(b *testing.B, r rival, qos byte, publishers int) {
	address, cmd := r.run(b)
	sub := dialLoad(b, address, "sub")
	sub.write(b, subscribePacket(1, "bench/#", qos))
	sub.skip(b, 5)
	pubs := make([]*load, publishers)
	for i := range pubs {
		pubs[i] = dialLoad(b, address, fmt.Sprint("pub", i))
	}
	b.ResetTimer()
	before := cpu(b, cmd.Process.Pid)
	// A QoS 0 flood must not overrun the subscriber: in rounds.
	const round = 5000
	for left := b.N; left > 0; left -= min(round, left) {
		n := min(round, left)
		var done sync.WaitGroup
		done.Add(1 + publishers)
		go sub.receive(b, n, &done)
		for i, p := range pubs {
			share := n / publishers
			if i == 0 {
				share += n % publishers
			}
			go p.publish(b, share, qos, &done)
		}
		done.Wait()
	}
	used := cpu(b, cmd.Process.Pid) - before
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/msg")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkIdleClient measures what a connected, silent client with one
// subscription costs in resident memory.
func BenchmarkIdleClient(b *testing.B) {
	for _, r := range rivals {
		b.Run(r.name, func(b *testing.B) {
			const clients = 1000
			for b.Loop() {
				address, cmd := r.run(b)
				before := resident(b, cmd.Process.Pid)
				for i := range clients {
					l := dialLoad(b, address, fmt.Sprint("idle", i))
					l.write(b, subscribePacket(1, fmt.Sprintf("some/topic/%d", i), 1))
					l.skip(b, 5)
				}
				b.ReportMetric(float64(resident(b, cmd.Process.Pid)-before)/clients, "B/client")
			}
		})
	}
}

// BenchmarkQueuedMessage measures what a message of 100 bytes costs in resident
// memory that waits for an absent session.
func BenchmarkQueuedMessage(b *testing.B) {
	for _, r := range rivals {
		b.Run(r.name, func(b *testing.B) {
			const sessions, each = 6, 10_000
			for b.Loop() {
				address, cmd := r.run(b)
				for i := range sessions {
					l := dialLoad(b, address, "unused")
					l.nc.Close()
					l = dialSession(b, address, fmt.Sprint("absent", i))
					l.write(b, subscribePacket(1, fmt.Sprintf("s%d/t", i), 1))
					l.skip(b, 5)
					l.write(b, disconnect)
				}
				p := dialLoad(b, address, "p")
				before := resident(b, cmd.Process.Pid)
				for i := range sessions {
					for id := range uint16(each) {
						p.write(b, pub(2, id+1, fmt.Sprintf("s%d/t", i), strings.Repeat("x", 100)))
						p.skip(b, 4)
					}
				}
				b.ReportMetric(float64(resident(b, cmd.Process.Pid)-before)/(sessions*each), "B/message")
			}
		})
	}
}

// dialSession connects with clean session 0.
func dialSession(b testing.TB, address, id string) *load {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	l := &load{nc, bufio.NewReader(nc)}
	l.write(b, connectPacket(id, false))
	l.skip(b, 4)
	return l
}

// BenchmarkAppend publishes sweeps of a thousand readings.
func BenchmarkAppend(b *testing.B) {
	rs := manyReadings(1000)
	b.Run("nobody", func(b *testing.B) {
		br := New("pad-7", Options{}, nil, quietLog())
		b.ReportAllocs()
		for b.Loop() {
			br.Append(rs, nil)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	})
	b.Run("subscriber", func(b *testing.B) {
		br, port := serve(b, "pad-7", Options{}, nil)
		l := dialLoad(b, "127.0.0.1:"+port, "a")
		l.write(b, subscribePacket(1, "pad-7/#", 0))
		l.skip(b, 5)
		b.ReportAllocs()
		for b.Loop() {
			br.Append(rs, nil)
			var done sync.WaitGroup
			done.Add(1)
			l.receive(b, len(rs), &done)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/reading")
	})
}

// BenchmarkStuckNeighbour is QoS 1 throughput while another subscriber of the
// same topic does not read.
func BenchmarkStuckNeighbour(b *testing.B) {
	for _, neighbours := range []int{0, 1} {
		b.Run(fmt.Sprint(neighbours), func(b *testing.B) {
			address, _ := rivals[0].run(b)
			for i := range neighbours {
				stuck := dialLoad(b, address, fmt.Sprint("stuck", i))
				stuck.write(b, subscribePacket(1, "bench/#", 1))
			}
			sub := dialLoad(b, address, "sub")
			sub.write(b, subscribePacket(1, "bench/#", 1))
			sub.skip(b, 5)
			p := dialLoad(b, address, "pub")
			b.ResetTimer()
			var done sync.WaitGroup
			done.Add(2)
			go sub.receive(b, b.N, &done)
			go p.publish(b, b.N, 1, &done)
			done.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
