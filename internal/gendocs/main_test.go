package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestGeneratedDocumentationIsCurrent(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !bytes.Equal(file.before, file.after) {
			t.Errorf("%s differs from what go generate ./... makes: run it and commit the result", file.path)
		}
	}
}

// measured is a file of figures as the benchmarks store it.
const measured = `{"comparisons": [{"conditions": {"at": "2027-01-31T12:00:00Z", "version": "1.2.3", "roundSeconds": 4,
	"machine": {"processors": 2, "os": "linux/amd64", "go": "go1.26", "postgresql": "15"}}, "experiment": "pairs", "name": "pairs on SQLite, 50 connections", "unit": "pairs/s", "ratio": 0.5, "goal": 0.6, "contenders": [
		{"name": "floor", "rounds": [10, 20, 30], "median": 20, "latencyMs": {"50": 1.5, "99": 20, "99.9": 999.6}},
		{"name": "EscrowGrid", "rounds": [5, 10, 15], "median": 10, "cpuUs": 212}]}, {"conditions": {"at": "2027-01-31T12:00:00Z", "version": "1.2.3", "roundWork": 100,
	"machine": {"processors": 2, "os": "linux/amd64", "go": "go1.26", "postgresql": "15"}}, "experiment": "paced", "name": "p99 on PostgreSQL", "unit": "ms", "ratio": 0, "goal": 3, "atMost": true,
	"unmeasured": ["pgbench", "EscrowGrid"], "contenders": [
		{"name": "pgbench", "rounds": [0, 0, 0], "median": 0}, {"name": "EscrowGrid", "rounds": [5, 0, 15], "median": 10}]}]}`

func TestRunWritesFilesThatSettle(t *testing.T) {
	copied := t.TempDir()
	for _, directory := range []string{filepath.Join("docs", "performance"), filepath.Join("cmd", "escrowgrid")} {
		if err := os.MkdirAll(filepath.Join(copied, directory), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := filepath.Glob(filepath.Join(root, "cmd", "escrowgrid", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(copied, "cmd", "escrowgrid", filepath.Base(source)), string(content))
	}

	write(t, filepath.Join(copied, "docs", "performance", "figures.json"), measured)
	for section, name := range map[string]string{
		"errors":        "errors",
		"permissions":   "permissions",
		"configuration": "configuration",
		"figures":       "performance",
	} {
		write(t, filepath.Join(copied, "docs", name+".md"), "# Head\n\n"+
			"<!-- begin generated: "+section+" -->\nold\n<!-- end generated: "+section+" -->\n\nFoot\n")
	}

	var last map[string]string
	for round := range 2 {
		if err := run([]string{copied}); err != nil {
			t.Fatal(err)
		}
		written := make(map[string]string)
		for _, name := range []string{
			"openapi.json", "errors.md", "permissions.md", "configuration.md", "performance.md",
			"performance/pairs-on-sqlite-50-connections.svg", "performance/p99-on-postgresql.svg",
		} {
			content, err := os.ReadFile(filepath.Join(copied, "docs", name))
			if err != nil {
				t.Fatal(err)
			}
			written[name] = string(content)
		}
		if round > 0 {
			if diff := cmp.Diff(last, written); diff != "" {
				t.Errorf("the second run changed what the first had made:\n%s", diff)
			}
		}
		last = written
	}

	for name, expected := range map[string]string{
		"openapi.json":     `"openapi": "3.1.0"`,
		"errors.md":        "| `invalid_input` | Invalid input |",
		"permissions.md":   "| `positions.fund` | move positions to FUNDED |",
		"configuration.md": "| `PORT` | `4000` |",
		"performance.md":   "| floor | 20 | 10 | 30 | 1.5 ms | 20 ms | 1e+03 ms |",
		"performance/pairs-on-sqlite-50-connections.svg": "pairs/s",
		"performance/p99-on-postgresql.svg":              "pgbench: unmeasured",
	} {
		if !strings.Contains(last[name], expected) {
			t.Errorf("%s does not have %s", name, expected)
		}
	}
	if table := last["performance.md"]; !strings.Contains(table, "| 212 µs | **0.5** | ≥ 0.6, missed |") {
		t.Errorf("the ratio is not in the last contender's line:\n%s", table)
	}
	for _, line := range []string{
		"3 rounds of 4 s.", "3 rounds of 100 pieces of work.", "| pgbench | unmeasured | unmeasured | unmeasured |",
		"| EscrowGrid | 10 | unmeasured | 15 |  |  |  |  | unmeasured | ≤ 3 |",
	} {
		if table := last["performance.md"]; !strings.Contains(table, line) {
			t.Errorf("the tables do not have %q:\n%s", line, table)
		}
	}
	for _, name := range []string{"errors.md", "permissions.md", "configuration.md", "performance.md"} {
		text := last[name]
		if !strings.HasPrefix(text, "# Head\n") || !strings.HasSuffix(text, "\nFoot\n") || strings.Contains(text, "old\n") {
			t.Errorf("%s has not kept the text around the section, or not replaced the section:\n%s", name, text)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRunRefusesInvalidArguments(t *testing.T) {
	if err := run(nil); err == nil {
		t.Error("no argument was accepted")
	}
	if err := run([]string{t.TempDir()}); err == nil {
		t.Error("a directory that is not a repository was accepted")
	}
	if _, err := replaceSection([]byte("# No markers\n"), "errors", ""); err == nil {
		t.Error("a page without markers was accepted")
	}
}

// An unreadable configuration must stop the generator, rather than leave gaps in the
// table.
func TestConfigurationTableRefusesUnreadableSource(t *testing.T) {
	for name, source := range map[string]string{
		"no struct":           `package main`,
		"a syntax error":      `package main; type serverFlags struct {`,
		"an unknown part":     "package main\ntype serverFlags struct { A string `env:\"A\" help:\"${nothing}\"` }",
		"a part not constant": "package main\ntype serverFlags struct { A string `env:\"A\" help:\"${a}\"` }\nvar v = kong.Vars{\"a\": f()}",
		"a foreign struct":    "package main\ntype serverFlags struct { other.Flags }",
		"a missing struct":    "package main\ntype serverFlags struct { more }",
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			write(t, filepath.Join(directory, "main.go"), source)
			if table, err := configurationTable(directory); err == nil {
				t.Errorf("got %q", table)
			}
		})
	}
}

func TestRowKeepsABarInItsCell(t *testing.T) {
	var line bytes.Buffer
	writeRow(&line, "a|b", "c")
	if got, want := line.String(), "| a\\|b | c |\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
