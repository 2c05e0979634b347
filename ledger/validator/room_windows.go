package validator

import "syscall"

// noRoom are the system's words for a disk that takes no more: handle, disk, file
// and quota are full.
var noRoom = []syscall.Errno{39, 112, 223, 1295}
