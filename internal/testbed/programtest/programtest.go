// Package programtest runs built programs in tests: this module's own, and those that it
// works with. It is for packages two folders below the root, like the modules below e2e,
// which test this module from outside.
package programtest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// root is this module's directory, relative to those of the tests.
const root = "../.."

// built is the directory of the programs that Run has built.
var built string

// Run builds this module's program, runs the tests, and returns the exit code. It is for a
// TestMain. Each element of more holds the arguments of a further go build, which runs in
// this module's root. Where go test measures coverage, it adds up what the programs leave in
// the directory GOCOVERDIR.
func Run(m *testing.M, more ...[]string) int {
	var err error
	if built, err = os.MkdirTemp("", "escrowgrid-test"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(built) }() // It is in a temporary place.

	build := []string{"build", "-o", built}
	if testing.CoverMode() != "" {
		build = append(build, "-cover", "-coverpkg=github.com/escrowgrid/escrowgrid/...")
	}
	for _, what := range append(more, []string{"./cmd/escrowgrid"}) {
		arguments := slices.Concat(build, what)
		build := exec.Command("go", arguments...) //nolint:gosec,noctx // The tests say what.
		build.Dir = root
		if output, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go %s: %v\n%s", strings.Join(arguments, " "), err, output)
			return 1
		}
	}

	return pgtest.Run(m)
}

// Path returns the path of a program that Run has built.
func Path(name string) string { return filepath.Join(built, name) }

// Program returns the path of this module's program.
func Program() string { return Path("escrowgrid") }

// patience bounds each wait. A condition that takes a healthy machine seconds may take a
// busy one minutes.
const patience = 10 * time.Minute

// Eventually waits until a condition holds. The test fails if it does not within ten
// minutes.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()

	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			tb.Fatalf("after %s it does not hold that %s", patience, what)
		}
	}
}

// Answers waits until a GET of a URL is answered with 200.
func Answers(tb testing.TB, url string) {
	tb.Helper()
	Eventually(tb, url+" is answered with 200", func() bool {
		request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			tb.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// given holds the addresses that FreeAddress has returned.
var given sync.Map

// FreeAddress returns an address of this machine on which nobody listens. It returns each
// address once, while the system may offer an unused one again.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	for {
		listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}

		address := listener.Addr().String()
		if err := listener.Close(); err != nil {
			tb.Fatal(err)
		}
		if _, before := given.LoadOrStore(address, true); !before {
			return address
		}
	}
}

// Process is a running program. It ends with the test at the latest.
type Process struct {
	cmd *exec.Cmd
	// ended is closed when the program has ended.
	ended <-chan struct{}

	// mu guards log, which the program writes while the test reads it.
	mu  sync.Mutex
	log bytes.Buffer
}

// Write appends to the program's log.
func (p *Process) Write(content []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(content)
}

// Log returns what the program has written to standard output and standard error.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Start starts a program. Its environment is env, a HOME of its own, and where its coverage
// goes, nothing else.
func Start(tb testing.TB, env []string, name string, args ...string) *Process {
	tb.Helper()
	p := &Process{cmd: exec.Command(name, args...)} //nolint:gosec,noctx // The test says what and ends it.
	p.cmd.Env = append([]string{"HOME=" + tb.TempDir(), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	var err error
	if p.ended, err = subprocess.Start(p.cmd, syscall.SIGKILL); err != nil {
		tb.Fatalf("%v: is %s installed?", err, name)
	}

	tb.Cleanup(func() {
		_ = p.cmd.Process.Kill() // It may have ended.
		<-p.ended
		if tb.Failed() {
			log := p.Log()
			tb.Logf("the errors in the log of %s:\n%s\nits end:\n%s", name, errorsIn(log), log[max(0, len(log)-4000):])
		}
	})
	return p
}

// errorsIn returns the first errors that a log in JSON tells.
func errorsIn(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool {
		return !strings.Contains(line, `"level":"ERROR"`)
	})
	return strings.Join(lines[:min(len(lines), 10)], "\n")
}

// Terminate sends the program SIGTERM, as an operator does, and does not wait.
func (p *Process) Terminate() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
}

// Stop terminates the program, waits for its end and returns its exit code.
func (p *Process) Stop() int {
	p.Terminate()
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Server is a running server of this module's program.
type Server struct {
	*Process
	URL string
}

// The keys of the servers that Serve starts.
const (
	RootKey    = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"
	MetricsKey = "metrics-key-0123456789abcdefghijklmnopqrstuvwxyz"
)

// servesAt finds the server's URL in its log, which has the port that the system chose.
var servesAt = regexp.MustCompile(`"msg":"serving","url":"([^"]+)"`)

// Serve starts a server, which migrates its database, and waits until it serves. It
// listens on a free port unless env sets PORT.
func Serve(tb testing.TB, databaseURL string, env ...string) *Server {
	tb.Helper()
	env = append([]string{
		"DATABASE_URL=" + databaseURL,
		"PORT=0",
		"ROOT_API_KEY=" + RootKey,
		"METRICS_API_KEY=" + MetricsKey,
	}, env...)
	s := &Server{Process: Start(tb, env, Program(), "serve", "--migrate")}
	Eventually(tb, "the server serves", func() bool { return servesAt.MatchString(s.Log()) })
	s.URL = servesAt.FindStringSubmatch(s.Log())[1]
	return s
}
