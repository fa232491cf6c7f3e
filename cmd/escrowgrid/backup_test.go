package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/apitest"
	"github.com/escrowgrid/escrowgrid/internal/journaltest"
)

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
	var mu sync.Mutex
	var acknowledged []string
	written := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(acknowledged)
	}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 8 {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				reference := fmt.Sprintf("%d-%d", worker, i)
				answer, err := p.As(b.key).Try(t.Context(), apitest.Request{Method: "POST", Path: "/positions", Body: b.claim(reference)})
				if err != nil || answer.Status != 201 {
					t.Errorf("a position is answered with %s, %v", answer, err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, reference)
				mu.Unlock()
			}
		})
	}
	p.eventually(t, "the load is on", func() bool { return len(written()) > 300 })
	before := written()
	code, stdout, stderr := call(t, []string{"DATABASE_URL=" + database}, "backup", "--output", backup)
	after := written()
	close(stop)
	writing.Wait()
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
	admin := serve(t, []string{restored}).As(b.key)
	kept := admin.Walk(t, "/positions?limit=1000", "externalReference")
	for _, reference := range before {
		if !slices.Contains(kept, reference) {
			t.Errorf("the position %s was acknowledged before the backup, and is not in it", reference)
		}
	}
	checkJournal(t, admin, entriesOfABank+len(kept))
	admin.Post(t, "/positions", b.claim("after the restoration")).Want(t, 201)
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
	for name, content := range map[string][]byte{"text": []byte("text"), "cut.db": whole[:len(whole)-4096], "damaged.db": damaged} {
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
		{"backup --output=" + path("whole.db") + " --database-url=" + v.databaseURL, exitFailure, "is there already"},
		{"backup --output=" + path("none/b.db") + " --database-url=" + v.databaseURL, exitFailure, "no such file"},
		{"backup --output=" + path("b.db") + " --database-url=" + v.databaseURL, exitFailure, "the copy does not verify"},
		{"backup --output=" + path("b.db") + " --database-url=postgres://h/d", exitUsage, "this is for SQLite files"},
		{"backup --output=" + path("b.db") + " --database-url=sqlite::memory:", exitUsage, "this is for SQLite files"},
		{"backup --database-url=" + v.databaseURL, exitUsage, "--output"},
		{"restore " + path("whole.db") + " --database-url=" + v.databaseURL, exitFailure, "is there already"},
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
}
