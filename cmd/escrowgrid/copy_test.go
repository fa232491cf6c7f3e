package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// signedJournal fills a database with a journal that is signed, and closes it.
func signedJournal(t *testing.T, databaseURL string) {
	t.Helper()
	s := journaltest.Must(store.Open(t.Context(), databaseURL, 0))
	defer func() { _ = s.Close() }()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := journaltest.On(t, s, databaseURL)
	w.Positions(w.Example(), 20)
	log := journallog.Start(journallog.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
		Origin: "escrowgrid.test", Interval: time.Hour,
	})
	defer log.Close()
	if err := log.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// killAt kills the command while it waits for a table that a lock of this test keeps from it.
func killAt(t *testing.T, databaseURL, table, mode string, env []string, args ...string) {
	t.Helper()
	conn := journaltest.Must(pgx.Connect(t.Context(), databaseURL))
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx := journaltest.Must(conn.Begin(t.Context()))
	if _, err := tx.Exec(t.Context(), "LOCK TABLE "+table+" IN "+mode+" MODE"); err != nil {
		t.Fatal(err)
	}

	p := launch(t, env, args...)
	const sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'escrowgrid'"
	count := func(sql string) (n int) {
		if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p.eventually(t, "the command waits for "+table, func() bool {
		return count("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '"+table+"'::regclass") > 0
	})
	p.signal(t, os.Kill)
	p.wait(t)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the command had sent ends with its sessions.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := overdue(t); count(sessions) > 0; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the sessions of what was killed do not end")
		}
	}
}

