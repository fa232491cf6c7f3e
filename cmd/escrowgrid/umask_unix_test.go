//go:build unix

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// Whatever the umask of whoever starts the program, nobody else can read what it writes.
func TestWhatTheProgramWritesIsItsOwnersAlone(t *testing.T) {
	directory := t.TempDir()
	openly := func(args string) *exec.Cmd {
		return exec.Command("sh", "-c", "umask 0; exec "+binary+" "+args) //nolint:noctx // The test ends it, in its own way.
	}
	path := func(name string) string { return filepath.Join(directory, name) }
	env := []string{"PORT=0", "DATABASE_URL=sqlite:" + path("e.db"), "CHECKPOINT_INTERVAL=100ms"}

	p := launchCommand(t, openly("serve"), env)
	url := p.servedURL(t)
	key, err := os.ReadFile(path("e.db.root-key"))
	if err != nil {
		t.Fatal(err)
	}
	p.Client = clientOf(t, url, strings.TrimSpace(string(key)))
	b := openBank(t, p.Client)
	admin := p.As(b.key)
	admin.Post(t, "/positions", b.claim("a")).Want(t, 201)
	admin.Send(t, apitest.Request{Method: "GET", Path: "/positions"}).Want(t, 200)
	p.awaitSigned(t, b, entriesOfABank)
	for _, args := range []string{
		"backup -o " + path("backup.db"),
		"export --institution " + b.id + " -o " + path("bundle") + " --url " + p.URL,
	} {
		tool := launchCommand(t, openly(args), append(slices.Clone(env), "API_KEY="+b.key))
		if code := tool.wait(t); code != exitOK {
			t.Errorf("%s ends with %d", args, code)
		}
	}

	var names []string
	err = filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		about, err := entry.Info()
		if err != nil {
			return err
		}
		if mode := about.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has the mode %o", entry.Name(), mode)
		}
		names = append(names, entry.Name())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"e.db", "e.db-wal", "e.db-shm", "e.db.root-key", "e.db.encryption-key", "backup.db", "bundle"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not there, only %s", want, strings.Join(names, " "))
		}
	}
	if code := p.end(t, syscall.SIGTERM); code != exitOK {
		t.Errorf("the server ends with %d", code)
	}
}
