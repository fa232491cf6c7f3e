package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/subprocess"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// timeout bounds a question to a node, which may be frozen or cut off.
const timeout = 3 * time.Second

// node is a machine with a PostgreSQL and the Patroni that runs it.
type node struct {
	cluster         *cluster
	name, directory string
	// postgres and patroni are the addresses on which they listen.
	postgres, patroni string
	// etcd, replication and asked are the links that it needs to be part of the cluster: to
	// etcd, and from other nodes to its PostgreSQL and its Patroni; clients are those from the
	// servers.
	etcd, replication, asked *link
	clients                  [servers]*link

	program *exec.Cmd
	ended   <-chan struct{}
}

func (c *cluster) newNode(name string) *node {
	n := &node{cluster: c, name: name, directory: filepath.Join(c.directory, name)}
	if err := os.Mkdir(n.directory, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := c.account.Own(n.directory); err != nil {
		c.t.Fatal(err)
	}

	n.postgres, n.patroni = c.freeAddress(), c.freeAddress()
	n.etcd, n.replication, n.asked = newLink(c.t, c.etcd), newLink(c.t, n.postgres), newLink(c.t, n.patroni)
	for i := range n.clients {
		n.clients[i] = newLink(c.t, n.postgres)
	}
	n.configure()
	return n
}

// freeAddress is one that nothing takes while its program is down.
func (c *cluster) freeAddress() string {
	port, err := pgcluster.FreePort()
	if err != nil {
		c.t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// object is one of JSON, which is YAML too.
type object = map[string]any

// configure writes Patroni's configuration. Its times are short, for failovers to be quick.
func (n *node) configure() {
	c := n.cluster
	configuration := object{
		"scope": "faults", "name": n.name,
		"restapi": object{"listen": n.patroni, "connect_address": n.asked.address},
		"etcd3":   object{"hosts": []string{n.etcd.address}, "use_proxies": true},
		"log":     object{"dir": n.directory},
		"bootstrap": object{
			"dcs": object{
				"ttl": 7, "loop_wait": 1, "retry_timeout": 3,
				"primary_start_timeout": 0,
				"synchronous_mode":      c.mode.synchronous, "synchronous_mode_strict": c.mode.synchronous,
				// A standby takes over however much it has missed.
				"maximum_lag_on_failover": 1 << 40,
				"postgresql": object{
					"use_pg_rewind": true,
					"parameters": object{
						"synchronous_commit": "on", "max_connections": 100, "wal_keep_size": "256MB",
						"max_wal_senders": 10, "max_replication_slots": 10,
					},
				},
			},
			"initdb": []any{object{"encoding": "UTF8"}, object{"locale": "C"}, "data-checksums", "no-sync"},
		},
		"postgresql": object{
			"listen": n.postgres, "connect_address": n.replication.address, "use_unix_socket": true,
			"data_dir": filepath.Join(n.directory, "data"), "bin_dir": c.binaries,
			"pgpass": filepath.Join(n.directory, "pgpass"),
			"authentication": object{
				"superuser":   object{"username": user, "password": c.password},
				"replication": object{"username": "replicator", "password": c.password},
			},
			"parameters": object{
				// What is written outlives the death of the programs, which is all that happens here.
				"fsync":                   "off",
				"unix_socket_directories": n.directory, "logging_collector": "on",
				"log_directory": n.directory, "log_filename": "postgres.log",
			},
			"pg_hba": []string{
				"local all all scram-sha-256",             //nolint:dupword // Every database, every user.
				"host all all 127.0.0.1/32 scram-sha-256", //nolint:dupword // The same.
				"host replication all 127.0.0.1/32 scram-sha-256",
			},
			"basebackup": []any{object{"checkpoint": "fast"}, "no-sync"},
			"remove_data_directory_on_rewind_failure":     true,
			"remove_data_directory_on_diverged_timelines": true,
		},
	}

	content, err := json.Marshal(configuration)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(n.configuration(), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := c.account.Own(n.configuration()); err != nil {
		c.t.Fatal(err)
	}
}

func (n *node) configuration() string { return filepath.Join(n.directory, "patroni.yml") }

// start starts Patroni, which starts PostgreSQL.
func (n *node) start() {
	t := n.cluster.t
	t.Helper()
	path, err := exec.LookPath("patroni")
	if err != nil {
		t.Fatalf("%v: run the tests as docs/development.md says", err)
	}
	n.program = n.cluster.account.Command(n.directory, path, n.configuration())
	output, err := os.OpenFile(filepath.Join(n.directory, "output.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	n.program.Stdout, n.program.Stderr = output, output
	n.ended, err = subprocess.Start(n.program, syscall.SIGKILL)
	if err := errors.Join(err, output.Close()); err != nil {
		t.Fatal(err)
	}
}

// killPatroni kills Patroni alone.
func (n *node) killPatroni() {
	if n.program == nil {
		return
	}
	_ = n.program.Process.Kill() // It may have ended.
	<-n.ended
}

// kill kills every process of the node, as a machine that loses its power does.
func (n *node) kill() {
	n.killPatroni()
	postmaster := n.postmaster()
	processes := append(children(postmaster), postmaster)
	for _, process := range processes {
		_ = syscall.Kill(process, syscall.SIGKILL) // It may have ended.
	}
	programtest.Eventually(n.cluster.t, n.name+" is dead", func() bool {
		for _, process := range processes {
			if !errors.Is(syscall.Kill(process, 0), syscall.ESRCH) && !isZombie(process) {
				return false
			}
		}
		return true
	})
}

// postmaster is the id of PostgreSQL's first process.
func (n *node) postmaster() int {
	content, err := os.ReadFile(filepath.Join(n.directory, "data", "postmaster.pid"))
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	id, err := strconv.Atoi(first)
	if err != nil {
		n.cluster.t.Fatal(err)
	}
	return id
}

// children are the processes that a process has started.
func children(of int) (ids []int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", of, of))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(content)) {
		if id, err := strconv.Atoi(field); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// isZombie reports whether a process has ended and nobody has waited for it.
func isZombie(process int) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	return err != nil || strings.Contains(string(content), ") Z ")
}

// freeze has Patroni do nothing, as on a machine that is out of memory, and PostgreSQL go on.
func (n *node) freeze() {
	if err := n.program.Process.Signal(syscall.SIGSTOP); err != nil {
		n.cluster.t.Fatal(err)
	}
}

// alive fails the test where Patroni has ended by itself.
func (n *node) alive() {
	select {
	case <-n.ended:
		output, _ := os.ReadFile(filepath.Join(n.directory, "output.log"))
		n.cluster.t.Fatalf("Patroni of %s has ended:\n%s", n.name, output)
	default:
	}
}

// is asks Patroni whether the node has a part, such as primary or replica.
func (n *node) is(part string) bool {
	ctx, done := context.WithTimeout(n.cluster.t.Context(), timeout)
	defer done()
	return statusOf(ctx, "http://"+n.patroni+"/"+part) == http.StatusOK
}
