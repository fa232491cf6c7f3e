//go:build !linux

package subprocess

import "syscall"

// DieWithParent does nothing where the kernel offers no such thing.
func DieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
