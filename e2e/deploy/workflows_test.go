package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whoever can move a tag of an action could put code into a release: only a commit cannot
// be moved. Its version stands behind it for people.
func TestWorkflowsPinActionsByCommit(t *testing.T) {
	paths, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil {
		t.Fatal(err)
	}

	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	actions := 0
	for _, path := range paths {
		workflow, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(workflow)) {
			_, action, found := strings.Cut(line, "uses: ")
			if !found {
				continue
			}
			actions++
			if !pinned.MatchString(strings.TrimSpace(action)) {
				t.Errorf("%s uses %s, not pinned by its commit and followed by its version", path, strings.TrimSpace(action))
			}
		}
	}
	if actions == 0 {
		t.Error("no workflow uses any action")
	}
}

// The program takes no password on its command line, so a pipeline that gives one fails, always.
// A build of Jenkins without a report has failed by its verdict; it must not fail once more for
// the report, nor show that of an earlier build.
func TestPipelinesOfLoadTests(t *testing.T) {
	withPassword := regexp.MustCompile(`postgres(ql)?://[^/@\s]*:[^/@\s]*@`)
	for path, wanted := range map[string][]string{
		"../../.github/workflows/load-test.yml": {"PGPASSWORD: "},
		"../../load/Jenkinsfile": {
			"password(name: 'PGPASSWORD'",
			"sh 'rm -rf loadtest-report'",
			"junit allowEmptyResults: true, testResults: 'loadtest-report/junit.xml'",
		},
	} {
		pipeline, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if found := withPassword.Find(pipeline); found != nil {
			t.Errorf("%s has a URL with a password: %s", path, found)
		}
		for _, text := range wanted {
			if !strings.Contains(string(pipeline), text) {
				t.Errorf("%s does not have %q", path, text)
			}
		}
	}
}
