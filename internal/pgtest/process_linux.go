package pgtest

import "syscall"

// dieWithParent has the kernel end the server when the thread that started it
// ends, which no kill of this process can prevent.
func dieWithParent(attr *syscall.SysProcAttr) {
	attr.Pdeathsig = syscall.SIGQUIT
}
