package pgcluster

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childVariable makes the test binary a process that starts a cluster and then waits to
// be killed.
const childVariable = "PGCLUSTER_CHILD"

// open starts a cluster for a test.
func open(t *testing.T, options ...Option) *Cluster {
	t.Helper()
	c, err := Start(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// create creates a database and returns its URL.
func create(t *testing.T, c *Cluster) string {
	t.Helper()
	databaseURL, err := c.CreateDatabase("made", "")
	if err != nil {
		t.Fatal(err)
	}
	return databaseURL
}

func halt(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Halt(); err != nil {
		t.Fatal(err)
	}
}

func restart(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	c := open(t, WithSetting("max_connections", "17"))
	conn := connect(t, create(t, c))

	for name, want := range map[string]string{
		"fsync":              "off",
		"full_page_writes":   "off",
		"synchronous_commit": "off",
		"max_connections":    "17",
		"listen_addresses":   "127.0.0.1",
		"server_encoding":    "UTF8",
	} {
		if got := query(t, conn, "SELECT current_setting($1)", name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestStartOnUnixSocket(t *testing.T) {
	c := open(t)
	u, err := url.Parse(create(t, c))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", c.dir)
	q.Set("port", u.Port())
	u.Host, u.RawQuery = "", q.Encode()

	conn := connect(t, u.String())
	if got := query(t, conn, "SELECT coalesce(host(inet_client_addr()), 'socket')"); got != "socket" {
		t.Errorf("connected from %s, want the socket", got)
	}
}

func TestRestart(t *testing.T) {
	c := open(t, WithDurability())
	u := create(t, c)
	conn := connect(t, u)

	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := query(t, conn, "SELECT current_setting($1)", name); got != "on" {
			t.Errorf("%s = %s, want on", name, got)
		}
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'committed' AS word"); err != nil {
		t.Fatal(err)
	}
	before := c.process

	restart(t, c)

	if !before.ended() {
		t.Error("the server before the restart is still running")
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection survived the restart")
	}

	// The URL, and with it the port, is the same.
	if got := query(t, connect(t, u), "SELECT word FROM kept"); got != "committed" {
		t.Errorf("read %q after the restart", got)
	}
}

func TestStop(t *testing.T) {
	c := open(t)
	u := create(t, c)
	pid := c.process.cmd.Process.Pid

	halt(t, c)

	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("signal to process %d: %v, want %v", pid, err, syscall.ESRCH)
	}
	if conn, err := pgx.Connect(t.Context(), u); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a stopped server accepts connections")
	}

	halt(t, c)
	restart(t, c)
	query(t, connect(t, u), "SELECT 'up'")
	halt(t, c)

	if err := c.DropDatabase("made"); err != nil {
		t.Errorf("drop a database of a halted server: %v", err)
	}
}

// TestChild is not a test of its own but the process that TestKilledProcessLeavesNothing
// kills.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		return
	}
	c := open(t)
	if _, err := fmt.Fprintln(os.Stdout, c.dir, c.port); err != nil {
		t.Fatal(err)
	}
	select {}
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), executable, "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childVariable+"=1")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the child printed %q: %v", line, err)
	}
	dir, port, _ := strings.Cut(strings.TrimSpace(line), " ")

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // The error says that it was killed.

	eventually(t, "the server's directory is gone", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, os.ErrNotExist)
	})
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := tryPort(number); err != nil {
		t.Errorf("the server still listens: %v", err)
	}
}

func TestStartFailureShowsTheLog(t *testing.T) {
	_, err := Start(WithSetting("max_connections", "many"))
	if err == nil {
		t.Fatal("started with an invalid setting")
	}

	// Another attempt is of no use when the port is free.
	attempts := strings.Count(err.Error(), `parameter "max_connections"`)
	if !errors.Is(err, errExited) || attempts != 1 {
		t.Errorf("the log of %d attempts, want 1: %v", attempts, err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	place := func(name string) string {
		dir := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(dir, program), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	nine, ten, bare := place("postgresql/9.6/bin"), place("postgresql/10/bin"), place("src/bin")
	places := []string{bare, filepath.Join(root, "postgresql", "*", "bin")}

	// A directory of client programs alone, with a link to the server program.
	onPath := filepath.Join(root, "path")
	if err := os.Mkdir(onPath, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(nine, "postgres"), filepath.Join(onPath, "postgres")); err != nil {
		t.Fatal(err)
	}

	for name, test := range map[string]struct {
		explicit, path string
		places         []string
		want           string
	}{
		"explicit":          {explicit: nine, path: ten, places: places, want: nine},
		"on PATH":           {path: bare, places: places, want: bare},
		"link on PATH":      {path: onPath, places: places, want: nine},
		"newest in a place": {path: root, places: places, want: ten},
		"without a version": {path: root, places: places[:1], want: bare},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			got, err := find(test.explicit, test.places)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}

	for name, explicit := range map[string]string{"nowhere": "", "not where it should be": root} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", root)
			got, err := find(explicit, nil)
			if err == nil || !strings.Contains(err.Error(), "scripts/test") {
				t.Errorf("got %q, %v; want an error that names scripts/test", got, err)
			}
		})
	}
}

func TestFindProgram(t *testing.T) {
	if path, err := FindProgram("pgbench"); err != nil || filepath.Base(path) != "pgbench" {
		t.Errorf("pgbench is %q, %v", path, err)
	}

	directory := t.TempDir()
	own := filepath.Join(directory, "pgbench")
	if err := os.WriteFile(own, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	t.Setenv("POSTGRES_BIN", directory)
	if path, err := FindProgram("pgbench"); err != nil || path != own {
		t.Errorf("pgbench is %q, %v; want that of POSTGRES_BIN", path, err)
	}
	if path, err := FindProgram("pgnonsense"); err == nil {
		t.Errorf("found %q", path)
	}
}

// The script that installs PostgreSQL must find it where the tests do.
func TestScriptKnowsThePlaces(t *testing.T) {
	const script = "../../scripts/lib/packages.sh"
	content, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range wellKnownPlaces {
		if !strings.Contains(string(content), place) {
			t.Errorf("%s does not look in %s", script, place)
		}
	}
}

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	var value string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// eventually waits until a condition holds that other processes bring about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(stopTimeout)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()

	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("after %s it does not hold that %s", stopTimeout, what)
		case <-ticker.C:
		}
	}
}
