package loadtest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Nothing of an earlier test can be taken for this one's, and nothing else is removed.
func TestTheReportOfAnEarlierTestIsRemoved(t *testing.T) {
	directory := t.TempDir()
	own := []string{
		"report.html", "summary.json", "junit.xml", "server.log", "k6/summary.json", "k6/k6.log",
		"run-1/server.log", "run-1/k6/summary.json", "run-1/k6/k6.log",
	}
	others := []string{"baseline.json", "run-2/mine.txt", "run-away/k6/summary.json", "run-3/k6/mine.txt"}
	for _, name := range append(slices.Clone(own), others...) {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := emptyReport(directory); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(own, "k6", "run-1") {
		if _, err := os.Stat(filepath.Join(directory, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(directory, name)); err != nil {
			t.Error(err)
		}
	}

	// A program of that name is not a folder of a report.
	program := filepath.Join(directory, "k6")
	if err := os.WriteFile(program, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := emptyReport(directory); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Error(err)
	}
}
