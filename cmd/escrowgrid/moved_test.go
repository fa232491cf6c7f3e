package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// Nothing is acknowledged that goes into a file which nobody will find, and the server stops. It
// leaves what has taken the place alone.
func TestAServerStopsWhenItsSQLiteFileIsGone(t *testing.T) {
	t.Parallel()
	replaced := func(path string) error {
		content, err := os.ReadFile(path)
		return errors.Join(err, os.Rename(path, path+".old"), os.WriteFile(path, content, 0o600))
	}
	for name, test := range map[string]struct {
		harm func(path string) error
		// left are files of others that must still be there.
		left []string
	}{
		"removed":             {os.Remove, nil},
		"its log removed":     {func(path string) error { return os.Remove(path + "-wal") }, nil},
		"its directory moved": {func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old") }, nil},
		"replaced": {func(path string) error {
			return errors.Join(replaced(path), replaced(path+"-wal"), replaced(path+"-shm"))
		}, []string{"", "-wal", "-shm"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data", "e.db")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			p := serve(t, []string{"DATABASE_URL=sqlite:" + path})
			b := openBank(t, p.Client)
			if err := test.harm(path); err != nil {
				t.Fatal(err)
			}

			// The server may have stopped before it is asked.
			answer, _ := p.As(b.key).Try(t.Context(), apitest.Request{
				Method: http.MethodPost, Path: "/positions", Body: b.claim("lost"), Unreliable: true,
			})
			if answer.Status != 0 && (answer.Status != http.StatusServiceUnavailable || answer.Text("code") == "outcome_unknown") {
				t.Errorf("a position is answered with %s", answer)
			}
			if code := p.wait(t); code != exitFailure || !strings.Contains(p.stderr.String(), "no longer where it was opened: "+path) {
				t.Errorf("the server ends with %d", code)
			}
			for _, suffix := range test.left {
				if _, err := os.Stat(path + suffix); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Without a request, too.
func TestAServerThatNobodyAsksStopsWhenItsSQLiteFileIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "e.db")
	p := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != exitFailure {
		t.Errorf("the server ends with %d", code)
	}
}
