package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet keeps a flood of alike log lines from filling the flash: of each text,
// the first quietBurst of a minute are logged, and how many were not.
type quiet struct {
	mu    sync.Mutex
	kinds map[string]*quietKind // by text; texts are constants, so there are few
}

type quietKind struct {
	begun      time.Time
	logged     int
	suppressed int
}

const (
	quietBurst  = 20
	quietPeriod = time.Minute
)

func (q *quiet) warn(log *slog.Logger, text string, args ...any) {
	q.at(slog.LevelWarn, log, text, args)
}
func (q *quiet) info(log *slog.Logger, text string, args ...any) {
	q.at(slog.LevelInfo, log, text, args)
}

func (q *quiet) at(level slog.Level, log *slog.Logger, text string, args []any) {
	suppressed, ok := q.allow(text)
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "alike_before_and_not_logged", suppressed)
	}
	log.Log(context.Background(), level, text, args...)
}

// allow reports whether a line is to be logged, and how many were not before it.
func (q *quiet) allow(text string) (suppressed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.kinds[text]
	now := time.Now()
	if k == nil {
		k = &quietKind{begun: now}
		if q.kinds == nil {
			q.kinds = make(map[string]*quietKind)
		}
		q.kinds[text] = k
	}
	if now.Sub(k.begun) >= quietPeriod {
		suppressed, *k = k.suppressed, quietKind{begun: now}
	}
	if k.logged >= quietBurst {
		k.suppressed++
		return 0, false
	}
	k.logged++
	return suppressed, true
}
