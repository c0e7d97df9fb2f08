package redistest

import "syscall"

// endWithParent makes the kernel end the server when the test binary dies
// without running its clean-up, after a timeout for instance.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
