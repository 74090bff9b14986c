package demo

import (
	"context"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/drivers/simulate"
)

// plant is the instruments: one simulator per line.
type plant struct {
	lines map[string]*simulate.Simulator
}

// newPlant wires the instruments. Each answer bears a scan number and values
// that follow from it, and truth hears of every answer: so a value that was not
// the instrument's, or not of that moment, can be told.
func newPlant(t *truth) (*plant, error) {
	p := &plant{lines: make(map[string]*simulate.Simulator)}
	for _, i := range instruments {
		sim := p.lines[i.line]
		if sim == nil {
			var err error
			if sim, err = simulate.New(simulate.Options{Think: time.Millisecond}); err != nil {
				return nil, err
			}
			p.lines[i.line] = sim
		}
		scan := uint32(0)
		sim.Unit(byte(i.unit)).SetComputed(wire.ReadHoldingRegisters, 0, 5, func(_ simulate.Call, words []uint16) {
			scan++
			t.answered(i.name, scan, time.Now())
			pressure := math.Float32bits(float32(signal(i.name, "pressure", scan)))
			words[0], words[1] = uint16(scan>>16), uint16(scan)
			words[2], words[3] = uint16(pressure>>16), uint16(pressure)
			words[4] = uint16(int16(math.Round(10 * signal(i.name, "temperature", scan))))
		})
	}
	return p, nil
}

func (p *plant) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, sim := range p.lines {
		work.Go(func() error { return sim.Run(ctx) })
	}
	return work.Wait()
}

// ports returns the serial port of each line.
func (p *plant) ports() map[string]string {
	ports := make(map[string]string)
	for name, sim := range p.lines {
		ports[name] = sim.Path()
	}
	return ports
}

func find(name string) instrument {
	for _, i := range instruments {
		if i.name == name {
			return i
		}
	}
	panic("no instrument " + name)
}

// late makes an instrument answer every other request so much too late; 0 ends that.
func (p *plant) late(name string, by time.Duration) {
	i := find(name)
	fault := simulate.Fault{}
	if by > 0 {
		fault = simulate.Fault{Seed: 1, Units: []byte{byte(i.unit)}, Late: 0.5, LateBy: by}
	}
	p.lines[i.line].Fault(fault)
}

func (p *plant) silent(name string, on bool) {
	i := find(name)
	p.lines[i.line].Unit(byte(i.unit)).Silence(on)
}

// lateAnswers counts the answers that came too late.
func (p *plant) lateAnswers() int {
	n := 0
	for _, sim := range p.lines {
		n += int(sim.Counters().Late)
	}
	return n
}

// signal is what an instrument measures in a scan, to the digits that it has.
func signal(device, tag string, scan uint32) float64 {
	base, t := find(device).base, float64(scan)
	if tag == "temperature" {
		return math.Round(10*(30+base/10+4*math.Sin(t/17))) / 10
	}
	return math.Round(100*(base+3*math.Sin(t/9)+0.4*math.Sin(t*1.7))) / 100
}
