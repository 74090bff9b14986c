package gateway

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"time"
)

const (
	clockPoll = 5 * time.Second
	// A clock that is off by more does not order readings of one scan (notes of
	// adjtimex(2): maxerror grows by 500 µs a second without a server).
	clockMaxError = time.Second
)

// KeepTime tells the boot its wall time: at once, and once more when the system
// says that its clock is synchronised. With trust the clock is believed as it
// is. It returns when the time is trusted or ctx ends.
func (b *Boot) KeepTime(ctx context.Context, trust bool, log *slog.Logger) {
	if b.observe(trust || clockSynced()) {
		return
	}
	log.Warn("the clock is not synchronised; times are marked as estimated until it is")
	tick := time.NewTicker(clockPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if clockSynced() && b.observe(true) {
				log.Info("the clock is synchronised")
				return
			}
		}
	}
}

// observe takes the offset between the two clocks, and reports whether it is trusted.
func (b *Boot) observe(trusted bool) bool {
	at := b.Now().At
	b.SetOffset(Offset{Milli: time.Now().UnixMilli() - at, Trusted: trusted, SyncedAt: at})
	o, _ := b.Offset()
	return o.Trusted
}

const timeError = 5 // TIME_ERROR of adjtimex(2): the clock is not synchronised

// clockSynced asks the kernel, which chrony and ntpd tell, and systemd-timesyncd.
func clockSynced() bool {
	var t syscall.Timex
	state, err := syscall.Adjtimex(&t)
	if err == nil && state != timeError && time.Duration(t.Maxerror)*time.Microsecond < clockMaxError {
		return true
	}
	_, err = os.Stat("/run/systemd/timesync/synchronized")
	return err == nil
}
