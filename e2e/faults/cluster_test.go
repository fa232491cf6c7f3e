package faults

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

const (
	// The user and the database of the servers.
	user, database = "escrowgrid", "escrowgrid"
	// servers is how many instances serve the database.
	servers = 2
)

// cluster is PostgreSQL as Patroni runs it: a primary, and standbys of which one takes its
// place, as they agree in etcd.
type cluster struct {
	t         *testing.T
	directory string
	account   *pgcluster.Account
	binaries  string
	password  string
	etcd      string
	mode      mode
	nodes     []*node
}

// mode is how a cluster replicates.
type mode struct {
	nodes       int
	synchronous bool
}

// reaperScript ends what is left of the nodes' PostgreSQL, which outlives its Patroni, and
// removes the directory, once its input ends: also where the tests are killed.
const reaperScript = `
trap '' HUP INT QUIT TERM
cat >/dev/null
for file in "$1"/*/data/postmaster.pid; do
	pid=$(head -n 1 "$file" 2>/dev/null) || continue
	grep -q "$1" "/proc/$pid/cmdline" 2>/dev/null || continue
	kill -CONT "$pid"
	kill -QUIT "$pid"
	tries=100
	while kill -0 "$pid" 2>/dev/null && [ "$tries" -gt 0 ]; do tries=$((tries - 1)); sleep 0.1; done
	kill -KILL "$pid" 2>/dev/null
done
rm -rf "$1"
`

// newCluster starts a cluster, and waits until it replicates.
func newCluster(t *testing.T, m mode) *cluster {
	t.Helper()
	c := &cluster{t: t, mode: m, password: rand.Text()}
	// What is on PATH may be links to the server programs alone; this one is beside all others.
	program, err := pgcluster.FindProgram("pg_rewind")
	if err != nil {
		t.Fatal(err)
	}
	c.binaries = filepath.Dir(program)
	if c.account, err = pgcluster.ServerAccount(); err != nil {
		t.Fatal(err)
	}
	//nolint:usetesting // The account of PostgreSQL has to reach it, and the reaper removes it.
	if c.directory, err = os.MkdirTemp(c.account.TempBase(), "escrowgrid-faults-"); err != nil {
		t.Fatal(err)
	}
	c.reap()
	if err := c.account.Own(c.directory); err != nil {
		t.Fatal(err)
	}

	c.startEtcd()
	for i := range m.nodes {
		c.nodes = append(c.nodes, c.newNode(fmt.Sprintf("node%d", i+1)))
	}
	// The first makes the database, and the others copy it.
	c.nodes[0].start()
	programtest.Eventually(t, "there is a first node", func() bool {
		c.nodes[0].alive()
		return c.nodes[0].is("primary")
	})
	for _, n := range c.nodes[1:] {
		n.start()
	}
	c.settled()
	c.exec(c.primary(), "postgres", "CREATE DATABASE "+database)
	return c
}

// reap has the cluster end with the test.
func (c *cluster) reap() {
	reaper := exec.Command("/bin/sh", "-c", reaperScript, "sh", c.directory) //nolint:noctx // It ends with its input.
	input, err := reaper.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := reaper.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.keepLogs()
		}
		for _, n := range c.nodes {
			n.killPatroni()
		}
		_ = input.Close()
		_ = reaper.Wait()
	})
}

func (c *cluster) startEtcd() {
	client, peer := programtest.FreeAddress(c.t), programtest.FreeAddress(c.t)
	c.etcd = client
	programtest.Start(c.t, nil, "etcd", "--data-dir="+c.t.TempDir(), "--logger=zap", "--log-level=error",
		"--listen-client-urls=http://"+client, "--advertise-client-urls=http://"+client,
		"--listen-peer-urls=http://"+peer, "--initial-advertise-peer-urls=http://"+peer,
		"--initial-cluster=default=http://"+peer)
	programtest.Answers(c.t, "http://"+client+"/health")
}

// primary waits until a node is the primary for all: it has the lock, and takes writes.
func (c *cluster) primary() (primary *node) {
	c.t.Helper()
	programtest.Eventually(c.t, "there is a primary", func() bool {
		for _, n := range c.nodes {
			if n.is("primary") && c.value(n, "postgres", "SELECT NOT pg_is_in_recovery()") == "true" {
				primary = n
				return true
			}
		}
		return false
	})
	return primary
}

// settled waits until every node has its part: all standbys follow the primary, and one of
// them is synchronous where the cluster is.
func (c *cluster) settled() {
	c.t.Helper()
	programtest.Eventually(c.t, "all nodes have their part", func() bool {
		primary := c.primary()
		synchronous := 0
		for _, n := range c.nodes {
			if n != primary && !n.is("replica") {
				return false
			}
			if n != primary && n.is("synchronous") {
				synchronous++
			}
		}
		following := c.value(primary, "postgres", "SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming'")
		confirming := c.value(primary, "postgres",
			"SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'")
		return following == fmt.Sprint(len(c.nodes)-1) &&
			(!c.mode.synchronous || synchronous == 1 && confirming == "1")
	})
}

// value reads a value from a database of a node; empty where that fails.
func (c *cluster) value(n *node, in, statement string) (value string) {
	ctx, done := context.WithTimeout(c.t.Context(), timeout)
	defer done()
	conn, err := pgx.Connect(ctx, c.url(in, "", n.postgres))
	if err != nil {
		return ""
	}
	defer conn.Close(ctx)
	_ = conn.QueryRow(ctx, "SELECT ("+statement+")::text").Scan(&value)
	return value
}

func (c *cluster) exec(n *node, in, statement string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url(in, "", n.postgres))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(c.t.Context(), statement); err != nil {
		c.t.Fatal(err)
	}
}

// url is that of a database on some addresses.
func (c *cluster) url(in, parameters string, addresses ...string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, c.password), Host: strings.Join(addresses, ","),
		Path: "/" + in, RawQuery: "sslmode=disable" + parameters,
	}
	return u.String()
}

// databaseURL is that of a server, which finds the primary among the nodes.
func (c *cluster) databaseURL(server int) string {
	var addresses []string
	for _, n := range c.nodes {
		addresses = append(addresses, n.clients[server].address)
	}
	return c.url(database, "&target_session_attrs=read-write", addresses...)
}

// keepLogs keeps what the nodes have logged where the tests have failed.
func (c *cluster) keepLogs() {
	kept, err := os.MkdirTemp("", "escrowgrid-faults-logs-")
	if err != nil {
		c.t.Log(err)
		return
	}
	logs, err := filepath.Glob(filepath.Join(c.directory, "*", "*.log"))
	if err != nil {
		c.t.Log(err)
	}
	for _, path := range logs {
		name := filepath.Base(filepath.Dir(path)) + "-" + filepath.Base(path)
		if err := copyFile(path, filepath.Join(kept, name)); err != nil {
			c.t.Log(err)
		}
	}
	c.t.Logf("the logs of Patroni and PostgreSQL are kept in %s", kept)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// statusOf is the status of a GET, 0 where there is no answer.
func statusOf(ctx context.Context, address string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
