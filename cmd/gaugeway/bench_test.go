package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
	"github.com/gaugeway/gaugeway/gateway"
)

const (
	benchUnits = 8
	benchTags  = 125 // of each unit: 62 uint16 and 63 float32, in two requests
	benchWarm  = 15 * time.Second
	benchSpan  = 60 * time.Second
)

// BenchmarkThousandTags polls 1 000 tags each second over Modbus TCP in 16
// requests, with per-tag topics on site, durable, and a JSON uplink to
// mosquitto, and reports what the gateway's process costs.
func BenchmarkThousandTags(b *testing.B) {
	for _, c := range []struct {
		name       string
		subscriber bool
	}{{"nobody subscribed", false}, {"a panel subscribed to everything", true}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				thousandTags(b, c.subscriber)
			}
			b.ReportMetric(0, "ns/op") // the time is the time of the measurement
		})
	}
}

func thousandTags(b *testing.B, subscriber bool) {
	program := build(b)
	server := newRemote(b)
	box := newBox(b, thousandTagsConfig(b)+fmt.Sprintf("\n[uplink.scada]\nservers = [%q]\n", server.url()))
	text, err := os.ReadFile(box.config)
	if err != nil {
		b.Fatal(err)
	}
	// The commit interval is the default, as a user has it.
	if err := os.WriteFile(box.config, []byte(strings.Replace(string(text), `commit_interval = "1s"`, "", 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	box.running = start(b, nil, program, "run", "-c", box.config)
	box.running.says("gaugeway runs")
	if subscriber {
		panel := exec.Command(foreign(b, "mosquitto_sub"), "-p", fmt.Sprint(box.port), "-t", "#")
		if err := panel.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() {
			_ = panel.Process.Kill()
			_ = panel.Wait()
		}()
	}
	<-time.After(benchWarm)
	before, cpuBefore := committed(b, box), cpuSeconds(b, box.running.cmd.Process.Pid)
	<-time.After(benchSpan)
	after, cpuAfter := committed(b, box), cpuSeconds(b, box.running.cmd.Process.Pid)
	readings := float64(after - before)
	if expected := benchSpan.Seconds() * benchUnits * benchTags; math.Abs(readings-expected) > 0.1*expected {
		b.Errorf("%v readings in %v, %v were to be made", readings, benchSpan, expected)
	}
	b.ReportMetric((cpuAfter-cpuBefore)/readings*1000, "cpu-s/1000readings")
	b.ReportMetric(residentMB(b, box.running.cmd.Process.Pid), "MB-resident")
	box.running.kill()
}

// build makes the program with the flags of a release, but for the version.
func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "gaugeway")
	out, err := exec.Command("go", "build", "-trimpath", "-tags", "osusergo,netgo,sqlite_omit_load_extension", "-ldflags", "-s -w", "-o", path, ".").CombinedOutput()
	if err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// thousandTagsConfig starts the instruments and returns the lines and devices.
func thousandTagsConfig(b *testing.B) string {
	b.Helper()
	sim, err := simulate.New(simulate.Options{Address: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	config := fmt.Sprintf("[line.tcp]\nprotocol = \"modbus-tcp\"\naddress = %q\n", sim.Addr())
	for unit := 1; unit <= benchUnits; unit++ {
		config += fmt.Sprintf("[device.unit-%[1]d]\nline = \"tcp\"\nunit_id = %[1]d\ninterval = \"1s\"\n", unit)
		address := 0
		for tag := range benchTags {
			typ, registers := "uint16", 1
			if tag%2 == 0 {
				typ, registers = "float32", 2
			}
			config += fmt.Sprintf("[device.unit-%d.tag.t%d]\naddress = %d\ntype = %q\nunit = \"bar\"\n", unit, tag, address, typ)
			setSignal(sim.Unit(byte(unit)), address, registers, float64(tag))
			address += registers
		}
	}
	return config
}

// setSignal makes registers that move as slow pressures do.
func setSignal(u *simulate.Unit, address, registers int, phase float64) {
	u.SetComputed(wire.ReadHoldingRegisters, address, registers, func(c simulate.Call, words []uint16) {
		value := math.Round(100*(50+20*math.Sin(c.At.Seconds()/100+phase))) / 100
		if registers == 1 {
			words[0] = uint16(100 * value)
			return
		}
		bits := math.Float32bits(float32(value))
		words[0], words[1] = uint16(bits>>16), uint16(bits)
	})
}

func committed(b *testing.B, box *box) gateway.Seq {
	b.Helper()
	s, err := box.status()
	if err != nil {
		b.Fatal(err)
	}
	return gateway.Seq(s.Buffer.Seqs["normal"])
}

// cpuSeconds returns the processor time of a process, from /proc/PID/stat (proc(5), fields 14 and 15).
func cpuSeconds(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		b.Fatal(err1, err2)
	}
	const ticks = 100 // USER_HZ, on every Linux that Go knows
	return (user + system) / ticks
}

func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kb / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
