package loadtest

import (
	"bytes"
	_ "embed" // for the page
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"charts":   drawCharts,
	"facts":    facts,
	"runFacts": runFacts,
	"bars":     latencyBars,
	"statuses": statusBars,
	"ms":       formatMS,
	"number":   formatNumber,
	"grouped":  grouped,
	"plural":   plural,
	"inc":      func(i int) int { return i + 1 },
	"add":      func(a, b int) int { return a + b },
}).Parse(reportText))

// page returns the report for people, an HTML page that needs no other file.
func (s *Summary) page() ([]byte, error) {
	var page bytes.Buffer
	err := reportPage.Execute(&page, reportData{
		Summary:        s,
		AtKnee:         len(s.Runs) > 0 && s.Runs[0].Breakpoint.kneeStep() != nil,
		PairsPerSecond: s.pairsPerSecond(),
	})
	return page.Bytes(), err
}

// reportData is what the page shows.
type reportData struct {
	*Summary
	// AtKnee says that the figures are those of the knee.
	AtKnee         bool
	PairsPerSecond float64
}

// fact is a row of the table that says what was tested.
type fact struct{ Name, Value string }

// facts returns what was tested, with what, and on what.
func facts(s *Summary) []fact {
	list := []fact{
		{"profile", fmt.Sprintf("%s: %s", s.Profile, s.does())},
		{"planned load", strings.Join(s.Plan.Text, "; ")},
		{"variables that were set", strings.Join(s.Variables, ", ")},
	}
	if len(s.Runs) > 0 {
		list = append(list, serverFacts(s.Runs[0])...)
	}
	list = append(list,
		fact{"load generator", fmt.Sprintf("k6 %s, with the scripts of this program", s.K6)},
		fact{"its machine", s.Machine.String()})
	if len(s.Runs) == 1 {
		list = append(list, runFacts(s.Runs[0])...)
	}
	if b := s.Baseline; b != nil {
		list = append(list, fact{"baseline", fmt.Sprintf("run %s of EscrowGrid %s, begun %s",
			b.RunID, b.Version, formatTime(b.StartedAt))})
	}
	list = append(list, fact{"exit code", fmt.Sprintf("%d, %s", s.ExitCode, exitMeanings[s.ExitCode])})
	return slices.DeleteFunc(list, func(f fact) bool { return f.Value == "" })
}

// exitMeanings says in words what the exit codes of a verdict mean.
var exitMeanings = map[int]string{
	0:                  "passed",
	ExitIncorrect:      "acknowledged writes or money are lost or doubled",
	ExitNotEstablished: "it is not known whether acknowledged writes are lost",
	ExitUnfinished:     "the test was not carried out to its end",
	ExitObjectives:     "an objective was missed",
	ExitRegression:     "slower than the baseline, or not comparable with it",
}

// does says what the profile does.
func (s *Summary) does() string {
	profile, err := profileNamed(s.Profile)
	if err != nil {
		return "unknown"
	}
	return profile.Does
}

// String says what machine it is.
func (m Machine) String() string { return fmt.Sprintf("%d × %s", m.Processors, m.model()) }

// serverFacts says what server was tested.
func serverFacts(r *RunResult) []fact {
	where := "a target, " + r.Server.URL
	if r.Server.Private {
		where = "a private server of the test"
	}
	if r.Server.isHere() {
		where += ", on the machine of the load generator"
	}

	list := []fact{
		{"server", fmt.Sprintf("EscrowGrid %s, %s", r.Server.Version, where)},
		{"database", r.Server.Store},
	}
	if len(r.Samples) == 0 {
		return list
	}
	last := r.Samples[len(r.Samples)-1]
	memory := "no limit of memory of its own"
	if last.MemoryLimit > 0 {
		memory = "at most " + formatBytes(last.MemoryLimit) + " of memory"
	}
	return append(list, fact{"server's resources", fmt.Sprintf("%s processors, %s, %s database connections",
		formatNumber(last.Processors), memory, formatNumber(last.PoolLimit))})
}

// runFacts says when a run was, and what it sent.
func runFacts(r *RunResult) []fact {
	end := r.StartedAt.Add(r.Duration)
	facts := []fact{
		{"run", r.RunID},
		{"began", formatTime(r.StartedAt)},
		{"ended", fmt.Sprintf("%s, after %s", formatTime(end), shortDuration(r.Duration.Round(time.Second)))},
		{"load sent", fmt.Sprintf("%s iterations, %s dropped, %s requests, for %s", grouped(r.Counts.Iterations),
			grouped(r.Counts.DroppedIterations), grouped(r.Counts.Requests), shortDuration(r.LoadDuration.Round(time.Second)))},
	}
	if r.Cleanup != nil {
		facts = append(facts, fact{"institutions on the target", r.Cleanup.String()})
	}
	return facts
}

func formatTime(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 MST") }

// bar is a row of a table that counts answers.
type bar struct {
	UpTo, Share string
	Count       int
	// Width is the length of the bar, in percent of the longest.
	Width float64
}

// latencyBars returns the distribution of a run's latencies.
func latencyBars(r *RunResult) (bars []bar) {
	most, all := 1, 0
	for _, bucket := range r.Latencies {
		most, all = max(most, bucket.Answers), all+bucket.Answers
	}
	for _, bucket := range r.Latencies {
		bars = append(bars, bar{
			UpTo:  formatMS(bucket.UpTo),
			Count: bucket.Answers,
			Share: formatShare(bucket.Answers, all),
			Width: round(100 * float64(bucket.Answers) / float64(most)),
		})
	}
	return bars
}

// statusBars returns how many answers of a run had which status.
func statusBars(r *RunResult) (bars []bar) {
	all := 0
	for _, count := range r.Statuses {
		all += count
	}
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		name := "no answer"
		if status != 0 {
			name = strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
		}
		count := r.Statuses[status]
		bars = append(bars, bar{UpTo: name, Count: count, Share: formatShare(count, all)})
	}
	return bars
}

// formatShare formats a part of a whole that is not 0.
func formatShare(part, whole int) string {
	return formatNumber(100*float64(part)/float64(whole)) + " %"
}
