package loadtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// summarize computes the outcomes and the figures of a run from its operations.
func (r *RunResult) summarize(o *operations) {
	r.Outcomes, r.Seconds, r.Statuses = o.outcomes(), o.seconds, o.statuses
	r.LoadAt, r.LoadDuration = o.first, o.last.Sub(o.first)
	answers := 0
	for _, second := range o.seconds {
		answers += second.Answers
	}

	r.Figures = Figures{
		P50:  milliseconds(o.latency, 50),
		P95:  milliseconds(o.latency, 95),
		P99:  milliseconds(o.latency, 99),
		P999: milliseconds(o.latency, 99.9),
		Max:  float64(o.latency.Max()) / 1000,
	}
	if span := r.LoadDuration; span > 0 {
		r.Figures.Throughput = float64(answers-1) / span.Seconds()
	}

	r.Latencies = distribution(o.latency)
	for _, kind := range slices.Sorted(maps.Keys(o.byKind)) {
		r.Operations = append(r.Operations, o.byKind[kind].figures(kind, r.LoadDuration))
	}
	byEndpoint := func(a, b OperationFigures) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Kind, b.Kind))
	}
	slices.SortFunc(r.Operations, byEndpoint)
}

// milliseconds returns the latency that a percentage of the answers did not exceed.
func milliseconds(latency *hdrhistogram.Histogram, percentage float64) float64 {
	return float64(latency.ValueAtQuantile(percentage)) / 1000
}

// addSummary adds what only the script knows. A run without a summary has missed its objectives.
func (r *RunResult) addSummary(s *k6Summary) {
	if s == nil {
		r.Objectives = []Check{{Name: "the script judged the run", Limit: "a verdict", Value: "none"}}
		return
	}

	r.Objectives, r.Breakpoint, r.Counts = s.checks(), s.Breakpoint, s.Counts
	if !s.StartedAt.IsZero() {
		r.LoadAt, r.LoadDuration = s.StartedAt, time.Duration(s.DurationSeconds*float64(time.Second))
	}
	onlyPairs := !slices.ContainsFunc(r.Operations, func(o OperationFigures) bool {
		return o.Kind != "create" && o.Kind != "FUNDED"
	})
	if onlyPairs {
		r.PairsPerSecond = s.Throughput.PositionsFundedPerSecond
	}

	// Over the whole run the figures would show the overload with which it ends.
	if knee := s.Breakpoint.kneeStep(); knee != nil {
		r.PairsPerSecond = knee.FundedPerSecond
		r.Figures = Figures{
			Throughput: knee.OperationsPerSecond,
			P50:        knee.P50,
			P95:        knee.P95,
			P99:        knee.P99,
			P999:       knee.P999,
			Max:        knee.Max,
		}
	}
}

func (r *RunResult) addProblem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// endpoints are those of the kinds of operations and reads that are no transitions.
var endpoints = map[string]string{
	"create":       "POST /positions",
	"template":     "POST /asset-templates",
	"asset":        "POST /assets",
	"institution":  "POST /institutions",
	"key":          "POST /institutions/{id}/api-keys",
	"get":          "GET /positions/{id}",
	"list":         "GET /positions",
	"ledger":       "GET /ledger-events",
	"assets":       "GET /assets",
	"institutions": "GET /institutions",
}

// figures returns the figures of a kind of operation.
func (t *tally) figures(kind string, span time.Duration) OperationFigures {
	f := OperationFigures{
		Kind:     kind,
		Endpoint: cmp.Or(endpoints[kind], "POST /positions/{id}/transition"),
		Answers:  t.answers,
		Refused:  t.refused,
		Failed:   t.failed,
		P50:      milliseconds(t.latency, 50),
		P95:      milliseconds(t.latency, 95),
		P99:      milliseconds(t.latency, 99),
		Max:      float64(t.latency.Max()) / 1000,
	}
	if span > 0 {
		f.PerSecond = float64(t.answers) / span.Seconds()
	}
	return f
}

// distribution counts the answers in buckets whose bounds are 1, 2 and 5 times powers of ten,
// from the first to the last that has any.
func distribution(latency *hdrhistogram.Histogram) (buckets []Bucket) {
	bounds := []float64{0.1, 0.2, 0.5}
	for last := bounds[len(bounds)-1]; last*1000 < float64(maxLatency); last = bounds[len(bounds)-1] {
		bounds = append(bounds, last*2, last*4, last*10)
	}

	counts := make([]int, len(bounds))
	for _, bar := range latency.Distribution() {
		i, _ := slices.BinarySearch(bounds, float64(bar.From)/1000)
		counts[min(i, len(bounds)-1)] += int(bar.Count)
	}
	for i, count := range counts {
		if count > 0 || len(buckets) > 0 {
			buckets = append(buckets, Bucket{UpTo: bounds[i], Answers: count})
		}
	}
	for len(buckets) > 0 && buckets[len(buckets)-1].Answers == 0 {
		buckets = buckets[:len(buckets)-1]
	}
	return buckets
}

// medians returns the median of each figure over the runs.
func medians(runs []*RunResult) (f Figures) {
	of := func(figure func(Figures) float64) float64 {
		return median(runs, func(r *RunResult) float64 { return figure(r.Figures) })
	}
	f.Throughput = of(func(f Figures) float64 { return f.Throughput })
	f.P50 = of(func(f Figures) float64 { return f.P50 })
	f.P95 = of(func(f Figures) float64 { return f.P95 })
	f.P99 = of(func(f Figures) float64 { return f.P99 })
	f.P999 = of(func(f Figures) float64 { return f.P999 })
	f.Max = of(func(f Figures) float64 { return f.Max })
	return f
}

// median returns the median of a figure of at least one run. With an even number of runs it is
// the mean of the two in the middle.
func median(runs []*RunResult, figure func(*RunResult) float64) float64 {
	values := make([]float64, len(runs))
	for i, run := range runs {
		values[i] = figure(run)
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// percentile returns the value that a share q of the values does not exceed, by nearest
// rank; 0 where there are no values. It sorts them.
func percentile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}
