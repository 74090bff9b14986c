package gateway

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// TimeQuality says where a wall time comes from.
type TimeQuality uint8

// The time qualities.
const (
	Synced    TimeQuality = 0 // the clock was trusted when the reading was made
	Corrected TimeQuality = 1 // it was trusted later in the same boot, and the time is worked out from that
	Estimated TimeQuality = 2 // it was never trusted in that boot
)

// String returns the quality's word.
func (q TimeQuality) String() string { return [...]string{"synced", "corrected", "estimated"}[q] }

// Stamp is when a reading was made: milliseconds since a boot, which no step of
// the wall clock can reorder or double. Wall time is worked out from it.
type Stamp struct {
	Boot *Boot
	At   int64 // CLOCK_BOOTTIME in milliseconds
}

// Wall returns the wall time in milliseconds since 1970 UTC, and where it comes from.
func (s Stamp) Wall() (unixMilli int64, q TimeQuality) {
	if s.Boot == nil {
		return 0, Estimated
	}
	return s.Boot.wall(s.At)
}

// Boot is one life of the operating system. Its methods are safe for concurrent use.
type Boot struct {
	ID string // /proc/sys/kernel/random/boot_id

	mu       sync.Mutex
	offset   int64 // wall - boottime, ms
	known    bool  // offset is set
	trusted  bool  // from a clock that was synchronised
	syncedAt int64 // boottime ms of the moment it became so
}

// Offset is what a boot knows of wall time, as kept on disk.
type Offset struct {
	Milli    int64 // wall - boottime
	Trusted  bool
	SyncedAt int64 // boottime ms when the clock became trusted
}

// NewBoot returns the boot with this id, of whose wall time nothing is known yet.
func NewBoot(id string) *Boot { return &Boot{ID: id} }

// ThisBoot returns the boot that is running. Its wall time is not known yet.
func ThisBoot() (*Boot, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	return NewBoot(strings.TrimSpace(string(id))), nil
}

// Now returns the stamp of this moment of the running boot.
func (b *Boot) Now() Stamp { return Stamp{Boot: b, At: Boottime().Milliseconds()} }

// Offset returns what is known of wall time, and false when nothing is.
func (b *Boot) Offset() (Offset, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Offset{Milli: b.offset, Trusted: b.trusted, SyncedAt: b.syncedAt}, b.known
}

// SetOffset says how wall time follows from boot time. Once a boot's offset is
// trusted it stays: a reading that is sent twice must bear the same time twice.
// It reports whether anything changed.
func (b *Boot) SetOffset(o Offset) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trusted || (b.known && !o.Trusted) {
		return false
	}
	b.offset, b.trusted, b.syncedAt, b.known = o.Milli, o.Trusted, o.SyncedAt, true
	return true
}

func (b *Boot) wall(at int64) (int64, TimeQuality) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.trusted:
		return at + b.offset, Estimated
	case at < b.syncedAt:
		return at + b.offset, Corrected
	default:
		return at + b.offset, Synced
	}
}

// clockBoottime is CLOCK_BOOTTIME of clock_gettime(2): it counts suspended
// time and is never stepped.
const clockBoottime = 7

// Boottime returns the time since the kernel started.
func Boottime() time.Duration {
	d, errno := boottime()
	if errno != 0 {
		panic("clock_gettime(CLOCK_BOOTTIME): " + errno.Error()) // in every kernel since 2.6.39
	}
	return d
}

func clockGettime(ts unsafe.Pointer, call uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall(call, clockBoottime, uintptr(ts), 0)
	return errno
}

// AppendTime appends a wall time as it is written everywhere: RFC 3339 in UTC
// with milliseconds.
func AppendTime(b []byte, unixMilli int64) []byte {
	return time.UnixMilli(unixMilli).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
}
