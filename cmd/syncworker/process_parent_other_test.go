//go:build real && !linux

package main

import "syscall"

// endWithParent has no counterpart here: a test binary that dies without its
// clean-up leaves its workers behind.
func endWithParent() *syscall.SysProcAttr { return nil }
