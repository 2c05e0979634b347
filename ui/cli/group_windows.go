package cli

import "syscall"

// ownGroup keeps the terminal's Ctrl-C from a child process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
