package manners

import (
	"syscall"
	"time"
)

// ProcessTime is the processor time that this process took since it began.
func ProcessTime() time.Duration {
	var created, ended, kernel, user syscall.Filetime
	self, err := syscall.GetCurrentProcess()
	if err == nil {
		err = syscall.GetProcessTimes(self, &created, &ended, &kernel, &user)
	}
	if err != nil {
		panic(err) // a process may always ask about itself
	}
	took := func(f syscall.Filetime) time.Duration {
		return time.Duration(uint64(f.HighDateTime)<<32|uint64(f.LowDateTime)) * 100
	}
	return took(kernel) + took(user)
}
