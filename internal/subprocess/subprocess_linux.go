package subprocess

import "syscall"

// DieWithParent has the kernel send a process a signal when the thread that
// started it ends, which no kill of this process can prevent. Whoever starts the
// process keeps the thread until then.
func DieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) {
	attr.Pdeathsig = signal
}
