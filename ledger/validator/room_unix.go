//go:build unix

package validator

import "syscall"

// noRoom are the system's words for a disk that takes no more.
var noRoom = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
