// Package pgcluster runs private PostgreSQL clusters in temporary directories.
//
// It needs the server programs of PostgreSQL 13 or later, which [Find] locates. A
// cluster ends, and its data is removed, with the process that started it, however that
// process ends.
package pgcluster

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
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// superuser owns the cluster and its databases.
	superuser = "escrowgrid"

	// Generous, because a loaded machine is slow and an idle one never waits
	// this long.
	startTimeout   = 5 * time.Minute
	stopTimeout    = 5 * time.Minute
	commandTimeout = 5 * time.Minute

	// How long the server gets between two attempts to connect while it starts.
	connectInterval = 10 * time.Millisecond
)

// An Option changes how [Start] sets up a cluster.
type Option func(settings map[string]string)

// WithDurability makes commits survive a crash of the machine. By
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

// defaultSettings trade durability for speed: the data of a test need not survive it.
func defaultSettings() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"full_page_writes":   "off",
		"synchronous_commit": "off",
		"max_connections":    "200",
	}
}

// Cluster is a PostgreSQL server with its data. Its methods may be called from
// several goroutines.
type Cluster struct {
	// binDir is the directory of PostgreSQL's server programs.
	binDir string
	// dir is the temporary directory of the data, the log and the socket.
	dir     string
	account *Account
	// settings are parameters of postgresql.conf.
	settings map[string]string
	password string
	// port stays the same over restarts.
	port   int
	reaper *reaper

	mu      sync.Mutex
	process *process // nil while stopped
}

// CreateDatabase creates an empty database and returns its URL. The name must be an SQL
// identifier; options are those of CREATE DATABASE.
func (c *Cluster) CreateDatabase(name, options string) (string, error) {
	err := c.exec("CREATE DATABASE " + name + " TEMPLATE template0 " + options)
	return c.URL(name), err
}

// CopyDatabase creates a database with everything that another one has, and returns its URL. It
// waits until nobody is connected to the other. The names must be SQL identifiers.
func (c *Cluster) CopyDatabase(name, from string) (string, error) {
	const objectInUse = "55006"
	started := time.Now()
	for {
		err := c.exec("CREATE DATABASE " + name + " TEMPLATE " + from)
		var answer *pgconn.PgError
		// PostgreSQL itself waits for some seconds before it answers so.
		if !errors.As(err, &answer) || answer.Code != objectInUse || time.Since(started) > commandTimeout {
			return c.URL(name), err
		}
	}
}

// DropDatabase drops a database and closes connections to it that are still open. If the
// cluster does not run it does nothing: the database is removed with the directory.
func (c *Cluster) DropDatabase(name string) error {
	if !c.running() {
		return nil
	}
	return c.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
}

// Halt ends the server as a crash would: connections break at once, and the next
// start has to recover. If the server does not run it does nothing.
func (c *Cluster) Halt() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halt()
}

// Restart halts the server, unless it is halted already, and starts it again on the
// same port.
func (c *Cluster) Restart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.halt(); err != nil {
		return err
	}
	return c.boot()
}

// LogTail returns the end of the server's log.
func (c *Cluster) LogTail() string { return tail(c.logFile()) }

// Start makes a cluster and starts its server, on a free port of this machine.
func Start(opts ...Option) (_ *Cluster, err error) {
	c := &Cluster{settings: defaultSettings(), password: rand.Text()}
	for _, opt := range opts {
		opt(c.settings)
	}

	if c.binDir, err = Find(); err != nil {
		return nil, err
	}
	if c.account, err = ServerAccount(); err != nil {
		return nil, err
	}

	if c.dir, err = os.MkdirTemp(c.account.TempBase(), "escrowgrid-postgres-"); err != nil {
		return nil, err
	}
	if c.reaper, err = startReaper(c.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if err := c.initialize(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// initialize creates the cluster and starts it on a free port.
func (c *Cluster) initialize() error {
	if err := c.account.Own(c.dir); err != nil {
		return err
	}
	passwordFile := filepath.Join(c.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(c.password), 0o600); err != nil {
		return err
	}
	if err := c.account.Own(passwordFile); err != nil {
		return err
	}

	initdb := c.account.Command(c.dir, filepath.Join(c.binDir, "initdb"),
		"--pgdata="+c.dataDir(), "--no-sync", "--encoding=UTF8", "--locale=C",
		"--username="+superuser, "--auth=scram-sha-256", "--pwfile="+passwordFile)
	// initdb is launched like the server, so that it, too, ends with this process.
	if err := c.launch(initdb); err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	<-c.process.done
	if err := c.process.err; err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, tail(c.logFile()))
	}

	for attempts := 5; ; attempts-- {
		var err error
		if c.port, err = FreePort(); err != nil {
			return err
		}
		err = c.boot()
		// Another process may have taken the port between the choice and the bind.
		if err == nil || attempts == 1 || tryPort(c.port) == nil {
			return err
		}
	}
}

// FreePort picks a port outside the range that systems draw the ports of
// outgoing connections from: nothing else is likely to take it while the server
// is down, not even a client that tries to connect to it again and again.
func FreePort() (int, error) {
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

// errExited says that the server process ended before it accepted connections.
var errExited = errors.New("the server ended while starting")

// boot starts the server process and waits until it accepts connections.
func (c *Cluster) boot() error {
	args := []string{"-D", c.dataDir(), "-k", c.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(c.port)}
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		args = append(args, "-c", name+"="+c.settings[name])
	}
	cmd := c.account.Command(c.dir, filepath.Join(c.binDir, "postgres"), args...)
	if err := c.launch(cmd); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := c.awaitReady(); err != nil {
		err = fmt.Errorf("%w; its log ends:\n%s", err, tail(c.logFile()))
		return errors.Join(err, c.halt())
	}
	return nil
}

// launch starts a program as the server's process. What it prints goes to the
// log.
func (c *Cluster) launch(cmd *exec.Cmd) error {
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	c.process, err = launch(cmd, c.reaper)
	return errors.Join(err, log.Close()) // The program has its own descriptor.
}

// awaitReady waits until the server accepts connections. It returns errExited if the
// process ends first.
func (c *Cluster) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(connectInterval)
	defer ticker.Stop()

	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.process.done:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("the server does not accept connections: %w", err)
		case <-ticker.C:
		}
	}
}

// halt ends the server process at once, if there is one. The caller holds c.mu
// or is the only user of c.
func (c *Cluster) halt() error {
	p := c.process
	if p == nil {
		return nil
	}
	c.process = nil
	if err := p.stop(stopTimeout); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// Close ends the server and removes its directory.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.halt(), c.reaper.run())
}

// running reports whether there is a server process.
func (c *Cluster) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process != nil && !c.process.ended()
}

// exec runs a statement about the whole cluster, in the database that every cluster has.
func (c *Cluster) exec(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// URL returns the URL of a database, for its owner.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (c *Cluster) dataDir() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) logFile() string { return filepath.Join(c.dir, "postgres.log") }
