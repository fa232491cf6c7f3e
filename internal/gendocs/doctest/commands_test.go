package doctest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// How pages write what is run here:
//
//   - The sh blocks of a page that have a curl in them are run in order, in one
//     shell.
//   - Each curl is followed by a comment with the status that it is answered with:
//     # → 201
//   - A json block right behind such a block is the answer that it prints, a text
//     block is all that it prints. Ids, keys and times may differ.

var update = flag.Bool("update", false, "write the answers that were given into the pages")

func TestAPIGuideRuns(t *testing.T) {
	run(t, "docs/api-guide.md", serve(t))
}

func TestTheWalksRun(t *testing.T) {
	run(t, "docs/approvals.md", serve(t))
	run(t, "docs/holds.md", serve(t))
}

func TestREADMETourRuns(t *testing.T) {
	output, environment := demo(t)
	run(t, "README.md", environment)

	// The sample is shortened: a line with … stands for any number of lines.
	found, _ := blocks("README.md", page(t, "README.md"))
	for _, b := range found {
		if b.kind != "text" || !strings.HasPrefix(b.content, "EscrowGrid serves on") {
			continue
		}
		rest := neutral(output)
		for i, line := range strings.Split(strings.TrimSuffix(b.content, "\n"), "\n") {
			if line == "" || strings.TrimSpace(line) == "…" {
				continue
			}
			_, after, ok := strings.Cut(rest, neutral(line)+"\n")
			if !ok {
				t.Fatalf("README.md:%d: the demo does not print, here:\n%s\nbut:\n%s", b.line+i, line, rest)
			}
			rest = after
		}
		return
	}
	t.Error("README.md has no sample of the demo's output")
}

// program builds the program, once.
func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "escrowgrid")
	output, err := exec.CommandContext(context.Background(), "go", "build", "-o", path, root+"/cmd/escrowgrid").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, nil
})

// scratch is a directory for as long as the tests run.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "escrowgrid-doctest-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := os.RemoveAll(scratch); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return code
	}())
}

// serve starts a server on SQLite and returns what its clients need.
func serve(t *testing.T) (environment []string) {
	t.Helper()
	database := filepath.Join(t.TempDir(), "escrowgrid.db")
	_, stderr := start(t, "serve", "DATABASE_URL=sqlite:"+database)
	url := ""
	for url == "" && stderr.Scan() {
		var entry struct{ Msg, URL string }
		if json.Unmarshal(stderr.Bytes(), &entry) == nil && entry.Msg == "serving" {
			url = entry.URL
		}
	}
	key, err := os.ReadFile(database + ".root-key")
	if err != nil {
		t.Fatal(err)
	}
	return []string{"API_URL=" + url, "ROOT_API_KEY=" + strings.TrimSpace(string(key))}
}

// demo starts a demonstration and returns what it prints, and what it says should
// be exported.
func demo(t *testing.T) (output string, environment []string) {
	t.Helper()
	stdout, _ := start(t, "demo", "TMPDIR="+t.TempDir())
	for stdout.Scan() {
		line := stdout.Text()
		output += line + "\n"
		if setting, ok := strings.CutPrefix(line, "export "); ok {
			environment = append(environment, setting)
		}
		if strings.HasPrefix(line, "Serving until") {
			return output, environment
		}
	}
	t.Fatalf("the demo ended:\n%s", output)
	return "", nil
}

// start starts the program on a free port, and stops it when the test ends.
func start(t *testing.T, command string, environment ...string) (stdout, stderr *bufio.Scanner) {
	t.Helper()
	server := exec.CommandContext(context.WithoutCancel(t.Context()), program(t), command)
	// Only what is given here decides how the server behaves.
	server.Env = append([]string{"PORT=0", "PATH=" + os.Getenv("PATH")}, environment...)
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errors, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		var rest sync.WaitGroup
		for _, pipe := range []io.Reader{output, errors} {
			rest.Go(func() { _, _ = io.Copy(io.Discard, pipe) })
		}
		rest.Wait()
		if err := server.Wait(); err != nil {
			t.Errorf("%s ended with %v", command, err)
		}
	})
	return bufio.NewScanner(output), bufio.NewScanner(errors)
}

// prologue makes curl note the status of each answer, and expect look at it.
const prologue = `set -eu
curl() { command curl --write-out '%{stderr}%{http_code}\n' "$@" 2>>"$DOCTEST/statuses"; }
expect() {
	status=$(tail -n 1 "$DOCTEST/statuses")
	[ "$status" = "$1" ] || { echo "$2: answered with $status, not $1" >&2; exit 1; }
}
`

