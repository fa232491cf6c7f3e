package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// doneWith returns the references of the positions of a bank that were made and funded.
func (l *load) doneWith(of int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.funded[of]))
}

// checkRestored checks that a server on what was restored has the positions that were
// acknowledged before the backup, and serves on.
func checkRestored(t *testing.T, admin apitest.Client, b bank, before []string) {
	t.Helper()
	funded := admin.Walk(t, "/positions?limit=1000&state=FUNDED", "externalReference")
	for _, reference := range before {
		if !slices.Contains(funded, reference) {
			t.Errorf("the position %s was funded before the backup, and is not in it", reference)
		}
	}
	all := admin.Walk(t, "/positions?limit=1000", "externalReference")
	checkJournal(t, admin, entriesOfABank+len(all)+len(funded))
	admin.Post(t, "/positions", b.claim("after the restoration")).Want(t, 201)
}

// A backup that is made while a server writes has all that was acknowledged before it, and
// a server serves from it elsewhere.
func TestABackupUnderLoadIsRestoredElsewhere(t *testing.T) {
	directory, elsewhere := t.TempDir(), t.TempDir()
	database, backup := "sqlite:"+filepath.Join(directory, "e.db"), filepath.Join(directory, "backups", "monday.db")
	if err := os.Mkdir(filepath.Dir(backup), 0o700); err != nil {
		t.Fatal(err)
	}
	p := serve(t, []string{"DATABASE_URL=" + database, "CHECKPOINT_INTERVAL=100ms"})
	b := openBank(t, p.Client)
	load := startLoad(t, []bank{b}, p.Client)
	load.awaitMore(t, p, 300)
	p.awaitSigned(t, b, entriesOfABank)
	before := load.doneWith(0)
	code, stdout, stderr := call(t, []string{"DATABASE_URL=" + database}, "backup", "--output", backup)
	after := load.doneWith(0)
	load.stop(t, p.Client)
	if code != exitOK || stderr != "" || !strings.Contains(stdout, backup+" is a backup of ") {
		t.Fatalf("the backup ends with %d, %q and %q", code, stdout, stderr)
	}
	if len(after) == len(before) {
		t.Error("nothing was written meanwhile")
	}
	if left := journaltest.Must(filepath.Glob(filepath.Join(filepath.Dir(backup), "*"))); len(left) != 1 {
		t.Errorf("beside the backup there is %q", left)
	}
	if about := journaltest.Must(os.Stat(backup)); about.Mode().Perm() != 0o600 {
		t.Errorf("others may read the backup: %s", about.Mode())
	}

	restored := "DATABASE_URL=sqlite:" + filepath.Join(elsewhere, "restored.db")
	if code, stdout, stderr := call(t, []string{restored}, "restore", backup); code != exitOK || !strings.Contains(stdout, "is restored from "+backup) {
		t.Fatalf("the restoration ends with %d, %q and %q", code, stdout, stderr)
	}
	if code, stdout, _ := call(t, []string{restored}, "verify"); code != exitOK {
		t.Errorf("what was restored does not verify: %s", stdout)
	}
	checkRestored(t, serve(t, []string{restored}).As(b.key), b, before)
}

// A backup has no nonces, from which, with the secret of the key that asked, those of new keys
// are derived. After a restoration a repeated request says so; others are answered as before.
func TestABackupDoesNotLeadToTheSecretsOfKeys(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	path, backup, restored := filepath.Join(directory, "e.db"), filepath.Join(directory, "b.db"), filepath.Join(directory, "r.db")
	p := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	b := openBank(t, p.Client)
	newKey := func(p *process) apitest.Answer {
		return p.As(b.key).Post(t, "/institutions/"+b.id+"/api-keys", `{"label": "new", "role": "admin"}`, "Idempotency-Key: key")
	}
	claim := func(p *process) apitest.Answer {
		return p.As(b.key).Post(t, "/positions", b.claim("once"), "Idempotency-Key: claim")
	}
	key, claimed := newKey(p).Want(t, 201), claim(p).Want(t, 201)
	p.awaitSigned(t, b, entriesOfABank+2)
	if code, _, stderr := call(t, []string{"DATABASE_URL=sqlite:" + path}, "backup", "--output", backup); code != exitOK {
		t.Fatal(stderr)
	}
	p.end(t, os.Interrupt)

	db := journaltest.Must(driver.Open("file:" + path + "?mode=ro"))
	defer db.Close()
	var nonce []byte
	if err := db.QueryRowContext(t.Context(), "SELECT nonce FROM idempotency_records WHERE nonce IS NOT NULL").Scan(&nonce); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(journaltest.Must(os.ReadFile(path)), nonce) || bytes.Contains(journaltest.Must(os.ReadFile(backup)), nonce) {
		t.Error("the backup has the nonce, or the database has none")
	}

	if code, _, stderr := call(t, []string{"DATABASE_URL=sqlite:" + restored}, "restore", backup); code != exitOK {
		t.Fatal(stderr)
	}
	elsewhere := serve(t, []string{"DATABASE_URL=sqlite:" + restored})
	newKey(elsewhere).Refused(t, 409, "api_key_secret_gone")
	if again := claim(elsewhere).Want(t, 201); again.Text("id") != claimed.Text("id") {
		t.Errorf("the claim %s is answered with %s", claimed, again)
	}
	elsewhere.As(key.Text("apiKey")).Get(t, "/positions").Want(t, 200)
}

