package stage

import "syscall"

// endWithParent makes the kernel end a child when this process dies without
// cleaning up.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
