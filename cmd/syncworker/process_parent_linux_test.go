//go:build real

package main

import "syscall"

// endWithParent makes the kernel end a process when the test binary dies without
// its clean-up, after a timeout for instance.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
