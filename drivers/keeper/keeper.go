// Package keeper keeps a line open for a driver: it opens it, again and again
// where it must, lends it, has people's errands done on it, and knows what is to
// be said of it and its devices.
//
// What is spoken on the line it does not know: that is the driver's.
package keeper

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// startingReason is why nothing is known yet.
const startingReason = "starting"

// Keeper keeps one line. One goroutine, that of Run, uses it; what others may call
// says so.
type Keeper struct {
	Line   string
	Now    func() gateway.Stamp
	Log    *slog.Logger
	Traces gateway.Traces

	work Work

	strange bool   // somebody else may have asked something on the line
	proved  bool   // the open line has answered
	down    bool   // a try to open has failed since it was last open, or it is lent
	lent    bool   // so that it is not open
	lastErr string // why the line is down, as it was logged
	backoff time.Duration

	loans   lender
	errands chan *errand
	waiting []*errand // for their turn
	asked   bool      // the last transaction was of an errand

	mu     sync.Mutex // guards what follows, which Status reads
	status gateway.LineStatus
	busy   gateway.Usage
	port   gateway.UARTCounter // nil while there is none that counts
}

// New returns a keeper of a line that is not open yet. log may be nil.
func New(line string, now func() gateway.Stamp, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		Line: line, Now: now, Log: log.With("line", line), strange: true,
		loans: newLender(), errands: make(chan *errand),
		status: gateway.LineStatus{Line: line, Since: now(), Reason: startingReason},
	}
}

// Add adds a device, before Run. Devices are counted from 0.
func (k *Keeper) Add(name, unit string) {
	k.status.Devices = append(k.status.Devices, gateway.DeviceStatus{Device: name, Unit: unit, Since: k.status.Since, Cause: gateway.Starting, Reason: startingReason})
}

// Status returns a copy. It is safe for concurrent use.
func (k *Keeper) Status() gateway.LineStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.status
	s.Devices = slices.Clone(s.Devices)
	s.Busy = k.busy.Share(time.Now())
	if k.port != nil {
		s.UART = k.port.UART()
	}
	return s
}

// Count has f count something. It is safe for concurrent use.
func (k *Keeper) Count(f func(*gateway.LineStatus)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.status)
}

// Used notes that the line was used.
func (k *Keeper) Used(from, to time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy.Add(from, to)
}

// Missed notes that so many intervals of a device passed without a try.
func (k *Keeper) Missed(device int, n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.status.Devices[device].Missed += n
}

// Prove notes that the open line has answered.
func (k *Keeper) Prove() {
	if !k.proved && k.lastErr != "" {
		k.Log.Info("line back")
		k.lastErr = ""
	}
	k.proved, k.backoff = true, 0
}

// Online notes that a device answers.
func (k *Keeper) Online(device int, at gateway.Stamp) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.status.Devices[device]
	s.LastReply = at
	if s.Online {
		return
	}
	k.Log.Info("device online", "device", s.Device, "before", s.Reason, "for", time.Duration(at.At-s.Since.At)*time.Millisecond)
	s.Online, s.Since, s.Cause, s.Reason = true, at, gateway.NoReason, ""
}

// Offline notes that a device does not answer.
func (k *Keeper) Offline(device int, cause gateway.Reason, why string, at gateway.Stamp) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := &k.status.Devices[device]
	if !s.Online && s.Reason == why {
		return
	}
	k.Log.Warn("device offline", "device", s.Device, "reason", why)
	if s.Online {
		s.Since = at
	}
	s.Online, s.Cause, s.Reason = false, cause, why
}

// Refused notes what a device answers instead of values.
func (k *Keeper) Refused(device int, what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := &k.status.Devices[device]; s.Refused != what {
		k.Log.Warn("device refuses", "device", s.Device, "reason", what)
		s.Refused = what
	}
}

// opened notes that the line is open.
func (k *Keeper) opened() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.status.Open {
		k.status.Open, k.status.Since, k.status.Reason = true, k.Now(), ""
	}
}

// closed notes that the line is not open, nor any device online: what waits for
// it fails. what is said of the devices.
func (k *Keeper) closed(cause gateway.Reason, reason, what string) {
	k.down = true
	k.mu.Lock()
	if k.status.Open {
		k.status.Since = k.Now()
	}
	k.status.Open, k.status.Reason = false, reason
	for i := range k.status.Devices {
		s := &k.status.Devices[i]
		if s.Online {
			s.Online, s.Since = false, k.Now()
		}
		s.Cause, s.Reason = cause, what
	}
	k.mu.Unlock()
	k.refuse()
}

// downReason says why the line is known to be down, or "".
func (k *Keeper) downReason() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.status.Open || k.status.Reason == startingReason {
		return ""
	}
	return k.status.Reason
}

// setPort notes the line that is open, nil for none, for what Status asks it.
func (k *Keeper) setPort(l gateway.Line) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.port, _ = l.(gateway.UARTCounter)
}
