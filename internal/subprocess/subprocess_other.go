//go:build !linux

package subprocess

import "syscall"

// DieWithParent does nothing where the kernel cannot send such a signal.
func DieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
