package node

import (
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile holds for as long as f is open, also if the process is killed.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, math.MaxUint32, math.MaxUint32, new(windows.Overlapped))
}
