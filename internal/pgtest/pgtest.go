// Package pgtest gives tests a real PostgreSQL: a private cluster in a
// temporary directory that is gone when the tests end.
//
// Most tests share one server per test process and take a database of their
// own from it:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
//
//	func TestX(t *testing.T) {
//		url := pgtest.Shared(t).NewDatabase(t)
//		…
//	}
//
// A test that stops or restarts PostgreSQL takes a server of its own from
// [Start].
//
// The package needs the server programs of PostgreSQL 13 or later, which
// [Find] locates. Tests fail, and are never skipped, when there are none.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "pgtest"

	// Generous, because a loaded machine is slow and a good one never waits
	// this long.
	startTimeout   = 60 * time.Second
	stopTimeout    = 30 * time.Second
	commandTimeout = 60 * time.Second

	// How long the server gets between two attempts to connect while it starts.
	connectInterval = 10 * time.Millisecond
)

// An Option changes how [Start] sets a server up.
type Option func(settings map[string]string)

// WithDurability makes commits survive [Server.Stop] and [Server.Restart]. By
// default the server trades that for speed: it may lose the last commits, as it
// acknowledges them before they are written.
func WithDurability() Option {
	return func(settings map[string]string) {
		settings["fsync"] = "on"
		settings["full_page_writes"] = "on"
		settings["synchronous_commit"] = "on"
	}
}

// WithSetting sets a parameter of postgresql.conf.
func WithSetting(name, value string) Option {
	return func(settings map[string]string) { settings[name] = value }
}

func defaultSettings() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"full_page_writes":   "off",
		"synchronous_commit": "off",
		"max_connections":    "200",
	}
}

// Server is a PostgreSQL cluster for tests. Its methods may be called from
// several goroutines.
type Server struct {
	binDir   string
	dir      string
	account  *account
	settings map[string]string
	password string
	port     int
	reaper   *reaper

	mu        sync.Mutex
	process   *process // nil while stopped
	databases int      // created so far, to name the next one
}

// Start starts a server for one test, which is removed when the test ends.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, err := start(opts)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("pgtest: end of the server's log:\n%s", tail(s.logFile()))
		}
		if err := s.close(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return s
}

var (
	sharedOnce sync.Once
	shared     *Server
	errShared  error
)

// Shared returns the server that the tests of a process share, starting it at
// the first call. Tests must not stop it. [Run] removes it after the tests.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	sharedOnce.Do(func() { shared, errShared = start(nil) })
	if errShared != nil {
		tb.Fatalf("pgtest: %v", errShared)
	}
	return shared
}

// Run runs the tests, removes the shared server, and returns the exit code. It
// is for a TestMain.
func Run(m *testing.M) int {
	code := m.Run()
	// Claim the start, so that a straggling goroutine cannot start one now.
	sharedOnce.Do(func() { errShared = errors.New("the tests have ended") })
	if shared == nil {
		return code
	}
	if err := shared.close(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		return max(code, 1)
	}
	return code
}

// NewDatabase creates an empty database and returns its URL. The database is
// dropped when the test ends, along with connections that are still open.
func (s *Server) NewDatabase(tb testing.TB) string {
	tb.Helper()
	s.mu.Lock()
	s.databases++
	name := "test_" + strconv.Itoa(s.databases)
	s.mu.Unlock()

	if err := s.exec("CREATE DATABASE " + name + " TEMPLATE template0"); err != nil {
		tb.Fatalf("pgtest: create database: %v", err)
	}
	tb.Cleanup(func() {
		if !s.running() {
			return // The database goes with the server's directory.
		}
		if err := s.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("pgtest: drop database: %v", err)
		}
	})
	return s.url(name)
}

// Stop ends the server as a crash would: connections break at once, and the
// next start has to recover. Stopping a stopped server does nothing.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.halt(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}

// Restart stops the server as [Server.Stop] does, unless it is stopped already,
// and starts it again on the same port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.halt(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	if err := s.boot(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}

func start(opts []Option) (_ *Server, err error) {
	s := &Server{settings: defaultSettings(), password: rand.Text()}
	for _, opt := range opts {
		opt(s.settings)
	}
	if s.binDir, err = Find(); err != nil {
		return nil, err
	}
	if s.account, err = serverAccount(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(tempBase(s.account), "escrowgrid-pgtest-"); err != nil {
		return nil, err
	}
	if s.reaper, err = startReaper(s.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.initialize(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// initialize creates the cluster and starts it on a free port.
func (s *Server) initialize() error {
	if err := s.account.own(s.dir); err != nil {
		return err
	}
	passwordFile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o600); err != nil {
		return err
	}
	if err := s.account.own(passwordFile); err != nil {
		return err
	}
	initdb := s.account.command(s.dir, filepath.Join(s.binDir, "initdb"),
		"--pgdata="+s.dataDir(), "--no-sync", "--encoding=UTF8", "--locale=C",
		"--username="+superuser, "--auth=scram-sha-256", "--pwfile="+passwordFile)
	if err := s.launch(initdb); err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	<-s.process.done
	if err := s.process.err; err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(s.logFile()))
	}

	for attempts := 5; ; attempts-- {
		var err error
		if s.port, err = freePort(); err != nil {
			return err
		}
		err = s.boot()
		// Another process may have taken the port between the choice and the bind.
		if err == nil || attempts == 1 || tryPort(s.port) == nil {
			return err
		}
	}
}

// freePort picks a port outside the range that systems draw the ports of
// outgoing connections from: nothing else is likely to take it while the server
// is down, not even a client that tries to connect to it again and again.
func freePort() (int, error) {
	const first, last = 15000, 32000
	var err error
	for range 100 {
		port := first + mathrand.IntN(last-first)
		if err = tryPort(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// tryPort returns an error if the server could not listen on port.
func tryPort(port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", address)
	if err != nil {
		return err
	}
	return listener.Close()
}

var errExited = errors.New("the server ended while starting")

// boot starts the server process and waits until it accepts connections.
func (s *Server) boot() error {
	args := []string{"-D", s.dataDir(), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		args = append(args, "-c", name+"="+s.settings[name])
	}
	cmd := s.account.command(s.dir, filepath.Join(s.binDir, "postgres"), args...)
	if err := s.launch(cmd); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := s.awaitReady(); err != nil {
		err = fmt.Errorf("%w; its log ends:\n%s", err, tail(s.logFile()))
		return errors.Join(err, s.halt())
	}
	return nil
}

// launch starts a program as the server's process. What it prints goes to the
// log.
func (s *Server) launch(cmd *exec.Cmd) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	s.process, err = launch(cmd, s.reaper)
	return errors.Join(err, log.Close()) // The program has its own descriptor.
}

func (s *Server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(connectInterval)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.process.done:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("the server does not accept connections: %w", err)
		case <-ticker.C:
		}
	}
}

// halt ends the server process at once, if there is one. The caller holds s.mu
// or is the only user of s.
func (s *Server) halt() error {
	p := s.process
	if p == nil {
		return nil
	}
	s.process = nil
	if err := p.stop(stopTimeout); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// close ends the server and removes its directory.
func (s *Server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.halt(), s.reaper.run())
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.process.ended()
}

// exec runs a statement that needs the whole cluster, in the database that every
// cluster has.
func (s *Server) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "postgres.log") }
