//go:build !(arm || 386)

package gateway

import (
	"syscall"
	"time"
	"unsafe"
)

func boottime() (time.Duration, syscall.Errno) {
	var ts [2]int64
	errno := clockGettime(unsafe.Pointer(&ts), syscall.SYS_CLOCK_GETTIME)
	return time.Duration(ts[0])*time.Second + time.Duration(ts[1]), errno
}