var expectation = regexp.MustCompile(`^# → (\d{3})$`)

// run runs a page's commands and compares what they print with what the page shows.
func run(t *testing.T, path string, environment []string) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("the commands of the documentation need curl: install it")
	}
	text := page(t, path)
	all, _ := blocks(path, text)
	directory := t.TempDir()
	script := prologue
	for i, b := range all {
		if b.runs() {
			script += b.script(t, i)
		}
	}
	if script == prologue {
		t.Fatalf("%s has no commands", path)
	}
	shell := exec.CommandContext(t.Context(), "sh")
	shell.Stdin = strings.NewReader(script)
	shell.Dir = directory
	shell.Env = slices.Concat(environment, []string{"PATH=" + os.Getenv("PATH"), "DOCTEST=" + directory})
	said, err := shell.CombinedOutput()

	// A block that was not reached has no file.
	var last []byte
	for i, b := range all {
		if printed, readErr := os.ReadFile(filepath.Join(directory, strconv.Itoa(i))); b.runs() && readErr == nil {
			last = printed
			if i+1 < len(all) && err == nil {
				text = compare(t, text, all[i+1], printed)
			}
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s\nThe last block printed:\n%s", err, said, last)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (b block) runs() bool { return b.kind == "sh" && strings.Contains(b.content, "curl ") }

// script is a block with its expectations as commands, and what it prints in a
// file.
func (b block) script(t *testing.T, index int) string {
	t.Helper()
	lines := strings.Split(b.content, "\n")
	commands, expectations := 0, 0
	for i, line := range lines {
		if status := expectation.FindStringSubmatch(line); status != nil {
			lines[i] = fmt.Sprintf("expect %s %s:%d", status[1], b.page, b.line+i)
			expectations++
		} else if !strings.HasPrefix(line, "#") {
			commands += strings.Count(line, "curl ")
		}
	}
	if commands != expectations {
		t.Errorf("%s:%d: %d commands, and %d statuses that they should have", b.page, b.line, commands, expectations)
	}
	return fmt.Sprintf("{\n%s\n} >\"$DOCTEST/%d\"\n", strings.Join(lines, "\n"), index)
}

// compare compares what a block printed with the block behind it. It returns the
// page, with -update as it should be.
func compare(t *testing.T, text string, shown block, printed []byte) string {
	t.Helper()
	wanted := shown.content
	switch shown.kind {
	case "json":
		var indented bytes.Buffer
		if err := json.Indent(&indented, bytes.TrimSpace(printed), "", "  "); err != nil {
			t.Errorf("%s:%d: the answer is no JSON: %s", shown.page, shown.line, printed)
			return text
		}
		printed = append(indented.Bytes(), '\n')
	case "text":
	default:
		return text
	}
	if *update {
		return strings.Replace(text, "```"+shown.kind+"\n"+wanted+"```", "```"+shown.kind+"\n"+string(printed)+"```", 1)
	}
	if diff := cmp.Diff(neutral(wanted), neutral(string(printed))); diff != "" {
		t.Errorf("%s:%d: the answer is not the one shown (-shown +given); -update writes what was given:\n%s", shown.page, shown.line, diff)
	}
	return text
}

// neutral takes out of a text what differs from run to run.
func neutral(text string) string {
	for _, changing := range []struct{ pattern, name string }{
		{`\b(inst|key|tmpl|ast|pos|apr|hld|entry)_[0-7][0-9a-hjkmnp-tv-z]{25}\b`, "${1}_ID"},
		{`\breq_[a-z2-7]{26}\b`, "REQUEST_ID"},
		{`\begk_[0-9A-Za-z]{49}\b`, "KEY"},
		{`\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, "TIME"},
		{`("nextCursor": )"[^"]+"`, "${1}CURSOR"},
		{`("leafHash": )"[^"]+"`, "${1}HASH"},
		{`("version": )"[^"]+"`, "${1}VERSION"},
		{`("digest": )"[0-9a-f]{64}"`, "${1}DIGEST"},
		{`127\.0\.0\.1:[0-9]+`, "ADDRESS"},
		{`\r`, ""},
	} {
		text = regexp.MustCompile(changing.pattern).ReplaceAllString(text, changing.name)
	}
	return text
}
