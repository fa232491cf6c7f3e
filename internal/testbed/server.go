// Package testbed runs servers for load tests and benchmarks and creates institutions on
// them.
package testbed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// Server is a server under load: a private process of the test, or a server that runs
// elsewhere.
type Server struct {
	apiclient.Client
	RootKey string
	// Version and Store are what the server reported when it was found ready.
	Version, Store string
	// program is the private server's process; nil for a server that runs elsewhere. The
	// channel ended is closed when it has ended.
	program *exec.Cmd
	ended   <-chan struct{}
	log     *os.File
	// temporary is the directory that Close removes, or "".
	temporary string
}

// Options configure a private server.
type Options struct {
	// Executable is the path of the server's program.
	Executable string
	// Database is its URL; "" is an SQLite file that Close removes.
	Database string
	// Keep has Close leave that file.
	Keep bool
	// Environment holds further variables for the server, as NAME=VALUE.
	Environment []string
	// Log is the path of the file for the server's log.
	Log string
	// Progress receives progress messages, one a line.
	Progress io.Writer
}

// Attach returns the server that already runs where a client calls it. It is an error if that server is
// not ready.
func Attach(ctx context.Context, client apiclient.Client, rootKey string) (*Server, error) {
	s := &Server{Client: client, RootKey: rootKey}
	if err := s.checkReady(ctx); err != nil {
		return nil, fmt.Errorf("the target %s does not answer: %w", client.URL, err)
	}
	return s, nil
}

// Start starts a private server on a free port of this machine and waits until it is
// ready. The server migrates its database first.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := start(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("start a private server: %w", err)
	}
	return s, nil
}

// start starts a private server. On an error it leaves neither a process nor files, except
// for the log.
func start(ctx context.Context, options Options) (_ *Server, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}

	// The HTTP client has no timeout: the server bounds its requests itself.
	client := apiclient.Client{URL: "http://" + address, HTTP: new(http.Client)}
	s := &Server{Client: client, RootKey: "test-" + rand.Text() + rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()

	database := options.Database
	if database == "" {
		if s.temporary, err = os.MkdirTemp("", "escrowgrid-"); err != nil {
			return nil, err
		}
		database = "sqlite:" + filepath.Join(s.temporary, "escrowgrid.db")
		if options.Keep {
			fmt.Fprintf(options.Progress, "the database is kept: %s\n", database)
			s.temporary = ""
		}
	}

	// The server's log must not mix with the output of the test.
	if s.log, err = os.Create(options.Log); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}

	s.program = exec.Command(options.Executable, "serve", "--migrate") //nolint:gosec,noctx // This program; Close ends it.
	// Later variables win, so those of the options can replace these.
	s.program.Env = slices.Concat(os.Environ(), []string{
		"DATABASE_URL=" + database,
		"ROOT_API_KEY=" + s.RootKey,
		"HOST=" + host,
		"PORT=" + port,
		"LOG_LEVEL=warn",
		"LOG_FORMAT=json",
	}, options.Environment)
	s.program.Stdout, s.program.Stderr = s.log, s.log
	// Ctrl-C in a terminal must not reach the server: it outlives the load.
	if s.ended, err = subprocess.Start(s.program, syscall.SIGTERM); err != nil {
		s.program = nil
		return nil, err
	}
	err = s.awaitReady(ctx, options.Log)
	return s, err
}

// freeAddress returns an address on which nobody listens. Another process could take it
// before the server does; the server then ends, which is reported.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// startTimeout bounds the start of a private server. It may have to migrate a PostgreSQL
// database first, on a busy machine. A server that ends is reported at once.
const startTimeout = 5 * time.Minute

// awaitReady waits until the server is ready.
func (s *Server) awaitReady(ctx context.Context, logPath string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	for {
		err := s.checkReady(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended: %s", lastLine(logPath))
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w; its log is %s", err, logPath)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastLine returns the last line of a log, which says why a server ended.
func lastLine(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // The log of our own server.
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

// checkReady returns an error unless the server is ready, and notes its version and store.
func (s *Server) checkReady(ctx context.Context) error {
	// /ready says whether the server is ready, /health also tells the version and the store.
	for _, path := range []string{"/ready", "/health"} {
		var answer struct{ Version, Store string }
		if err := s.GetOnce(ctx, s.RootKey, path, &answer); err != nil {
			return err
		}
		s.Version, s.Store = answer.Version, answer.Store
	}
	return nil
}

// Private reports whether the server is a process of this test.
func (s *Server) Private() bool { return s.program != nil }

// Ended is closed once a private server has ended. It is nil, and so never closed, for a server
// that runs elsewhere.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// HowEnded says how a private server ended, like "by signal killed" or "with exit code 1". It is
// only valid once Ended is closed.
func (s *Server) HowEnded() string {
	if status, ok := s.program.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "by signal " + status.Signal().String()
	}
	return fmt.Sprintf("with exit code %d", s.program.ProcessState.ExitCode())
}

// stopTimeout bounds how long a private server may take to shut down.
const stopTimeout = 5 * time.Minute

// Close stops a private server, waits for its end and removes its temporary database. It
// does nothing to a server that runs elsewhere.
func (s *Server) Close() error {
	var errs []error
	if s.program != nil {
		s.HTTP.CloseIdleConnections()                 // The server would wait for them.
		_ = s.program.Process.Signal(syscall.SIGTERM) // It may have ended.
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			errs = append(errs, errors.New("the private server did not shut down"), s.program.Process.Kill())
			<-s.ended
		}
	}

	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.temporary != "" {
		errs = append(errs, os.RemoveAll(s.temporary))
	}
	return errors.Join(errs...)
}
