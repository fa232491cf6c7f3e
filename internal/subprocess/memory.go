package subprocess

import (
	"os"
	"runtime"
	"syscall"
)

// PeakMemory returns the most memory that a process which has ended was resident with, in
// bytes; 0 where the system does not tell.
func PeakMemory(ended *os.ProcessState) int64 {
	usage, ok := ended.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss) //nolint:unconvert // Its size differs between systems.
	}
	return int64(usage.Maxrss) * 1024 //nolint:unconvert // As above; Linux counts in KiB.
}
