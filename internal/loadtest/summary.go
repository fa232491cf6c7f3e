package loadtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
)

// Summary is the verdict of a load test with everything that it rests on, as in
// summary.json.
type Summary struct {
	Passed bool `json:"passed"`
	// ExitCode is 0 or one of the exit codes of a verdict.
	ExitCode int `json:"exitCode"`
	// Headline says in a sentence what came of it.
	Headline  string    `json:"headline"`
	Profile   string    `json:"profile"`
	StartedAt time.Time `json:"startedAt"`
	Variables []string  `json:"variables,omitempty"`
	Plan      Plan      `json:"plan"`
	Machine   Machine   `json:"machine"`
	// K6 is the version of the load generator.
	K6 string `json:"k6"`
	// Figures are the medians of the runs.
	Figures Figures `json:"figures"`
	// Baseline is what the figures are compared with, and Regression how they compare.
	Baseline   *BaselineInfo `json:"baseline,omitempty"`
	Regression []Check       `json:"regression,omitempty"`
	// Problems says which runs could not be begun, and Interrupted that somebody ended the test.
	Problems    []string     `json:"problems,omitempty"`
	Interrupted bool         `json:"interrupted,omitempty"`
	Runs        []*RunResult `json:"runs"`
}

// BaselineInfo identifies the test that another is compared with.
type BaselineInfo struct {
	// RunID is that of its first run, and Version that of its server.
	RunID     string    `json:"runId"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"startedAt"`
}

// RunResult is the result of one run of the profile.
type RunResult struct {
	// RunID is the prefix of the ids of the run's operations.
	RunID     string        `json:"runId"`
	StartedAt time.Time     `json:"startedAt"`
	Duration  time.Duration `json:"durationNanoseconds"`
	// LoadAt is when the load began, and LoadDuration how long it lasted.
	LoadAt       time.Time     `json:"loadAt"`
	LoadDuration time.Duration `json:"loadDurationNanoseconds"`
	Server       ServerInfo    `json:"server"`
	// Problems says what kept the run from its end, or what it left behind.
	Problems []string `json:"problems,omitempty"`
	// Outcomes counts the operations by ok, refused and unknown.
	Outcomes map[string]int `json:"outcomes"`
	Counts   Counts         `json:"counts"`
	// PairsPerSecond is 0 where the profile does more than to create and fund.
	PairsPerSecond float64 `json:"pairsPerSecond,omitempty"`
	Figures        Figures `json:"figures"`
	// Operations has a row for each kind of operation and read, Statuses the number of answers
	// by status, 0 for none, and Latencies how many took how long.
	Operations []OperationFigures `json:"operations"`
	Statuses   map[int]int        `json:"statuses"`
	Latencies  []Bucket           `json:"latencies"`
	// Objectives are the script's own, as k6 judged them.
	Objectives []Check `json:"objectives"`
	// Breakpoint is nil unless the profile looks for one.
	Breakpoint  *Breakpoint `json:"breakpoint,omitempty"`
	Correctness Correctness `json:"correctness"`
	// Cleanup is nil where nothing had to be cleaned up: on a private server, or with Keep.
	Cleanup   *Cleanup `json:"cleanup,omitempty"`
	Resources []Check  `json:"resources"`
	Seconds   []Second `json:"seconds"`
	Samples   []Sample `json:"samples"`

	// generator is how k6 ended.
	generator outcome
}

// ServerInfo identifies the tested server.
type ServerInfo struct {
	URL     string `json:"url"`
	Version string `json:"version"`
	Store   string `json:"store"`
	Private bool   `json:"private"`
	// EndedAt is when a private server ended in the middle of the test, if it did.
	EndedAt *time.Time `json:"endedAt,omitempty"`
}

// isHere reports whether the server is on this machine.
func (s ServerInfo) isHere() bool {
	address, err := url.Parse(s.URL)
	return err == nil && apiclient.IsLoopback(address.Hostname())
}

// Figures are compared with a baseline's. Throughput is in answers per second, from the
// first answer to the last; the others are latencies in milliseconds. Those of a breakpoint run
// are its knee's.
type Figures struct {
	Throughput float64 `json:"throughput"`
	P50        float64 `json:"p50"`
	P95        float64 `json:"p95"`
	P99        float64 `json:"p99"`
	P999       float64 `json:"p999"`
	Max        float64 `json:"max"`
}

// OperationFigures are those of one kind of operation or read. Latencies are in milliseconds, of
// the last attempt.
type OperationFigures struct {
	Kind      string  `json:"kind"`
	Endpoint  string  `json:"endpoint"`
	Answers   int     `json:"answers"`
	PerSecond float64 `json:"perSecond"`
	Refused   int     `json:"refused"`
	Failed    int     `json:"failed"`
	P50       float64 `json:"p50"`
	P95       float64 `json:"p95"`
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
}

// Bucket counts the answers that took longer than the bucket before allows, and at most UpTo
// milliseconds.
type Bucket struct {
	UpTo    float64 `json:"upToMs"`
	Answers int     `json:"answers"`
}

// Check is a condition of a passed test, with the measured value.
type Check struct {
	Name string `json:"name"`
	// Limit and Value are for people, with their units. Was and Change are the baseline's value
	// and how far this one's is from it.
	Limit  string `json:"limit"`
	Value  string `json:"value"`
	Was    string `json:"was,omitempty"`
	Change string `json:"change,omitempty"`
	Passed bool   `json:"passed"`
}

// Machine describes the machine of a test. Figures of different machines are not compared.
type Machine struct {
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
}

// thisMachine describes the machine of this process. Processor is empty where the system
// does not tell its model.
func thisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Processors: runtime.GOMAXPROCS(0)}
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m // Only Linux has this file.
	}
	defer func() { _ = file.Close() }() // It is only read.

	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// readBaseline reads the summary of an earlier test. A file without figures is an error.
func readBaseline(path string) (*Summary, error) {
	content, err := os.ReadFile(path) //nolint:gosec // The operator says which.
	if err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}

	var s Summary
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("the baseline %s: %w", path, err)
	}
	if s.Figures.Throughput == 0 {
		return nil, fmt.Errorf("the baseline %s is not the summary of a load test", path)
	}
	return &s, nil
}

// write writes the report: report.html, summary.json and junit.xml.
func (s *Summary) write(directory string) error {
	for name, encode := range map[string]func() ([]byte, error){
		summaryFile: s.json,
		junitFile:   s.junit,
		pageFile:    s.page,
	} {
		content, err := encode()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = os.WriteFile(filepath.Join(directory, name), content, 0o600)
		if err != nil {
			return err
		}
	}
	return nil
}

// save writes the summary as the baseline of later tests.
func (s *Summary) save(path string) error {
	content, err := s.json()
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func (s *Summary) json() ([]byte, error) {
	content, err := json.MarshalIndent(s, "", "  ")
	return append(content, '\n'), err
}

// formatNumber formats a value with at most three significant digits, or with all of the integer
// part where that has more.
func formatNumber(value float64) string {
	if value >= 100 {
		return grouped(int(math.Round(value)))
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

func formatMS(ms float64) string { return formatNumber(ms) + " ms" }
