//go:build unix

package node

import (
	"os"
	"syscall"
)

// lockFile holds for as long as f is open, also if the process is killed.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
