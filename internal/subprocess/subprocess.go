// Package subprocess starts child processes that do not outlive this one.
package subprocess

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts a command to which the kernel sends a signal when this process dies, where
// the kernel can do so. The command gets a process group of its own, so that Ctrl-C in a
// terminal does not reach it; other attributes that it has stay. The channel is closed once
// the command has ended and its ProcessState is set.
func Start(command *exec.Cmd, signal syscall.Signal) (ended <-chan struct{}, err error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = new(syscall.SysProcAttr)
	}
	command.SysProcAttr.Setpgid = true
	DieWithParent(command.SysProcAttr, signal)

	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel sends the signal when this thread ends, even if the process lives on.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()

		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // ProcessState says how it ended.
		}
		close(done)
	}()

	return done, <-started
}
