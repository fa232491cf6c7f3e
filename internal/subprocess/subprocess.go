// Package subprocess starts child processes that do not outlive this one.
package subprocess

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts a command that the kernel sends a signal, where it can, when this
// process dies. It is in a process group of its own, so that Ctrl-C in a terminal
// does not reach it. The channel is closed when it has ended and been waited for.
func Start(command *exec.Cmd, signal syscall.Signal) (ended <-chan struct{}, err error) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	DieWithParent(command.SysProcAttr, signal)
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel takes the end of the thread for that of the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // ProcessState tells how it ended.
		}
		close(done)
	}()
	return done, <-started
}
