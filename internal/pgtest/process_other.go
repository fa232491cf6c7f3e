//go:build !linux

package pgtest

import "syscall"

// dieWithParent does nothing where the kernel offers no such thing: there the
// reaper alone ends the server of a killed process.
func dieWithParent(*syscall.SysProcAttr) {}
