package loadtest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// operation is one write of the load: a request that its client repeated, where
// necessary, until it knew the outcome or gave up.
type operation struct {
	// kind is create, the state of a transition, approve, or another kind of resource.
	kind string
	// subject is the id of the resource, or of the approval that it waits for; "" while it is unknown.
	subject string
	outcome string
	// code is the server's code of a refusal.
	code string
	// ended says that the client came to an end with it; otherwise k6 cut it off.
	ended bool
}

// The outcomes of operations.
const (
	outcomeOK      = "ok"      // the server acknowledged it
	outcomeWaiting = "waiting" // the server acknowledged an approval, with which it waits for others
	outcomeRefused = "refused" // the server refused it and changed nothing
	outcomeUnknown = "unknown" // no answer says so, but the server may have carried it out
)

// operations collects the operations that the scripts log, line by line while they run.
type operations struct {
	progress io.Writer

	mu sync.Mutex
	// byID has the operations by their ids, which are also request ids and idempotency keys.
	byID map[string]*operation
	// latency has the latencies of all answers, in microseconds.
	latency *hdrhistogram.Histogram
	// byKind has the answers to each kind of operation and read, statuses counts answers by status.
	byKind   map[string]*tally
	statuses map[int]int
	// first and last are the times of the first and of the last answer.
	first, last time.Time
	seconds     []Second
	// current is the second that has not ended. Its latencies are in milliseconds.
	current          Second
	currentLatencies []float64
	// reportedAt is the time of the last progress message.
	reportedAt time.Time
}

// Second is a second of the load as its clients saw it.
type Second struct {
	At      time.Time `json:"at"`
	Answers int       `json:"answers"`
	// Errors counts the answers whose outcome is unknown, and the failed reads.
	Errors int `json:"errors"`
	// VUs is the highest number of virtual users.
	VUs int `json:"vus"`
	// P50, P95 and P99 are latencies in milliseconds.
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// maxLatency is the histogram's highest value, in microseconds. Longer latencies count as
// this one.
const maxLatency = int64(10 * time.Minute / time.Microsecond)

// newHistogram returns a histogram of latencies in microseconds.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency, 3) // With three significant digits.
}

// tally counts the answers to one kind of operation.
type tally struct {
	answers, refused, failed int
	latency                  *hdrhistogram.Histogram
}

func (t *tally) count(outcome string) {
	t.answers++
	switch outcome {
	case outcomeRefused:
		t.refused++
	case outcomeUnknown:
		t.failed++
	}
}

// newOperations returns an empty collection that reports its progress every few seconds.
func newOperations(progress io.Writer) *operations {
	return &operations{
		progress:   progress,
		byID:       make(map[string]*operation),
		latency:    newHistogram(),
		byKind:     make(map[string]*tally),
		statuses:   make(map[int]int),
		reportedAt: time.Now(),
	}
}

// addLine parses one line and reports whether it was one of the operations log:
//
//	EG begin OPERATION KIND SUBJECT
//	EG end OPERATION OUTCOME STATUS CODE MILLISECONDS SUBJECT VUS
//	EG read NAME STATUS MILLISECONDS VUS
//
// An empty field is a dash.
func (o *operations) addLine(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "EG" {
		return false
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	switch kind := fields[1]; {
	case kind == "begin" && len(fields) == 5:
		o.byID[fields[2]] = &operation{kind: fields[3], subject: undash(fields[4]), outcome: outcomeUnknown}
	case kind == "end" && len(fields) == 9:
		// An operation without a beginning is not one of this run.
		known, ok := o.byID[fields[2]]
		if !ok {
			return false
		}
		known.outcome, known.code, known.ended = fields[3], undash(fields[5]), true
		if subject := undash(fields[7]); subject != "" {
			known.subject = subject
		}
		o.countAnswer(answer{known.kind, known.outcome, toStatus(fields[4]), fields[6], fields[8]})
	case kind == "read" && len(fields) == 6:
		status, outcome := toStatus(fields[3]), outcomeOK
		if status >= 400 || status == 0 {
			outcome = outcomeUnknown
		}
		o.countAnswer(answer{fields[2], outcome, status, fields[4], fields[5]})
	default:
		return false
	}
	return true
}

// undash returns a field of the operations log, in which a dash stands for an empty one.
func undash(field string) string {
	if field == "-" {
		return ""
	}
	return field
}

// answer is an answer to a client, as the operations log has it. A read that failed has the
// outcome unknown.
type answer struct {
	kind, outcome     string
	status            int
	milliseconds, vus string
}

// toStatus returns a status of the operations log, or 0 where no answer came.
func toStatus(field string) int {
	status, err := strconv.Atoi(field)
	if err != nil {
		return 0
	}
	return status
}

// countAnswer counts an answer now. The line of the log has no time of its own. The caller
// holds o.mu.
func (o *operations) countAnswer(a answer) {
	o.last = time.Now().UTC()
	if o.first.IsZero() {
		o.first = o.last
		fmt.Fprintln(o.progress, "the load has begun")
	}
	if second := o.last.Truncate(time.Second); !o.current.At.Equal(second) {
		o.closeSecond()
		o.current = Second{At: second}
	}

	o.statuses[a.status]++
	if o.byKind[a.kind] == nil {
		o.byKind[a.kind] = &tally{latency: newHistogram()}
	}
	o.byKind[a.kind].count(a.outcome)
	o.current.Answers++
	if a.outcome == outcomeUnknown {
		o.current.Errors++
	}
	if active, err := strconv.Atoi(a.vus); err == nil {
		o.current.VUs = max(o.current.VUs, active)
	}

	if ms, err := strconv.ParseFloat(a.milliseconds, 64); err == nil {
		microseconds := min(max(int64(ms*1000), 1), maxLatency)
		_ = o.latency.RecordValue(microseconds) // It is in range.
		_ = o.byKind[a.kind].latency.RecordValue(microseconds)
		o.currentLatencies = append(o.currentLatencies, ms)
	}
}

// progressInterval is the time between two progress messages of a run.
const progressInterval = 5 * time.Second

// closeSecond completes the current second, if it has answers, and reports progress. The
// caller holds o.mu.
func (o *operations) closeSecond() {
	if o.current.Answers == 0 {
		return
	}

	o.current.P50 = percentile(o.currentLatencies, 0.5)
	o.current.P95 = percentile(o.currentLatencies, 0.95)
	o.current.P99 = percentile(o.currentLatencies, 0.99)
	o.seconds = append(o.seconds, o.current)
	o.currentLatencies = o.currentLatencies[:0]

	if time.Since(o.reportedAt) >= progressInterval {
		o.reportedAt = time.Now()
		c := o.current
		fmt.Fprintf(o.progress, "%4.0f s  %4d VUs  %5d answers/s  p95 %s  errors %d\n",
			c.At.Sub(o.seconds[0].At).Seconds(), c.VUs, c.Answers, formatMS(c.P95), c.Errors)
	}
}

// finish completes the last second, after the last line.
func (o *operations) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closeSecond()
	o.current = Second{}
}

// acknowledged returns the number of acknowledged operations, with those that wait for an approval.
func (o *operations) acknowledged() int {
	outcomes := o.outcomes()
	return outcomes[outcomeOK] + outcomes[outcomeWaiting]
}

// outcomes counts the operations by outcome.
func (o *operations) outcomes() map[string]int {
	counts := make(map[string]int)
	for _, operation := range o.byID {
		counts[operation.outcome]++
	}
	return counts
}
