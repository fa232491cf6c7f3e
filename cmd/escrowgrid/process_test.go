package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// process is the program, running. A server is its own client with the root key.
type process struct {
	apitest.Client
	cmd            *exec.Cmd
	stdout, stderr text
	ended          chan struct{} // closed when the process has ended
}

// launch starts the program in an empty directory, with an environment of its own.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return launchCommand(t, exec.Command(binary, args...), env) //nolint:noctx // The test ends it, in its own way.
}

// launchCommand starts a command that becomes the program.
func launchCommand(t *testing.T, command *exec.Cmd, env []string) *process {
	t.Helper()
	p := &process{cmd: command, ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"HOME=" + p.cmd.Dir, "TMPDIR=" + os.TempDir(), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	subprocess.DieWithParent(p.cmd.SysProcAttr, syscall.SIGKILL)
	started := make(chan error)
	go p.supervise(started)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // It may have ended.
		<-p.ended
		if t.Failed() {
			t.Logf("%s: %s, wrote\n%s\n%s", strings.Join(p.cmd.Args[1:], " "), p.cmd.ProcessState, tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// supervise starts the program and waits for its end. It keeps its thread all the
// while, because the kernel takes the thread's end for the parent's.
func (p *process) supervise(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // ProcessState tells how it ended.
		close(p.ended)
	}
}

// call runs the program to its end.
func call(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := launch(t, env, args...)
	code = p.wait(t)
	return code, p.stdout.String(), p.stderr.String()
}

// serve starts a server on a free port and waits until it listens.
func serve(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, append([]string{"PORT=0", "ROOT_API_KEY=" + testRootKey}, env...), append([]string{"serve"}, args...)...)
	p.Client = clientOf(t, p.servedURL(t), testRootKey)
	return p
}

func clientOf(t *testing.T, url, key string) apitest.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	t.Cleanup(transport.CloseIdleConnections)
	return apitest.Client{URL: url, Key: key, HTTP: &http.Client{Transport: transport}}
}

// servedURL waits for the line of the log that tells where the server listens.
func (p *process) servedURL(t *testing.T) (url string) {
	t.Helper()
	p.eventually(t, "the server listens", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			var logged struct{ Msg, URL string }
			if json.Unmarshal([]byte(line), &logged) == nil && logged.Msg == "serving" {
				url = logged.URL
			}
		}
		return url != ""
	})
	return url
}

// try reads a path of a server that may not be able to answer.
func (p *process) try(t *testing.T, path string) apitest.Answer {
	t.Helper()
	return p.Send(t, apitest.Request{Method: http.MethodGet, Path: path, Unreliable: true})
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// patience is until when a test waits for a process: shortly before go test's own -timeout,
// which would not tell what was waited for. No other clock ends a wait, as machines differ, and
// are busy.
func patience(t *testing.T) (until time.Time, bounded bool) {
	t.Helper()
	const toTell = 20 * time.Second
	until, bounded = t.Deadline()
	return until.Add(-toTell), bounded
}

// overdue is a channel that tells of the end of patience.
func overdue(t *testing.T) <-chan time.Time {
	t.Helper()
	until, bounded := patience(t)
	if !bounded {
		return nil
	}
	return time.After(time.Until(until))
}

// wait waits for the end of the process and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-overdue(t):
		t.Fatal("the process does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// end has the process end by a signal, and returns its exit code.
func (p *process) end(t *testing.T, signal os.Signal) int {
	t.Helper()
	// A server that stops waits for connections that may be used again.
	if p.HTTP != nil {
		p.HTTP.CloseIdleConnections()
	}
	p.signal(t, signal)
	return p.wait(t)
}

// eventually waits for a condition that comes about while the process runs.
func (p *process) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	late := overdue(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-p.ended:
			if !holds() {
				t.Fatalf("the process ended before %s", what)
			}
		case <-late:
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// text keeps what a program writes.
type text struct {
	mu      sync.Mutex
	written bytes.Buffer
}

// Write implements io.Writer.
func (w *text) Write(content []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.Write(content)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.String()
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-4000):] }
