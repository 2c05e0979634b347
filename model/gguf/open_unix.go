//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package gguf

import (
	"fmt"
	"os"
	"syscall"
)

// contents maps the file read-only; the mapping outlives the descriptor.
func contents(file *os.File, size int) ([]byte, func() error, error) {
	data, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", file.Name(), err)
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}