// Wherever a copy is killed, it is finished by the next one, and nobody serves it before.
func TestACopyIsFinishedWhereverItWasKilled(t *testing.T) {
	t.Parallel()
	from, to := "sqlite:"+filepath.Join(t.TempDir(), "e.db"), pgtest.Shared(t).NewDatabase(t)
	signedJournal(t, from)
	env := []string{"COPY_FROM=" + from, "DATABASE_URL=" + to, "ROOT_API_KEY=" + testRootKey, "PORT=0"}
	if code, _, stderr := call(t, env, "migrate"); code != exitOK {
		t.Fatal(stderr)
	}
	for _, table := range []string{
		"unfinished_copies", "institutions", "positions", "checkpoint_keys", "journal_checkpoints", "journal_tiles", "unfinished_copies",
	} {
		killAt(t, to, table, "EXCLUSIVE", env, "copy")
		if table == "positions" {
			for _, args := range [][]string{{"serve"}, {"serve", "--migrate"}, {"verify"}} {
				if code, _, stderr := call(t, env, args...); code != exitFailure || !strings.Contains(stderr, "a copy that is not finished: run escrowgrid copy again (of sqlite:") {
					t.Errorf("of a copy that was cut off, %s ends with %d and says %s", args, code, stderr)
				}
			}
		}
	}
	code, stdout, stderr := call(t, env, "copy")
	if code != exitOK || !strings.Contains(stdout, "nothing differs.") || !strings.Contains(stdout, " is a copy of "+from) {
		t.Fatalf("the copy ends with %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := call(t, env, "verify"); code != exitOK || !strings.Contains(stdout, "69 entries in 1 journals") {
		t.Errorf("verify ends with %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := call(t, env, "copy"); code != exitFailure || !strings.Contains(stderr, "is not empty: ") {
		t.Errorf("to copy once more ends with %d, %s", code, stderr)
	}
}

func TestACopyToSQLiteIsFinishedWhereverItWasKilled(t *testing.T) {
	t.Parallel()
	from, to := pgtest.Shared(t).NewDatabase(t), "sqlite:"+filepath.Join(t.TempDir(), "e.db")
	signedJournal(t, from)
	env := []string{"COPY_FROM=" + from, "DATABASE_URL=" + to, "PORT=0"}
	for _, table := range []string{"journal_entries", "idempotency_records", "security_events"} {
		killAt(t, from, table, "ACCESS EXCLUSIVE", env, "copy")
		if code, _, stderr := call(t, env, "serve"); code != exitFailure || !strings.Contains(stderr, "is a copy that is not finished") {
			t.Errorf("of a copy that was cut off at %s, serve ends with %d and says %s", table, code, stderr)
		}
	}
	if code, stdout, stderr := call(t, env, "copy"); code != exitOK || !strings.Contains(stdout, "69 entries in 1 journals") {
		t.Errorf("the copy ends with %d, %s%s", code, stdout, stderr)
	}
}

// What was acknowledged before a move is not done twice after it, and the same secret is told.
func TestAServerGoesOnWhereItsDatabaseWasCopiedTo(t *testing.T) {
	t.Parallel()
	sqlite, postgres := "sqlite:"+filepath.Join(t.TempDir(), "e.db"), pgtest.Shared(t).NewDatabase(t)
	for _, move := range [][2]string{{sqlite, postgres}, {postgres, "sqlite:" + filepath.Join(t.TempDir(), "back.db")}} {
		from, to := move[0], move[1]
		p := serve(t, []string{"DATABASE_URL=" + from, "CHECKPOINT_INTERVAL=100ms"}, "--migrate")
		b := openBank(t, p.Client)
		requests := func(p *process) (claim, key string) {
			claimed := p.As(b.key).Post(t, "/positions", b.claim("once"), "Idempotency-Key: claim").Want(t, 201)
			made := p.As(b.key).Post(t, "/institutions/"+b.id+"/api-keys", `{"label": "new", "role": "admin"}`, "Idempotency-Key: key").Want(t, 201)
			return claimed.Text("id"), made.Text("apiKey")
		}
		claim, key := requests(p)
		p.awaitSigned(t, b, entriesOfABank+2)
		if from == postgres {
			code, _, stderr := call(t, []string{"COPY_FROM=" + from, "DATABASE_URL=" + to}, "copy")
			if code != exitFailure || !strings.Contains(stderr, "still written to: EscrowGrid has ") {
				t.Errorf("with a server on the source, the copy ends with %d, %s", code, stderr)
			}
		}
		p.end(t, os.Interrupt)

		if code, stdout, stderr := call(t, []string{"COPY_FROM=" + from, "DATABASE_URL=" + to}, "copy"); code != exitOK {
			t.Fatalf("the copy ends with %d, %s%s", code, stdout, stderr)
		}
		moved := serve(t, []string{"DATABASE_URL=" + to})
		if again, told := requests(moved); again != claim || told != key {
			t.Errorf("after the move to %s, %s is answered %s, and another secret is told: %t", moved.URL, claim, again, told != key)
		}
		checkJournal(t, moved.As(b.key), entriesOfABank+2)
		moved.end(t, os.Interrupt)
	}
}

// A server that runs already does not serve what is copied into its database, and keeps a copy
// from being begun.
func TestACopyAndAServerKeepApart(t *testing.T) {
	t.Parallel()
	from, to := "sqlite:"+filepath.Join(t.TempDir(), "e.db"), pgtest.Shared(t).NewDatabase(t)
	signedJournal(t, from)
	p := serve(t, []string{"DATABASE_URL=" + to}, "--migrate")
	code, _, stderr := call(t, []string{"COPY_FROM=" + from, "DATABASE_URL=" + to}, "copy")
	if code != exitFailure || !strings.Contains(stderr, "--to: EscrowGrid has ") {
		t.Errorf("with a server on the target, the copy ends with %d, %s", code, stderr)
	}

	p.try(t, "/ready").Want(t, 200)
	s := journaltest.Must(store.Open(t.Context(), to, 0))
	defer func() { _ = s.Close() }()
	if err := s.BeginCopy(t.Context(), "here", time.Now()); err != nil {
		t.Fatal(err)
	}
	if text := p.try(t, "/ready").Want(t, 503).String(); !strings.Contains(text, "The database is a copy that is not finished.") {
		t.Errorf("it is not ready, as %s", text)
	}
	if err := s.FinishCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.try(t, "/ready").Want(t, 200)
}

func TestWrongUsageOfCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	signedJournal(t, "sqlite:"+path)
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"copy --to=sqlite:x.db", exitUsage, "--from"},
		{"copy --from=sqlite:x.db", exitUsage, "--to"},
		{"copy --from=mysql:x --to=sqlite:x.db", exitUsage, "--from takes sqlite:PATH or postgres://"},
		{"copy --from=sqlite:x.db --to=sqlite::memory:", exitUsage, "--to takes sqlite:PATH or postgres://"},
		{"copy --from=sqlite:x.db --to=sqlite:x.db", exitUsage, "the same database"},
		{"copy --from=sqlite:x.db --to=postgres://u:hidden@h/d", exitUsage, "leave out the password"},
		{"copy --from=sqlite:none.db --to=sqlite:x.db", exitFailure, "--from: there is no database none.db"},
		{"copy --from=sqlite:" + path + " --to=sqlite:x.db --grant-to=server", exitUsage, "--grant-to: SQLite has no roles"},
	} {
		code, _, stderr := call(t, nil, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stderr, test.want) || strings.Contains(stderr, "hidden") {
			t.Errorf("%s ends with %d and %q, want %d and %q", test.args, code, stderr, test.code, test.want)
		}
	}
}
