//go:build unix && !linux

package stage

import "syscall"

// endWithParent has no counterpart here: a process that dies without cleaning
// up leaves its children behind.
func endWithParent() *syscall.SysProcAttr { return nil }
