package scan

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gaugeway/gaugeway/drivers/modbus"
	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
)

// Asker does one transaction at a time. Its errors are those of modbus.Client.
type Asker interface {
	io.Closer
	Do(ctx context.Context, unit byte, r wire.Request) ([]byte, error)
}

// Options say what to try.
type Options struct {
	Settings []Setting
	IDs      []byte
	All      bool     // go on with other settings after one that found something
	Expect   []Expect // values to look for in the registers
	First    int      // of the registers to look at
	Last     int

	// Open opens the line with a setting. Do gives up after the response timeout.
	Open func(ctx context.Context, s Setting) (Asker, error)
}

// Progress is how far a scan is.
type Progress struct {
	Setting   string        `json:"setting"`
	Unit      int           `json:"unit"`
	Done      int           `json:"done"`
	Total     int           `json:"total"`
	Remaining time.Duration `json:"remaining"` // if nothing more answers
}

// Found is one instrument that answered.
type Found struct {
	Setting  Setting           `json:"setting"`
	Unit     byte              `json:"unit"`
	Says     string            `json:"says"`               // how it answered the first question
	Identity []modbus.Identity `json:"identity,omitempty"` // what it says it is
	Guesses  []Guess           `json:"guesses,omitempty"`  // the best first, for each Expect
}

// Result is what a scan found.
type Result struct {
	Found   []Found  `json:"found"`
	Garbled []string `json:"garbled,omitempty"` // settings with which something answered that could not be read
}

// Run tries the settings and ids in order. progress is told before each try.
// What was found until an error is returned with it.
func Run(ctx context.Context, o Options, progress func(Progress)) (Result, error) {
	s := scanner{options: o, progress: progress, total: len(o.Settings) * len(o.IDs), started: time.Now()}
	for _, setting := range o.Settings {
		found, err := s.try(ctx, setting)
		s.result.Found = append(s.result.Found, found...)
		if err != nil || len(found) > 0 && !o.All {
			return s.result, err
		}
	}
	return s.result, nil
}

type scanner struct {
	options  Options
	progress func(Progress)
	started  time.Time
	done     int
	total    int
	result   Result
}

// try asks every id with one setting.
func (s *scanner) try(ctx context.Context, setting Setting) (found []Found, err error) {
	line, err := s.options.Open(ctx, setting)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, line.Close()) }()
	garbled := false
	for _, id := range s.options.IDs {
		s.tell(setting, id)
		says, err := ask(ctx, line, id)
		s.done++
		switch {
		case err == nil:
			f := Found{Setting: setting, Unit: id, Says: says}
			s.look(ctx, line, &f)
			found = append(found, f)
		case errors.Is(err, modbus.ErrDamaged):
			garbled = true
		case !errors.Is(err, modbus.ErrNoAnswer):
			return found, err
		}
	}
	if garbled && len(found) == 0 {
		s.result.Garbled = append(s.result.Garbled, setting.String())
	}
	return found, nil
}

func (s *scanner) tell(setting Setting, id byte) {
	p := Progress{Setting: setting.String(), Unit: int(id), Done: s.done, Total: s.total}
	if s.done > 0 {
		p.Remaining = time.Since(s.started) / time.Duration(s.done) * time.Duration(s.total-s.done)
	}
	s.progress(p)
}

// ask puts the question that every instrument answers, if only by refusing.
func ask(ctx context.Context, line Asker, id byte) (says string, err error) {
	_, err = line.Do(ctx, id, wire.Request{Function: wire.ReadHoldingRegisters, Count: 1})
	var exception wire.Exception
	switch {
	case err == nil:
		return "holding 0 can be read", nil
	case errors.As(err, &exception):
		if exception == wire.GatewayPath || exception == wire.GatewayNoResponse {
			return "", modbus.ErrNoAnswer // a gateway answered that there is none
		}
		return exception.Error(), nil
	case errors.Is(err, wire.ErrPDU):
		return "answers, but not what it was asked", nil
	default:
		return "", err
	}
}

// look learns more of an instrument that answers. What fails here is no failure
// of the scan.
func (s *scanner) look(ctx context.Context, line Asker, f *Found) {
	f.Identity, _ = modbus.Identify(ctx, line, f.Unit)
	if len(s.options.Expect) == 0 {
		return
	}
	for _, function := range []wire.Function{wire.ReadHoldingRegisters, wire.ReadInputRegisters} {
		m := readMap(ctx, line, f.Unit, function, s.options.First, s.options.Last)
		f.Guesses = append(f.Guesses, guess(m, s.options.Expect)...)
	}
	sortGuesses(f.Guesses)
	if len(f.Guesses) > mostGuesses {
		f.Guesses = f.Guesses[:mostGuesses]
	}
}

const mostGuesses = 12
