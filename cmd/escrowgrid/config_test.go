package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A wrong value stops the start with one line that names the variable, the value
// and what it takes.
func TestWrongValues(t *testing.T) {
	long := strings.Repeat("x", 32)
	for _, test := range []struct{ variable, value, shown, takes string }{
		{"PORT", "http", "http", "0 to 65535"},
		{"PORT", "65536", "65536", "0 to 65535"},
		{"PORT", "-1", "-1", "0 to 65535"},
		{"PORT", "", "", "0 to 65535"},
		{"DATABASE_URL", "mysql://user:hidden@host/name", "mysql:…", "sqlite:PATH"},
		{"DATABASE_URL", "host=db user=me password=hidden", "(not shown)", "sqlite:PATH"},
		{"DATABASE_URL", "me:hidden@host/name", "me:…", "sqlite:PATH"},
		{"DATABASE_URL", "password=hidden:x", "(not shown)", "sqlite:PATH"},
		{"DATABASE_URL", "escrowgrid.db", "(not shown)", "sqlite:PATH"},
		{"DATABASE_URL", "sqlite:", "sqlite:…", "sqlite:PATH"},
		{"DATABASE_URL", "postgres://me:hidden@%zz/name", "postgres:…", "postgres://"},
		{"DATABASE_URL", "postgresql://me:hidden@host/name?sslmode=hidden", "postgresql:…", "postgres://"},
		{"DATABASE_CONNECTIONS", "-1", "-1", "0 to 1000"},
		{"ROOT_API_KEY", "hidden", "(secret)", "32 characters"},
		{"ROOT_API_KEY", "hidden" + long + "\n", "(secret)", "visible ASCII"},
		{"ROOT_API_KEY", "hidden" + long + "é", "(secret)", "visible ASCII"},
		{"METRICS_API_KEY", "hidden", "(secret)", "32 characters"},
		{"METRICS_API_KEY", "hidden " + long, "(secret)", "visible ASCII"},
		{"ROOT_API_KEY_ALLOWED_IPS", "10.0.0.0/33", "10.0.0.0/33", "networks"},
		{"ROOT_API_KEY_ALLOWED_IPS", "10.0.0.0/8,office", "10.0.0.0/8,office", "networks"},
		{"TRUSTED_PROXIES", "localhost", "localhost", "networks"},
		{"PUBLIC_DOCS_ENABLED", "yes", "yes", "true or false"},
		{"CORS_ALLOWED_ORIGINS", "console.example.com", "console.example.com", "origins"},
		{"CORS_ALLOWED_ORIGINS", "https://a.example.com/", "https://a.example.com/", "origins"},
		{"CORS_ALLOWED_ORIGINS", "https://a.example.com,*.example.com", "https://a.example.com,*.example.com", "origins"},
		{"RATE_LIMIT_ENABLED", "1", "1", "true or false"},
		{"RATE_LIMIT_RPS", "0", "0", "1 to 1000000"},
		{"RATE_LIMIT_BURST", "many", "many", "1 to 1000000"},
		{"REQUEST_TIMEOUT", "15", "15", "duration"},
		{"REQUEST_TIMEOUT", "1ms", "1ms", "duration"},
		{"SHUTDOWN_TIMEOUT", "-1s", "-1s", "duration"},
		{"QUEUE_SIZE", "0", "0", "whole number"},
		{"BATCH_SIZE", "10001", "10001", "whole number"},
		{"EXPIRY_INTERVAL", "never", "never", "duration"},
		{"LOG_LEVEL", "loud", "loud", "debug, info, warn or error"},
		{"LOG_LEVEL", "info+2", "info+2", "debug, info, warn or error"},
		{"LOG_FORMAT", "xml", "xml", "json or text"},
	} {
		t.Run(test.variable+" "+test.value, func(t *testing.T) {
			env := []string{"ROOT_API_KEY=" + testRootKey, "PORT=0"}
			flag := "--" + strings.ReplaceAll(strings.ToLower(test.variable), "_", "-") + "=" + test.value
			commands := [][]string{{"serve"}, {"demo"}, {"migrate"}}
			if !strings.HasPrefix(test.variable, "DATABASE_") {
				commands = commands[:2]
			}
			for _, command := range commands {
				for how, given := range map[string]struct{ env, args []string }{
					"variable": {append(env, test.variable+"="+test.value), command}, "flag": {env, append(command, flag)},
				} {
					// A value that is taken nevertheless starts a server, which must not run on.
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					code, stdout, stderr := call(ctx, t, given.env, given.args...)
					cancel()
					line := stderr.String()
					if code != exitUsage || stdout.String() != "" || strings.Count(line, "\n") != 1 {
						t.Fatalf("%s, the %s ends with %d, %q and %q", command, how, code, stdout, line)
					}
					for _, part := range []string{test.variable + ":", fmt.Sprintf("%q", test.shown), test.takes} {
						if !strings.Contains(line, part) {
							t.Errorf("%s: the line lacks %q: %s", how, part, line)
						}
					}
					if strings.Contains(line, "hidden") {
						t.Errorf("%s: the line tells a secret: %s", how, line)
					}
				}
			}
			// Nothing is left of a start that did not take place.
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("there is %v, %v", left, err)
			}
		})
	}
}

func TestPostgresNeedsARootKey(t *testing.T) {
	// Nothing listens there: it is not even asked.
	const nowhere = "DATABASE_URL=postgres://me:hidden@127.0.0.1:1/name"
	for _, args := range [][]string{{"serve"}, {"serve", "--migrate"}} {
		code, _, stderr := call(t.Context(), t, []string{nowhere}, args...)
		if code != exitUsage || !strings.Contains(stderr.String(), "ROOT_API_KEY") || !strings.Contains(stderr.String(), "32 characters") || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v ends with %d: %s", args, code, stderr)
		}
	}
}

func TestFailuresAreNotUsage(t *testing.T) {
	directory := t.TempDir()
	short := filepath.Join(directory, "short.db")
	if err := os.WriteFile(short+".root-key", []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env  []string
		says string
	}{
		"a directory that is not there": {[]string{"DATABASE_URL=sqlite:" + filepath.Join(directory, "nothing", "e.db")}, "no such file"},
		"a root key that is cut":        {[]string{"DATABASE_URL=sqlite:" + short}, "less than 32 characters"},
		"an address of nobody":          {[]string{"HOST=192.0.2.1"}, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := call(t.Context(), t, append([]string{"PORT=0"}, test.env...), "serve")
			if code != exitFailure || !strings.Contains(stderr.String(), test.says) {
				t.Errorf("it ends with %d: %s", code, stderr)
			}
		})
	}
}
