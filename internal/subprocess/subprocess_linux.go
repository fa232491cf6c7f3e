package subprocess

import "syscall"

// DieWithParent has the kernel send a process a signal when the thread that started it
// ends, even if this process is killed. Whoever starts the process must lock the thread
// until the process has ended.
func DieWithParent(attr *syscall.SysProcAttr, signal syscall.Signal) {
	attr.Pdeathsig = signal
}
