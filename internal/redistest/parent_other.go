//go:build unix && !linux

package redistest

import "syscall"

// endWithParent has no counterpart here: a test binary that dies without
// clean-up leaves its server behind.
func endWithParent() *syscall.SysProcAttr { return nil }
