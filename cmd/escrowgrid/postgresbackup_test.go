package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// programs is the directory of PostgreSQL's programs.
func programs(t *testing.T) string {
	t.Helper()
	return journaltest.Must(pgcluster.Find())
}

// script runs a script of deploy/postgresql with PostgreSQL's programs on PATH.
func script(t *testing.T, databaseURL, name string, args ...string) (output string, code int) {
	t.Helper()
	programs := programs(t)
	watched, arguments := t.TempDir(), filepath.Join(t.TempDir(), "arguments")
	for _, program := range []string{"pg_dump", "pg_restore", "psql"} {
		watch := "#!/bin/sh\necho \"$@\" >>" + arguments + "\nPATH=" + programs + ":" + os.Getenv("PATH") + " exec " + program + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(watched, program), []byte(watch), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "../../deploy/postgresql/"+name, args...)
	command.Env = append(os.Environ(), "DATABASE_URL="+databaseURL, "ESCROWGRID="+binary, "PATH="+watched+":"+os.Getenv("PATH"))
	text, err := command.CombinedOutput()
	if err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	checkNoPassword(t, databaseURL, arguments)
	return string(text), command.ProcessState.ExitCode()
}

// checkNoPassword looks for the password of a database's URL among the arguments that programs
// were started with, which every user of the machine can read.
func checkNoPassword(t *testing.T, databaseURL, arguments string) {
	t.Helper()
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, given := parsed.User.Password()
	if shown, err := os.ReadFile(arguments); err == nil && given && strings.Contains(string(shown), password) {
		t.Errorf("the password is an argument: %s", shown)
	}
}

// A PostgreSQL database is backed up while a server writes, restored elsewhere, and served
// from there.
func TestAPostgreSQLBackupUnderLoadIsRestoredElsewhere(t *testing.T) {
	database, elsewhere := pgtest.Shared(t).NewDatabase(t), pgtest.Shared(t).NewDatabase(t)
	backup := filepath.Join(t.TempDir(), "monday.dump")
	p := serve(t, []string{"DATABASE_URL=" + database, "CHECKPOINT_INTERVAL=100ms"}, "--migrate")
	b := openBank(t, p.Client)
	load := startLoad(t, []bank{b}, p.Client)
	load.awaitMore(t, p, 300)
	p.awaitSigned(t, b, entriesOfABank)
	before := load.doneWith(0)
	output, code := script(t, database, "backup", backup)
	after := load.doneWith(0)
	load.stop(t, p.Client)
	if code != 0 || !strings.Contains(output, "is a backup.") {
		t.Fatalf("the backup ends with %d: %s", code, output)
	}
	if len(after) == len(before) {
		t.Error("nothing was written meanwhile")
	}
	if about := journaltest.Must(os.Stat(backup)); about.Mode().Perm() != 0o600 {
		t.Errorf("others may read the backup: %s", about.Mode())
	}
	if output, code := script(t, database, "backup", backup); code != 1 || !strings.Contains(output, "is there already") {
		t.Errorf("a second backup ends with %d: %s", code, output)
	}

	output, code = script(t, elsewhere, "restore", backup)
	if code != 0 || !strings.Contains(output, "PASSED: nothing differs.") {
		t.Fatalf("the restoration ends with %d: %s", code, output)
	}
	if output, code := script(t, elsewhere, "restore", backup); code == 0 {
		t.Errorf("into a database that is not empty it is restored: %s", output)
	}
	checkRestored(t, serve(t, []string{"DATABASE_URL=" + elsewhere}).As(b.key), b, before)

	// What is missing is told before anything is done.
	command := exec.CommandContext(t.Context(), "../../deploy/postgresql/restore", backup)
	command.Env = append(os.Environ(), "DATABASE_URL="+database, "ESCROWGRID=not-here", "PATH="+programs(t)+":"+os.Getenv("PATH"))
	if text, err := command.CombinedOutput(); err == nil || !strings.Contains(string(text), "there is no program not-here") || strings.Count(string(text), "\n") != 1 {
		t.Errorf("without the program the restoration ends with %v: %s", err, text)
	}
	for _, name := range []string{"backup", "restore"} {
		if output, code := script(t, "", name, backup); code != 2 || !strings.Contains(output, "usage: ") {
			t.Errorf("%s without a database ends with %d: %s", name, code, output)
		}
	}
	p.end(t, syscall.SIGTERM)
}

// With an archive of the write-ahead log a database is recovered as it was at a moment
// between two backups: what was acknowledged before is there, what came later is not.
func TestAPostgreSQLDatabaseIsRecoveredToAMoment(t *testing.T) {
	server := pgtest.Start(t, pgcluster.WithDurability(), pgcluster.WithArchive())
	database := server.NewDatabase(t)
	p := serve(t, []string{"DATABASE_URL=" + database, "CHECKPOINT_INTERVAL=100ms"}, "--migrate")
	b := openBank(t, p.Client)
	load := startLoad(t, []bank{b}, p.Client)
	load.awaitMore(t, p, 100)
	p.awaitSigned(t, b, entriesOfABank)
	backup, recoverTo := server.BaseBackup(t)
	load.awaitMore(t, p, 300)

	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var moment time.Time
	before := load.doneWith(0)
	if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&moment); err != nil {
		t.Fatal(err)
	}
	load.awaitMore(t, p, 300)
	load.stop(t, p.Client)
	after := load.doneWith(0)
	p.end(t, syscall.SIGTERM)
	var segment string
	if err := conn.QueryRow(t.Context(), "SELECT pg_walfile_name(pg_switch_wal())").Scan(&segment); err != nil {
		t.Fatal(err)
	}
	for archived := ""; archived < segment; {
		err := conn.QueryRow(t.Context(), "SELECT COALESCE(last_archived_wal, '') FROM pg_stat_archiver").Scan(&archived)
		if err != nil {
			t.Fatal(err)
		}
	}

	recoverTo(moment)
	parsed := journaltest.Must(url.Parse(database))
	recovered := backup.URL(strings.Trim(parsed.Path, "/"))
	if code, stdout, stderr := call(t, []string{"DATABASE_URL=" + recovered}, "verify"); code != exitOK {
		t.Errorf("what was recovered does not verify: %s%s", stdout, stderr)
	}
	admin := serve(t, []string{"DATABASE_URL=" + recovered}).As(b.key)
	checkRestored(t, admin, b, before)
	if kept := admin.Walk(t, "/positions?limit=1000", "id"); len(kept) >= len(after) {
		t.Errorf("of %d positions %d were there at the moment", len(after), len(kept))
	}
}
