package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apitest"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/pgtest"
)

// testRootKey is the operator's, where a test chooses it.
const testRootKey = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	directory, err := os.MkdirTemp("", "escrowgrid-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	binary = filepath.Join(directory, "escrowgrid")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return pgtest.Run(m)
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

// process is the program, running.
type process struct {
	apitest.Client
	cmd            *exec.Cmd
	stdout, stderr text
	ended          chan struct{} // closed when the process has ended
}

// launch starts the program with an environment of its own.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})} //nolint:noctx // The test ends it, in its own way.
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells how it ended.
		close(p.ended)
	}()
	t.Cleanup(func() {
		if p.cmd.Process.Kill() == nil {
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s wrote\n%s\n%s", strings.Join(args, " "), tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-4000):] }

// serve starts a server on a free port and waits until it listens. As a client it
// acts with the root key that tests choose.
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
	eventually(t, "the server listens", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("it ended: %s\n%s", p.cmd.ProcessState, p.stderr.String())
		default:
		}
		url = urlIn(p.stderr.String())
		return url != ""
	})
	return url
}

// urlIn finds the URL of a server in its log.
func urlIn(log string) string {
	for line := range strings.Lines(log) {
		var logged struct{ Msg, URL string }
		if json.Unmarshal([]byte(line), &logged) == nil && logged.Msg == "serving" {
			return logged.URL
		}
	}
	return ""
}

func (p *process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end of the process and returns its exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("the process does not end: %s", p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("it never came about that %s", what)
		case <-tick.C:
		}
	}
}

// variables are those that the program reads.
var variables = []string{
	"PORT", "HOST", "DATABASE_URL", "DATABASE_CONNECTIONS", "ROOT_API_KEY", "ROOT_API_KEY_ALLOWED_IPS", "TRUSTED_PROXIES", "METRICS_API_KEY", "PUBLIC_DOCS_ENABLED",
	"CORS_ALLOWED_ORIGINS", "RATE_LIMIT_ENABLED", "RATE_LIMIT_RPS", "RATE_LIMIT_BURST", "REQUEST_TIMEOUT", "SHUTDOWN_TIMEOUT", "QUEUE_SIZE", "BATCH_SIZE",
	"EXPIRY_INTERVAL", "LOG_LEVEL", "LOG_FORMAT",
}

// call runs the program in this process, in an empty directory, with nothing but
// these variables set.
func call(ctx context.Context, t *testing.T, env []string, args ...string) (code int, stdout, stderr *text) {
	t.Helper()
	for _, name := range variables {
		t.Setenv(name, "") // Has it restored when the test ends.
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir())
	stdout, stderr = &text{}, &text{}
	return run(ctx, args, stdout, stderr), stdout, stderr
}

func TestHelpTeaches(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"-h"}} {
		code, stdout, stderr := call(t.Context(), t, nil, args...)
		if code != 0 || stderr.String() != "" {
			t.Errorf("%v ends with %d and %s", args, code, stderr)
		}
		for _, word := range []string{"serve", "migrate", "demo", "openapi", "version", "DATABASE_URL", "Exit codes"} {
			if !strings.Contains(stdout.String(), word) {
				t.Errorf("%v does not tell of %s", args, word)
			}
		}
		if !strings.Contains(stdout.String(), "escrowgrid demo\n") {
			t.Errorf("%v runs its examples together: %s", args, stdout)
		}
	}
	code, stdout, _ := call(t.Context(), t, []string{"ROOT_API_KEY=" + testRootKey, "METRICS_API_KEY=" + testRootKey, "DATABASE_URL=postgres://u:hidden@h/d"}, "serve", "--help")
	for _, name := range variables {
		if !strings.Contains(stdout.String(), "$"+name+")") {
			t.Errorf("serve --help does not tell of %s", name)
		}
	}
	if code != 0 || strings.Contains(stdout.String(), testRootKey) || strings.Contains(stdout.String(), "hidden") {
		t.Errorf("serve --help ends with %d and tells a secret", code)
	}
}

func TestWhatTheProgramPrints(t *testing.T) {
	code, stdout, _ := call(t.Context(), t, nil, "version")
	if code != 0 || !strings.HasPrefix(stdout.String(), "escrowgrid ") || strings.Count(stdout.String(), "\n") != 1 {
		t.Errorf("version ends with %d and prints %q", code, stdout)
	}
	want, err := httpapi.Specification()
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := call(t.Context(), t, nil, "openapi"); code != 0 || strings.TrimSpace(stdout.String()) != string(want) {
		t.Errorf("openapi ends with %d and prints something else than the document", code)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--nonsense"}, {"nonsense"}, {"serve", "--nonsense"}, {"serve", "nonsense"}, {"version", "--port=1"}, {"migrate", "--root-api-key=" + testRootKey},
		{"serve", "--root-api-kye=" + testRootKey}, {"serve", "--port"}, {"serve", testRootKey},
	} {
		code, stdout, stderr := call(t.Context(), t, nil, args...)
		if code != exitUsage || stdout.String() != "" || !strings.HasPrefix(stderr.String(), "escrowgrid: ") || !strings.Contains(stderr.String(), "--help") {
			t.Errorf("%v ends with %d, %q and %q", args, code, stdout, stderr)
		}
		if strings.Contains(stderr.String(), testRootKey) && !slices.Equal(args, []string{"serve", testRootKey}) {
			t.Errorf("%v tells a secret: %s", args, stderr)
		}
	}
	// The same of the real program.
	if p := launch(t, nil, "nonsense"); p.wait(t) != exitUsage {
		t.Errorf("the program ends with %s", p.cmd.ProcessState)
	}
}

// The whole program in this process: what the tests with real processes show too,
// but for the signals.
func TestRunUntilTheContextEnds(t *testing.T) {
	for name, databaseURL := range map[string]string{"sqlite": "sqlite:e.db", "memory": "sqlite::memory:", "postgres": pgtest.Shared(t).NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"serve", "demo"} {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				env := []string{"PORT=0", "ROOT_API_KEY=" + testRootKey, "LOG_LEVEL=info", "DATABASE_URL=" + databaseURL}
				args := []string{command}
				if command == "serve" {
					args = append(args, "--migrate")
				}
				// The context ends once the server has answered.
				watched := &watchedText{seen: make(chan string, 1)}
				if command == "demo" {
					watched.until = "Serving until Ctrl-C."
				}
				ended := make(chan error, 1)
				go func() {
					defer stop()
					health, err := clientOf(t, <-watched.seen, "").Try(ctx, apitest.Request{Method: http.MethodGet, Path: "/health"})
					if err == nil && health.Status != http.StatusOK {
						err = errors.New(health.String())
					}
					ended <- err
				}()
				_, _, _ = call(ctx, t, env, "version") // Sets the environment.
				if code := run(ctx, args, watched, watched); code != exitOK {
					t.Errorf("%s ends with %d: %s", command, code, watched)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// watchedText tells the URL of a server when it is written, and whatever else it is
// to wait for.
type watchedText struct {
	text
	until string
	seen  chan string
	once sync.Once
}

// Write implements io.Writer.
func (w *watchedText) Write(content []byte) (int, error) {
	written, err := w.text.Write(content)
	if url := urlIn(w.String()); url != "" && strings.Contains(w.String(), w.until) {
		w.once.Do(func() { w.seen <- url })
	}
	return written, err
}
