//go:build arm || 386

package gateway

import (
	"syscall"
	"time"
	"unsafe"
)

// sysClockGettime64 is clock_gettime64, of Linux 5.1; it has this number on
// every 32-bit architecture.
const sysClockGettime64 = 403

func boottime() (time.Duration, syscall.Errno) {
	var ts [2]int64
	errno := clockGettime(unsafe.Pointer(&ts), sysClockGettime64)
	if errno == syscall.ENOSYS { // the 4.x kernels of many routers: 32 bits hold 68 years of uptime
		var ts32 [2]int32
		errno = clockGettime(unsafe.Pointer(&ts32), syscall.SYS_CLOCK_GETTIME)
		ts = [2]int64{int64(ts32[0]), int64(ts32[1])}
	}
	return time.Duration(ts[0])*time.Second + time.Duration(ts[1]), errno
}