// A backup that is killed leaves nothing that stops the next.
func TestAKilledBackupIsMadeAgain(t *testing.T) {
	directory := t.TempDir()
	backup, partial := filepath.Join(directory, "b.db"), filepath.Join(directory, "b.db.partial")
	v := serveVerified(t, "sqlite:"+filepath.Join(t.TempDir(), "e.db"))
	env := []string{"DATABASE_URL=" + v.databaseURL}
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	// It may be done before it is killed.
	for !exists(partial) {
		_ = os.Remove(backup)
		p := launch(t, env, "backup", "-o", backup)
		for !exists(partial) && !exists(backup) {
			<-tick.C
		}
		p.end(t, syscall.SIGKILL)
	}

	if code, stdout, stderr := call(t, env, "backup", "-o", backup); code != exitOK {
		t.Fatalf("the next backup ends with %d, %q and %q", code, stdout, stderr)
	}
	if left := journaltest.Must(filepath.Glob(filepath.Join(directory, "*"))); len(left) != 1 {
		t.Errorf("beside the backup there is %q", left)
	}
	restored := []string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "restored.db")}
	if code, stdout, stderr := call(t, restored, "restore", backup); code != exitOK {
		t.Errorf("its restoration ends with %d, %q and %q", code, stdout, stderr)
	}
}

func TestBackupsThatCannotBe(t *testing.T) {
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	v := serveVerified(t, "sqlite:"+path("e.db"))
	if code, _, stderr := call(t, []string{"DATABASE_URL=" + v.databaseURL}, "backup", "-o", path("whole.db")); code != exitOK {
		t.Fatal(stderr)
	}
	v.tamper(t)
	v.end(t, syscall.SIGTERM)
	whole := journaltest.Must(os.ReadFile(path("whole.db")))
	damaged := slices.Clone(whole)
	copy(damaged[len(damaged)-5000:], make([]byte, 4000))
	for name, content := range map[string][]byte{"text": []byte("text"), "cut.db": whole[:len(whole)-4096], "damaged.db": damaged, "kept.db.partial": []byte("text")} {
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		command string
		code    int
		says    string
	}{
		{"backup --output=" + path("b.db") + " --database-url=sqlite:" + path("none.db"), exitFailure, "none.db"},
		{"backup --output=" + path("whole.db") + " --database-url=" + v.databaseURL, exitFailure, "exists already"},
		{"backup --output=" + path("kept.db") + " --database-url=" + v.databaseURL, exitFailure, "is in the way"},
		{"backup --output=" + path("none/b.db") + " --database-url=" + v.databaseURL, exitFailure, "no such file"},
		{"backup --output=" + path("b.db") + " --database-url=" + v.databaseURL, exitFailure, "the copy does not verify"},
		{"backup --output=" + path("b.db") + " --database-url=postgres://h/d", exitUsage, "this command is for SQLite files"},
		{"backup --output=" + path("b.db") + " --database-url=sqlite::memory:", exitUsage, "this command is for SQLite files"},
		{"backup --database-url=" + v.databaseURL, exitUsage, "--output"},
		{"restore " + path("whole.db") + " --database-url=" + v.databaseURL, exitFailure, "exists already"},
		{"restore " + path("text") + " --database-url=sqlite:" + path("b.db"), exitFailure, "is no database of EscrowGrid"},
		{"restore " + path("cut.db") + " --database-url=sqlite:" + path("b.db"), exitFailure, "cut.db"},
		{"restore " + path("damaged.db") + " --database-url=sqlite:" + path("b.db"), exitFailure, "damaged"},
		{"restore " + path("none") + " --database-url=sqlite:" + path("b.db"), exitUsage, "none"},
	} {
		code, stdout, stderr := call(t, nil, strings.Fields(test.command)...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%s ends with %d, %q and %q, want %d and %q", test.command, code, stdout, stderr, test.code, test.says)
		}
		if left := journaltest.Must(filepath.Glob(path("b.db*"))); len(left) > 0 {
			t.Fatalf("%s leaves %q", test.command, left)
		}
	}

	// SQLite would play what is left of another database into the new one.
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		left := path("b.db") + suffix
		if err := os.WriteFile(left, []byte("what a server wrote last"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{
			"backup --skip-verify --output=" + path("b.db") + " --database-url=" + v.databaseURL,
			"restore " + path("whole.db") + " --database-url=sqlite:" + path("b.db"),
		} {
			code, _, stderr := call(t, nil, strings.Fields(command)...)
			if code != exitFailure || !strings.Contains(stderr, left+" is there without its database") {
				t.Errorf("%s ends with %d: %s", command, code, stderr)
			}
			if there := journaltest.Must(filepath.Glob(path("b.db*"))); len(there) != 1 {
				t.Errorf("%s leaves %q", command, there)
			}
		}
		if err := os.Remove(left); err != nil {
			t.Fatal(err)
		}
	}
}
