package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fileWith writes a file with a content.
func fileWith(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretsInFiles(t *testing.T) {
	root, metrics := "root-"+testRootKey, "metrics-"+testRootKey
	database := "sqlite:" + filepath.Join(t.TempDir(), "in-a-file.db")
	p := launch(t, []string{
		"PORT=0", "ROOT_API_KEY_FILE=" + fileWith(t, root+"\n"), "METRICS_API_KEY_FILE=" + fileWith(t, metrics+"\r\n"),
		"DATABASE_URL_FILE=" + fileWith(t, database),
	}, "serve")
	p.Client = clientOf(t, p.servedURL(t), root)
	p.Get(t, "/institutions").Want(t, 200)
	p.As(metrics).Get(t, "/metrics").Want(t, 200)
	if _, err := os.Stat(strings.TrimPrefix(database, "sqlite:")); err != nil {
		t.Error("the database is not where the file says:", err)
	}

	t.Run("a flag wins over the file", func(t *testing.T) {
		env := []string{"PORT=0", "DATABASE_URL=sqlite::memory:", "ROOT_API_KEY_FILE=" + fileWith(t, root)}
		p := launch(t, env, "serve", "--root-api-key", metrics)
		clientOf(t, p.servedURL(t), metrics).Get(t, "/institutions").Want(t, 200)
	})
	t.Run("the configuration is printed without them", func(t *testing.T) {
		code, printed, _ := call(t, []string{
			"ROOT_API_KEY_FILE=" + fileWith(t, root), "DATABASE_URL_FILE=" + fileWith(t, "postgres://me:hidden@db/name"),
		}, "serve", "--print-config")
		if code != 0 || !strings.Contains(printed, "ROOT_API_KEY=(set)\n") || !strings.Contains(printed, "DATABASE_URL=postgres://me:xxxxx@db/name\n") {
			t.Errorf("%d: %s", code, printed)
		}
	})
	for behaviour, test := range map[string]struct {
		env   []string
		tells string
	}{
		"both the variable and its file": {
			[]string{"ROOT_API_KEY=" + root, "ROOT_API_KEY_FILE=" + fileWith(t, root)}, "ROOT_API_KEY and ROOT_API_KEY_FILE: only one",
		},
		"a file that is not there": {[]string{"METRICS_API_KEY_FILE=/nowhere/at/all"}, "METRICS_API_KEY_FILE: open /nowhere/at/all"},
		"an empty file":            {[]string{"ROOT_API_KEY_FILE=" + fileWith(t, "\n")}, "is empty"},
		"a file of another kind":   {[]string{"ROOT_API_KEY_FILE=" + fileWith(t, strings.Repeat("hidden", 20_000))}, "has more than 65536 bytes"},
		"a value that is wrong":    {[]string{"ROOT_API_KEY_FILE=" + fileWith(t, "hidden")}, "ROOT_API_KEY: "},
	} {
		t.Run(behaviour, func(t *testing.T) {
			code, _, line := call(t, append(test.env, "DATABASE_URL=sqlite::memory:", nowhere), "serve")
			if code != 2 || !strings.Contains(line, test.tells) || strings.Count(line, "\n") != 1 {
				t.Errorf("%d: %q, want 2 and %q", code, line, test.tells)
			}
			if strings.Contains(line, "hidden") || strings.Contains(line, root) {
				t.Errorf("the line tells a secret: %q", line)
			}
		})
	}
}
