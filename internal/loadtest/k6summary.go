package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// The exit codes of k6 after which it has left a verdict, and those that the scripts cause, from
// its errext/exitcodes package.
const (
	k6Passed           = 0
	k6ThresholdsFailed = 99
	k6ScriptException  = 107
	k6ScriptAborted    = 108
)

// k6Reasons says what other exit codes of k6 mean.
var k6Reasons = map[int]string{
	-1:                "a signal ended it",
	100:               "its setup took too long",
	101:               "its teardown took too long",
	102:               "it took too long",
	103:               "somebody stopped it over its REST API",
	104:               "its options are invalid",
	105:               "somebody interrupted it",
	106:               "its REST API could not listen",
	k6ScriptException: "the script threw an exception",
	k6ScriptAborted:   "the script ended the run",
	109:               "it crashed",
	110:               "the script marked the run as failed",
}

// problem says why k6 did not send the load to its end; "" says that it did.
func (o outcome) problem() string {
	if o.code == k6Passed || o.code == k6ThresholdsFailed {
		return ""
	}
	reason, ok := k6Reasons[o.code]
	if !ok {
		reason = fmt.Sprintf("it ended with exit code %d", o.code)
	}
	if o.lastLine == "" {
		return "k6 stopped: " + reason
	}
	return fmt.Sprintf("k6 stopped: %s: %s", reason, o.lastLine)
}

// Breakpoint is the result of a run whose rate rises in steps.
type Breakpoint struct {
	// Knee is the rate, in iterations per second, of the last step before an objective was
	// missed; 0 where the first step missed one.
	Knee  float64 `json:"knee"`
	Steps []Step  `json:"steps"`
}

// Step is one step of a breakpoint run. Rate is in iterations per second; P50 to Max are
// latencies in milliseconds, of operations with all their attempts.
type Step struct {
	Rate                float64 `json:"rate"`
	OK                  bool    `json:"ok"`
	Reached             bool    `json:"reached"`
	OperationsPerSecond float64 `json:"operationsPerSecond"`
	FundedPerSecond     float64 `json:"fundedPerSecond"`
	P50                 float64 `json:"p50"`
	P95                 float64 `json:"p95"`
	P99                 float64 `json:"p99"`
	P999                float64 `json:"p999"`
	Max                 float64 `json:"max"`
}

// k6Summary is the part of the script's summary that a load test reads.
type k6Summary struct {
	Run             string
	StartedAt       time.Time
	DurationSeconds float64
	Objectives      []struct {
		Name, Metric    string
		OK              bool
		Bound, Measured string
	}
	Breakpoint *Breakpoint
	Throughput struct{ PositionsFundedPerSecond float64 }
	Counts     Counts
}

// Counts are the script's own.
type Counts struct {
	Iterations        int `json:"iterations"`
	DroppedIterations int `json:"droppedIterations"`
	Requests          int `json:"requests"`
	OperationsOK      int `json:"operationsOk"`
	OperationsWaiting int `json:"operationsWaiting"`
	PositionsFunded   int `json:"positionsFunded"`
	RetriesThrottled  int `json:"retriesThrottled"`
	RetriesConnection int `json:"retriesConnection"`
}

// readSummary reads the summary that a run of k6 left. It is an error if it left none, or that of
// another run, or one that its exit code contradicts.
func readSummary(path, runID string, o outcome) (*k6Summary, error) {
	content, err := os.ReadFile(path) //nolint:gosec // In our own report.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("k6 left no summary")
	}
	if err != nil {
		return nil, err
	}

	var summary k6Summary
	if err := json.Unmarshal(content, &summary); err != nil {
		return nil, fmt.Errorf("k6's summary: %w", err)
	}
	if summary.Run != runID {
		return nil, fmt.Errorf("k6's summary is of the run %q, not of %s", summary.Run, runID)
	}
	if len(summary.Objectives) == 0 {
		return nil, errors.New("k6's summary has no objectives")
	}

	missed := false
	for _, objective := range summary.Objectives {
		missed = missed || !objective.OK
	}
	// A step that a breakpoint run did not reach has no objective, and can be missed.
	unexplained := o.code == k6ThresholdsFailed && !missed && summary.Breakpoint == nil
	if o.code == k6Passed && missed || unexplained {
		return nil, fmt.Errorf("k6 ended with exit code %d, which its summary contradicts", o.code)
	}
	return &summary, nil
}

// checks returns the objectives as checks. A breakpoint run misses objectives in the end by
// design, so its steps are judged by the knee alone.
func (s *k6Summary) checks() (checks []Check) {
	if b := s.Breakpoint; b != nil {
		checks = []Check{{
			Name:   "the knee: iterations per second within the objectives",
			Limit:  "> 0/s",
			Value:  formatNumber(b.Knee) + "/s",
			Passed: b.Knee > 0,
		}}
	}

	for _, objective := range s.Objectives {
		if s.Breakpoint != nil && strings.Contains(objective.Metric, "scenario:step_") {
			continue
		}
		checks = append(checks, Check{
			Name:   objective.Name,
			Limit:  objective.Bound,
			Value:  objective.Measured,
			Passed: objective.OK,
		})
	}
	return checks
}

// kneeStep returns the step of the knee, or nil where there is none.
func (b *Breakpoint) kneeStep() *Step {
	if b == nil || b.Knee == 0 {
		return nil
	}
	if i := slices.IndexFunc(b.Steps, func(s Step) bool { return s.Rate == b.Knee }); i >= 0 {
		return &b.Steps[i]
	}
	return nil
}
