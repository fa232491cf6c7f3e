package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Figures is what a run of benchmarks has measured.
type Figures struct {
	Comparisons []Comparison `json:"comparisons"`
}

// Conditions are when, where and how a comparison was made. Each has its own: those that are
// kept may be of different runs.
type Conditions struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	// RoundSeconds is how long each turn of a contender was, or RoundWork how many pieces of
	// work it had.
	RoundSeconds float64 `json:"roundSeconds,omitempty"`
	RoundWork    int     `json:"roundWork,omitempty"`
}

// Machine is where it was measured.
type Machine struct {
	Processors int    `json:"processors"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql,omitempty"`
}

// Comparison is one thing measured of several contenders, whose rounds took turns.
type Comparison struct {
	Conditions Conditions  `json:"conditions"`
	Experiment string      `json:"experiment"`
	Name       string      `json:"name"`
	Unit       string      `json:"unit"`
	Contenders []Contender `json:"contenders"`
	// Ratio is the median, over the rounds that were measured, of the last contender's figure
	// by the first's, 0 where there is none; Goal is what it is to be, at least or at most.
	Ratio  float64 `json:"ratio"`
	Goal   float64 `json:"goal,omitempty"`
	AtMost bool    `json:"atMost,omitempty"`
	// Unmeasured names the contenders of which some round measured nothing. Where there are
	// any, the goal is neither met nor missed.
	Unmeasured []string `json:"unmeasured,omitempty"`
}

// Contender is one of those that were compared.
type Contender struct {
	Name string `json:"name"`
	// Rounds are the figures of its rounds, in the comparison's unit; 0 is that of a round
	// that measured nothing. Median is of the others, 0 where there are none.
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	// Latency is over all rounds, in milliseconds by percentile.
	Latency map[string]float64 `json:"latencyMs,omitempty"`
	// CPU is what the servers took for a piece of work, in microseconds of a
	// processor; 0 where it is not known.
	CPU float64 `json:"cpuUs,omitempty"`
	// Shed counts the requests that were refused for overload.
	Shed int64 `json:"shed,omitempty"`
	// Memory is what the servers held after the last round, in bytes.
	Memory float64 `json:"memory,omitempty"`
}

// Measured reports whether each round of each contender measured something.
func (c Comparison) Measured() bool { return len(c.Unmeasured) == 0 }

// Met reports whether all was measured, and the ratio is what it is to be.
func (c Comparison) Met() bool {
	return c.Measured() && c.meetsGoal()
}

func (c Comparison) meetsGoal() bool {
	return c.Goal == 0 || c.AtMost && c.Ratio <= c.Goal || !c.AtMost && c.Ratio >= c.Goal
}

// GoalText is the goal in words.
func (c Comparison) GoalText() string {
	switch {
	case c.Goal == 0:
		return ""
	case c.AtMost:
		return fmt.Sprintf("≤ %g", c.Goal)
	}
	return fmt.Sprintf("≥ %g", c.Goal)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// finished returns the comparison with its medians and its ratio.
func (c Comparison) finished() Comparison {
	for i := range c.Contenders {
		measured := slices.DeleteFunc(slices.Clone(c.Contenders[i].Rounds), func(figure float64) bool { return figure == unmeasured })
		c.Contenders[i].Median = median(measured)
		if len(measured) < len(c.Contenders[i].Rounds) {
			c.Unmeasured = append(c.Unmeasured, c.Contenders[i].Name)
		}
	}
	first, last := c.Contenders[0].Rounds, c.Contenders[len(c.Contenders)-1].Rounds
	ratios := make([]float64, 0, len(first))
	for i := range min(len(first), len(last)) {
		if first[i] != unmeasured && last[i] != unmeasured {
			ratios = append(ratios, last[i]/first[i])
		}
	}
	c.Ratio = median(ratios)
	return c
}

// write prints a comparison for people.
func (c Comparison) write(out io.Writer) {
	fmt.Fprintf(out, "\n%s (%s)\n", c.Name, c.Unit)
	for _, contender := range c.Contenders {
		fmt.Fprintf(out, "  %-36s %10s   from %s to %s", contender.Name, figureText(contender.Median),
			figureText(slices.Min(contender.Rounds)), figureText(slices.Max(contender.Rounds)))
		if l := contender.Latency; l != nil {
			fmt.Fprintf(out, "   p50 %.3g ms, p99 %.3g ms, p99.9 %.3g ms", l["50"], l["99"], l["99.9"])
		}
		if contender.CPU > 0 {
			fmt.Fprintf(out, "   %.0f µs CPU", contender.CPU)
		}
		if contender.Shed > 0 {
			fmt.Fprintf(out, "   %d shed", contender.Shed)
		}
		if contender.Memory > 0 {
			fmt.Fprintf(out, "   %.0f MB", contender.Memory/(1<<20))
		}
		fmt.Fprintln(out)
	}
	if len(c.Contenders) < 2 {
		return
	}
	if !c.Measured() {
		fmt.Fprintf(out, "  ratio UNMEASURED: %s finished nothing in a round\n", strings.Join(c.Unmeasured, " and "))
		return
	}
	verdict := ""
	if c.Goal != 0 {
		verdict = "   met, " + c.GoalText()
		if !c.Met() {
			verdict = "   MISSED, " + c.GoalText()
		}
	}
	fmt.Fprintf(out, "  ratio %.3g%s\n", c.Ratio, verdict)
}

// figureText is a figure with four digits.
func figureText(figure float64) string {
	if figure == unmeasured {
		return "unmeasured"
	}
	return fmt.Sprintf("%.4g", figure)
}

// The files in a directory that keep figures: those beside floors, which docs/performance.md
// shows, and those of two servers, which it does not.
const (
	figuresFile = "figures.json"
	againstFile = "against.json"
)

// save puts the figures into a file. Of a run that was of some experiments only, those of the
// others stay.
func (f *Figures) save(path string) error {
	kept, err := ReadFigures(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	merged := *f
	merged.Comparisons = nil
	for _, old := range kept.Comparisons {
		if !slices.ContainsFunc(f.Comparisons, func(c Comparison) bool { return c.Experiment == old.Experiment }) {
			merged.Comparisons = append(merged.Comparisons, old)
		}
	}
	merged.Comparisons = append(merged.Comparisons, f.Comparisons...)
	slices.SortStableFunc(merged.Comparisons, func(a, b Comparison) int { return place(a.Experiment) - place(b.Experiment) })
	content, err := json.MarshalIndent(merged, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // Figures are for everyone.
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644) //nolint:gosec // See above.
}

// ReadFigures reads the figures of an earlier run.
func ReadFigures(path string) (Figures, error) {
	var f Figures
	content, err := os.ReadFile(path) //nolint:gosec // Whoever runs it says where.
	if err != nil {
		return f, err
	}
	err = json.Unmarshal(content, &f)
	return f, err
}
