//go:build !linux

package pgtest

import "syscall"

// DieWithParent does nothing where the kernel offers no such thing: there the
// reaper alone ends the server of a killed process.
func DieWithParent(*syscall.SysProcAttr, syscall.Signal) {}
