package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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

// Every user of a machine can read the arguments of programs, so no flag takes a secret, and the
// answer says where else it goes.
func TestNoSecretIsAFlag(t *testing.T) {
	inVariable := func(name string) string { return name + ", or in the file that " + name + "_FILE names" }
	for args, says := range map[string]string{
		"serve --database-url=postgres://me:hidden@db/name":          inVariable("DATABASE_URL"),
		"migrate --database-url=postgres://me:hidden@%zz/name":       inVariable("DATABASE_URL"),
		"verify --database-url=postgres://db/name?password=hidden":   inVariable("DATABASE_URL"),
		"verify --url=http://127.0.0.1:1 --api-key=hidden":           inVariable("API_KEY"),
		"verify --url=https://me:hidden@escrow.example.com":          "leave out the password",
		"export --institution=x --output=y --api-key=hidden":         inVariable("API_KEY"),
		"loadtest --root-api-key=hidden":                             inVariable("ROOT_API_KEY"),
		"loadtest --database postgres://me:hidden@db/name":           "PGPASSWORD",
		"loadtest --prometheus-url=https://me:hidden@metrics/write":  "leave out the password",
		"serve --otel-exporter-otlp-endpoint=https://me:hidden@host": "leave out the password",
	} {
		t.Run(args, func(t *testing.T) {
			checkNotTaken(t, strings.Fields(args), says)
		})
	}
	for _, name := range secretVariables {
		t.Run(name, func(t *testing.T) {
			flag := "--" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))
			checkNotTaken(t, []string{"serve", flag + "=hidden"}, inVariable(name))
			if _, help, _ := call(t, nil, "serve", "--help"); strings.Contains(help, flag+"=") {
				t.Error("the help text offers the flag")
			}
		})
	}

	t.Run("a URL without a password", func(t *testing.T) {
		code, _, stderr := call(t, nil, "migrate", "--database-url=postgres://me@127.0.0.1:1/name?user=me@home")
		if code != 1 || !strings.Contains(stderr, "not available") {
			t.Errorf("%d: %s", code, stderr)
		}
	})
}

// A variable that is added later and named like a secret has no flag either.
func TestWhatIsNamedLikeASecretIsTaggedAsOne(t *testing.T) {
	t.Parallel()
	likeASecret := regexp.MustCompile(`_(KEY|KEY_PREVIOUS|SECRET|PASSWORD|TOKEN|HEADERS)$`)
	found := 0
	for _, command := range reflect.VisibleFields(reflect.TypeFor[cli]()) {
		if command.Type.Kind() != reflect.Struct {
			continue
		}
		for _, field := range reflect.VisibleFields(command.Type) {
			_, isSecret := field.Tag.Lookup("secret")
			if name := field.Tag.Get("env"); likeASecret.MatchString(name) {
				found++
				if !isSecret {
					t.Errorf("%s: %s has no tag that says that it is a secret", command.Name, name)
				}
			}
		}
	}
	if found < len(secretVariables) {
		t.Errorf("%d variables are named like a secret", found)
	}
}

func checkNotTaken(t *testing.T, args []string, says string) {
	t.Helper()
	code, stdout, stderr := call(t, nil, args...)
	if code != 2 || stdout != "" || !strings.Contains(stderr, says) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("it ends with %d, %q and %q, want %q", code, stdout, stderr, says)
	}
	if strings.Contains(stderr, "hidden") {
		t.Errorf("it tells a secret: %s", stderr)
	}
}
