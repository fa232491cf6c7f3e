// Package testbed runs servers for load tests and benchmarks, and makes
// institutions on them.
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

// Server is what load goes to: a private process of the test, or one that somebody
// else runs.
type Server struct {
	apiclient.Client
	RootKey string
	// Version and Store are what the server says of itself.
	Version, Store string
	// program is the private server; nil for another. Ended is closed when it has.
	program *exec.Cmd
	ended   <-chan struct{}
	log     *os.File
	// data is a private server's directory, "" where it is to be kept.
	data string
}

// Options say how a private server is started.
type Options struct {
	// Executable is the program that is started as a server.
	Executable string
	// Database is its URL; "" is an SQLite file that goes with the server.
	Database string
	// Keep leaves that file.
	Keep bool
	// Environment is what else the server is to know, as NAME=VALUE.
	Environment []string
	// Log is the file that takes what the server says.
	Log string
	// Progress takes what is said on the way, line by line.
	Progress io.Writer
}

// Attach looks for a server that somebody else runs.
func Attach(ctx context.Context, url, rootKey string) (*Server, error) {
	s := &Server{Client: apiclient.New(strings.TrimRight(url, "/")), RootKey: rootKey}
	if err := s.ask(ctx); err != nil {
		return nil, fmt.Errorf("the target %s does not answer: %w", url, err)
	}
	return s, nil
}

// Start starts a private server on a free port of this machine, on a database that
// is migrated where need be, and waits until it is ready.
func Start(ctx context.Context, options Options) (*Server, error) {
	s, err := start(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("start a private server: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, options Options) (_ *Server, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	// It bounds its requests itself.
	client := apiclient.Client{URL: "http://" + address, HTTP: new(http.Client)}
	s := &Server{Client: client, RootKey: "test-" + rand.Text() + rand.Text()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	database := options.Database
	if database == "" {
		if s.data, err = os.MkdirTemp("", "escrowgrid-"); err != nil {
			return nil, err
		}
		database = "sqlite:" + filepath.Join(s.data, "escrowgrid.db")
		if options.Keep {
			fmt.Fprintf(options.Progress, "the database is kept: %s\n", database)
			s.data = ""
		}
	}
	if s.log, err = os.Create(options.Log); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	s.program = exec.Command(options.Executable, "serve", "--migrate") //nolint:gosec,noctx // This program; Close ends it.
	s.program.Env = slices.Concat(os.Environ(), []string{
		"DATABASE_URL=" + database, "ROOT_API_KEY=" + s.RootKey, "HOST=" + host, "PORT=" + port, "LOG_LEVEL=warn", "LOG_FORMAT=json",
	}, options.Environment)
	s.program.Stdout, s.program.Stderr = s.log, s.log
	// Ctrl-C in a terminal must not reach it: it outlives the load.
	if s.ended, err = subprocess.Start(s.program, syscall.SIGTERM); err != nil {
		s.program = nil
		return nil, err
	}
	err = s.await(ctx, options.Log)
	return s, err
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// startTimeout bounds the start of a private server: a PostgreSQL database may
// have to be migrated first, on a machine that is busy. One that ends is told at once.
const startTimeout = 5 * time.Minute

// await waits until the server can serve.
func (s *Server) await(ctx context.Context, logPath string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.ask(ctx)
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

func lastLine(path string) string {
	content, err := os.ReadFile(path) //nolint:gosec // The log of our own server.
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

// ask asks the server whether it is ready, and who it is.
func (s *Server) ask(ctx context.Context) error {
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

// stopTimeout bounds how long a private server is given to finish.
const stopTimeout = 5 * time.Minute

// Close ends a private server and removes its data.
func (s *Server) Close() error {
	var errs []error
	if s.program != nil {
		_ = s.program.Process.Signal(syscall.SIGTERM) // It may have ended.
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			errs = append(errs, errors.New("the private server did not end by itself"), s.program.Process.Kill())
			<-s.ended
		}
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.data != "" {
		errs = append(errs, os.RemoveAll(s.data))
	}
	return errors.Join(errs...)
}
