// Package pgtest gives tests a real PostgreSQL: a private cluster in a temporary
// directory that is removed when the tests end.
//
// Most tests share one server per test process and create a database of their own in it:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
//
//	func TestX(t *testing.T) {
//		url := pgtest.Shared(t).NewDatabase(t)
//		…
//	}
//
// A test that stops or restarts PostgreSQL starts a server of its own with [Start].
// Without PostgreSQL, tests fail; they are never skipped.
package pgtest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// Server is a PostgreSQL cluster for tests. Its methods may be called from
// several goroutines.
type Server struct {
	cluster *pgcluster.Cluster
	// databases counts the databases created so far, to name the next one.
	databases atomic.Int64

	// mu guards originals, the databases that tests get copies of, by name.
	mu        sync.Mutex
	originals map[string]*original
}

// original is a database that is filled once.
type original struct {
	once sync.Once
	err  error
}

// Start starts a server for one test and removes it when the test ends.
func Start(tb testing.TB, options ...pgcluster.Option) *Server {
	tb.Helper()
	cluster, err := pgcluster.Start(options...)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return adopt(tb, cluster)
}

// adopt removes a cluster when the test ends.
func adopt(tb testing.TB, cluster *pgcluster.Cluster) *Server {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("pgtest: end of the server's log:\n%s", cluster.LogTail())
		}
		if err := cluster.Close(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return &Server{cluster: cluster}
}

var (
	sharedOnce sync.Once
	shared     Server
	errShared  error
)

// Shared returns the server that the tests of a process share, starting it at
// the first call. Tests must not stop it. [Run] removes it after the tests.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	sharedOnce.Do(func() { shared.cluster, errShared = pgcluster.Start() })
	if errShared != nil {
		tb.Fatalf("pgtest: %v", errShared)
	}
	return &shared
}

// Run runs the tests, removes the shared server, and returns the exit code. It
// is for a TestMain.
func Run(m *testing.M) int {
	code := m.Run()

	// Claim the start, so that a straggling goroutine cannot start one now.
	sharedOnce.Do(func() { errShared = errors.New("the tests have ended") })
	if shared.cluster == nil {
		return code
	}

	if err := shared.cluster.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		return max(code, 1)
	}
	return code
}

// NewDatabase creates an empty database and returns its URL. It drops the database when
// the test ends and closes connections that are still open.
func (s *Server) NewDatabase(tb testing.TB) string { return s.NewDatabaseWith(tb, "") }

// NewDatabaseWith is NewDatabase with options of CREATE DATABASE.
func (s *Server) NewDatabaseWith(tb testing.TB, options string) string {
	tb.Helper()
	return s.newDatabase(tb, func(name string) (string, error) { return s.cluster.CreateDatabase(name, options) })
}

// CopyOf is NewDatabase where many tests begin with the same: it creates a copy of the database
// of a name, which is an SQL identifier. The function fill fills the original at the first call, and
// must have closed its connections when it returns. The original stays as long as the server.
func (s *Server) CopyOf(tb testing.TB, name string, fill func(databaseURL string)) string {
	tb.Helper()
	o := s.original(name)
	o.once.Do(func() {
		var databaseURL string
		if databaseURL, o.err = s.cluster.CreateDatabase(name, ""); o.err != nil {
			return
		}
		o.err = errors.New("the test that filled it has failed")
		fill(databaseURL)
		o.err = nil
	})
	if o.err != nil {
		tb.Fatalf("pgtest: database %s: %v", name, o.err)
	}
	return s.newDatabase(tb, func(copied string) (string, error) { return s.cluster.CopyDatabase(copied, name) })
}

// original returns the original of a name.
func (s *Server) original(name string) *original {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.originals[name]
	if !ok {
		o = &original{}
		if s.originals == nil {
			s.originals = make(map[string]*original)
		}
		s.originals[name] = o
	}
	return o
}

// newDatabase creates a database and drops it when the test ends.
func (s *Server) newDatabase(tb testing.TB, create func(name string) (databaseURL string, err error)) string {
	tb.Helper()
	name := "test_" + strconv.FormatInt(s.databases.Add(1), 10)
	databaseURL, err := create(name)
	if err != nil {
		tb.Fatalf("pgtest: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.cluster.DropDatabase(name); err != nil {
			tb.Errorf("pgtest: drop database: %v", err)
		}
	})
	return databaseURL
}

// BaseBackup makes a base backup of the server, which must have an archive, and removes
// the backup when the test ends. The function recoverTo starts the backup in the state
// that the server had at a time.
func (s *Server) BaseBackup(tb testing.TB) (backup *pgcluster.Cluster, recoverTo func(time.Time)) {
	tb.Helper()
	backup, err := s.cluster.BaseBackup()
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("pgtest: end of the recovered server's log:\n%s", backup.LogTail())
		}
		if err := backup.Close(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})

	return backup, func(to time.Time) {
		tb.Helper()
		if err := backup.Recover(s.cluster, to); err != nil {
			tb.Fatalf("pgtest: recover: %v", err)
		}
	}
}

// Standby starts a hot standby of the server that its commits wait for, and removes it when
// the test ends. While the standby is halted, commits wait.
func (s *Server) Standby(tb testing.TB) *Server {
	tb.Helper()
	standby, err := s.cluster.Standby()
	if err != nil {
		tb.Fatalf("pgtest: standby: %v", err)
	}
	return adopt(tb, standby)
}

// Promote makes a standby the server that is written to. A standby that is halted is
// started for it; its primary must be halted before.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	if err := s.cluster.Promote(); err != nil {
		tb.Fatalf("pgtest: promote: %v", err)
	}
}

// URL returns the URL of a database that another server, of which this one is a standby,
// made.
func (s *Server) URL(database string) string { return s.cluster.URL(database) }

// Stop ends the server as a crash would: connections break at once, and the
// next start has to recover. Stopping a stopped server does nothing.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if err := s.cluster.Halt(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}

// Restart stops the server as [Server.Stop] does, unless it is stopped already,
// and starts it again on the same port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.cluster.Restart(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}
