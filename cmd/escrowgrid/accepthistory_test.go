package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// A server on an older copy of its database knows by what it has signed that entries are
// lost, and takes no command until the operator has accepted that.
func TestADatabaseThatWentBackIsClosedUntilThatIsAccepted(t *testing.T) {
	directory := t.TempDir()
	path, copied := filepath.Join(directory, "e.db"), filepath.Join(directory, "older.db")
	env := []string{"DATABASE_URL=sqlite:" + path, "CHECKPOINT_INTERVAL=100ms"}
	p := serve(t, env)
	b := openBank(t, p.Client)
	if code, stdout, stderr := call(t, env, "accept-history", b.id); code != exitFailure || !strings.Contains(stderr, "; stop it\n") {
		t.Errorf("beside a server it ends with %d, %q and %q", code, stdout, stderr)
	}
	admin := p.As(b.key)
	// A backup is verified, for which something must be signed.
	p.awaitSigned(t, b, entriesOfABank)
	if code, _, stderr := call(t, env[:1], "backup", "--output", copied); code != exitOK {
		t.Fatal(stderr)
	}
	admin.Post(t, "/positions", b.claim("lost")).Want(t, 201)
	p.awaitSigned(t, b, entriesOfABank+1)
	p.end(t, syscall.SIGTERM)

	if err := os.Rename(copied, path); err != nil {
		t.Fatal(err)
	}
	// Verification can tell, too, before a server has looked.
	againstSigned := []string{"verify", "--signed-checkpoints", path + ".signed"}
	if code, stdout, _ := call(t, env, againstSigned...); code != exitFailure || !strings.Contains(stdout, "that the server has signed") {
		t.Errorf("it verifies with %d: %s", code, stdout)
	}
	if code, stdout, stderr := call(t, env, "accept-history"); code != exitOK || !strings.Contains(stdout, "No institution is halted") {
		t.Errorf("before a server has looked it ends with %d, %q and %q", code, stdout, stderr)
	}
	p = serve(t, env)
	admin = p.As(b.key)
	answer, err := admin.Try(t.Context(), apitest.Request{Method: "POST", Path: "/positions", Body: b.claim("meanwhile"), Unreliable: true})
	if err != nil || answer.Text("code") != "history_lost" {
		t.Errorf("a command is answered with %v, %v", answer, err)
	}
	admin.Get(t, "/positions").Want(t, 200)
	p.end(t, syscall.SIGTERM)

	if code, stdout, _ := call(t, env, "accept-history"); code != exitOK || !strings.Contains(stdout, b.id) {
		t.Errorf("the list ends with %d: %s", code, stdout)
	}
	code, stdout, stderr := call(t, env, "accept-history", b.id)
	if code != exitOK || !strings.Contains(stdout, "are accepted as lost") {
		t.Fatalf("it ends with %d, %q and %q", code, stdout, stderr)
	}
	p = serve(t, env)
	admin = p.As(b.key)
	admin.Post(t, "/positions", b.claim("afterwards")).Want(t, 201)
	entry := admin.Get(t, "/audit-events?kind=HISTORY_ACCEPTED").Want(t, 200)
	if !strings.Contains(string(entry.Body), `"checkpoint"`) {
		t.Errorf("the entry is %s", entry.Body)
	}
	p.end(t, syscall.SIGTERM)
	if code, stdout, stderr := call(t, env, againstSigned...); code != exitOK {
		t.Errorf("it does not verify: %s%s", stdout, stderr)
	}
	if text := journaltest.Must(os.ReadFile(path + ".signed")); len(text) == 0 {
		t.Error("nothing that was signed is remembered")
	}

	if code, _, stderr := call(t, env, "accept-history", "inst_1"); code != exitUsage || !strings.Contains(stderr, "inst_1") {
		t.Errorf("an id that is none ends with %d: %s", code, stderr)
	}
}
