package node

import (
	"os"
	"syscall"
	"unsafe"
)

// Flags of LockFileEx, which package syscall lacks.
const (
	failImmediately = 1
	exclusiveLock   = 2
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// lockFile holds for as long as f is open, also if the process is killed.
func lockFile(f *os.File) error {
	const all = ^uint32(0)
	if ok, _, err := lockFileEx.Call(f.Fd(), exclusiveLock|failImmediately, 0, uintptr(all), uintptr(all), uintptr(unsafe.Pointer(new(syscall.Overlapped)))); ok == 0 {
		return err
	}
	return nil
}
