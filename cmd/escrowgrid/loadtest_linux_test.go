package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/procfs"
)

// childOf returns the process id of a child of a load test, by an argument that only this child
// has. Only Linux tells.
func childOf(t *testing.T, p *process, argument string) int {
	t.Helper()
	processes, err := procfs.AllProcs()
	if err != nil {
		t.Fatal(err)
	}
	for _, candidate := range processes {
		stat, err := candidate.Stat()
		if err != nil || stat.PPID != p.cmd.Process.Pid {
			continue
		}
		if line, err := candidate.CmdLine(); err == nil && slices.Contains(line, argument) {
			return candidate.PID
		}
	}
	t.Fatalf("the load test has no child with the argument %q; it says\n%s", argument, p.stderr.String())
	return 0
}

// The end of a private server or of k6 ends a load test at once, however long it was to last.
// Its report is there, and says what is known.
func TestALoadTestWhoseServerOrK6EndsIsReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		child string
		code  int
		says  []string
		// keepsTo is what it does not say.
		keepsTo string
	}{
		"the server": {"serve", 96, []string{
			"the server ended at ", "by signal killed", "there exactly once is not established",
		}, "0 differences"},
		"k6": {"--quiet", exitFailure, []string{
			"k6 stopped: a signal ended it", "there exactly once",
		}, "NOT ESTABLISHED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, report, temporary := loadTest(t, "--duration", "1h")
			p.eventually(t, "the load begins", func() bool {
				return strings.Contains(p.stderr.String(), "the load has begun")
			})
			if err := syscall.Kill(childOf(t, p, test.child), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			code, said := p.wait(t), p.stdout.String()
			page, err := os.ReadFile(filepath.Join(report, "report.html"))
			if code != test.code || err != nil {
				t.Errorf("exit code %d, %v; it says\n%s%s", code, err, said, p.stderr.String())
			}
			if strings.Contains(said, test.keepsTo) {
				t.Errorf("it says %q:\n%s", test.keepsTo, said)
			}
			for _, says := range test.says {
				if !strings.Contains(said, says) || !strings.Contains(string(page), says) {
					t.Errorf("%q is not in the page or in\n%s", says, said)
				}
			}

			// What was measured until then is there, and a build server shows the failure.
			if readCorrectness(t, report).Acknowledged == 0 {
				t.Error("the report has no acknowledged operation")
			}
			content, err := os.ReadFile(filepath.Join(report, "junit.xml"))
			if err != nil {
				t.Fatal(err)
			}
			var suites struct {
				Suites []struct {
					Failures int `xml:"failures,attr"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(content, &suites); err != nil {
				t.Fatal(err)
			}
			if failures := suites.Suites[0].Failures; failures != 1 || !strings.Contains(string(content), test.says[0]) {
				t.Errorf("junit.xml has %d failures for the run:\n%s", failures, content)
			}
			checkEmpty(t, temporary)
		})
	}
}
