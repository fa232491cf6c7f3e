package pgcluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// Account is an unprivileged user to run the server as. PostgreSQL refuses to run as root,
// and tests in a container often run as root. A nil Account is the current user.
type Account struct {
	uid, gid uint32
}

// ServerAccount returns nil when the server can run as the current user.
func ServerAccount() (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // No account means that of this process, which is not an error.
	}

	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user id of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("group id of %s: %w", name, err)
		}
		return &Account{uid: uint32(uid), gid: uint32(gid)}, nil
	}

	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

// Own makes the account the owner of a path.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// Command prepares a program to run as the account, without the variables of PostgreSQL.
func (a *Account) Command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:noctx // A shared server outlives the test that starts it.

	// The working directory of the tests may be closed to the account.
	cmd.Dir = dir
	cmd.Env = serverEnv(os.Environ())

	// A group of its own keeps a Ctrl-C in the terminal from ending the server
	// before the tests have closed their connections.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return cmd
}

// serverEnv drops the variables that would point the programs at another cluster or
// change their defaults.
func serverEnv(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "PG") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// TempBase returns a directory for temporary files that the account can reach:
// TMPDIR is often inside a home directory that is closed to others.
func (a *Account) TempBase() string {
	base := os.TempDir()
	if a == nil {
		return base
	}
	for dir := base; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return "/tmp"
		}
		if dir == filepath.Dir(dir) {
			return base
		}
	}
}

// process is a running program of PostgreSQL.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid once done is closed
}

// launch starts a program that ends with this process at the latest.
func launch(cmd *exec.Cmd, r *reaper) (*process, error) {
	subprocess.DieWithParent(cmd.SysProcAttr, syscall.SIGQUIT)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.supervise(r, started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// supervise starts the program and waits for its end. It locks its thread until then,
// because the kernel takes the end of the thread that started a process for the end of
// the parent.
func (p *process) supervise(r *reaper, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	if err := r.watch(p.cmd.Process.Pid); err != nil {
		started <- errors.Join(err, p.cmd.Process.Kill(), p.cmd.Wait())
		return
	}
	started <- nil

	p.err = p.cmd.Wait()
	r.unwatch()
	close(p.done)
}

// stop ends the process at once and waits until it has ended.
func (p *process) stop(timeout time.Duration) error {
	if p.ended() {
		return nil
	}

	// SIGQUIT is PostgreSQL's immediate shutdown. It ends the child processes
	// and releases the shared memory, which SIGKILL would not.
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}

	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(fmt.Errorf("not stopped within %s, killed", timeout), err)
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// reaper is a process that outlives this one. When its standard input is closed, also
// because this process was killed or crashed, it ends the server and removes the
// server's directory.
type reaper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// Each line of the input is the id of the process to end, or empty while there is none.
// The last line counts.
const reaperScript = `
trap '' HUP INT QUIT TERM
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
	tries=100
	while kill -0 "$pid" 2>/dev/null; do
		tries=$((tries - 1))
		if [ "$tries" -eq 0 ]; then
			kill -KILL "$pid"
			break
		fi
		sleep 0.1
	done
fi
rm -rf "$1"
`

// startReaper starts a reaper that removes a directory.
func startReaper(dir string) (*reaper, error) {
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "sh", dir) //nolint:noctx // It ends with its input.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}         // Out of reach of Ctrl-C.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &reaper{cmd: cmd, stdin: stdin}, nil
}

// watch makes a process the one that the reaper ends.
func (r *reaper) watch(pid int) error {
	_, err := fmt.Fprintln(r.stdin, pid)
	return err
}

// unwatch makes the reaper forget a process that has ended: the system may reuse its id.
func (r *reaper) unwatch() {
	_, _ = fmt.Fprintln(r.stdin) // Without a reaper there is nothing to forget.
}

// run has the reaper do its work now and waits for it.
func (r *reaper) run() error {
	return errors.Join(r.stdin.Close(), r.cmd.Wait())
}

// tail returns the end of a log file, for messages.
func tail(path string) string {
	const limit = 4096
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(content[max(0, len(content)-limit):]))
}
