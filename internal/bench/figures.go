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

// Figures is what a run of experiments has measured.
type Figures struct {
	Comparisons []Comparison `json:"comparisons"`
}

// Conditions are when, where and how a comparison was made. Each comparison has its own, because a
// file can keep those of several runs.
type Conditions struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	// RoundSeconds is how long each turn of a contender was; or else RoundWork is how many pieces
	// of work it had.
	RoundSeconds float64 `json:"roundSeconds,omitempty"`
	RoundWork    int     `json:"roundWork,omitempty"`
}

// Machine is where a comparison was made.
type Machine struct {
	Processors int    `json:"processors"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql,omitempty"`
}

// Comparison is one quantity of several contenders, which took turns, round by round.
type Comparison struct {
	Conditions Conditions  `json:"conditions"`
	Experiment string      `json:"experiment"`
	Name       string      `json:"name"`
	Unit       string      `json:"unit"`
	Contenders []Contender `json:"contenders"`
	// Ratio is the last contender's figure divided by the first's: the median over the rounds in
	// which both have one, or 0 without such a round. Goal is its bound, the least or, with
	// AtMost, the greatest; 0 is none.
	Ratio  float64 `json:"ratio"`
	Goal   float64 `json:"goal,omitempty"`
	AtMost bool    `json:"atMost,omitempty"`
	// Unmeasured names the contenders that finished nothing in some round. When there are any,
	// the goal is neither met nor missed.
	Unmeasured []string `json:"unmeasured,omitempty"`
}

// Contender is a server or a floor in a comparison.
type Contender struct {
	Name string `json:"name"`
	// Rounds are the figures of its rounds, in the comparison's unit; a round in which nothing was
	// finished has 0. Median is that of the other rounds, or 0 without any.
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	// Latency is that of all rounds, in milliseconds by percentile: 50, 90, 99, 99.9 and 100.
	Latency map[string]float64 `json:"latencyMs,omitempty"`
	// CPU is the processor time that the servers took for a piece of work, in microseconds; 0 when
	// it is not known.
	CPU float64 `json:"cpuUs,omitempty"`
	// Shed counts the requests that an overloaded server refused.
	Shed int64 `json:"shed,omitempty"`
	// Memory is the servers' memory after the last round, in bytes.
	Memory float64 `json:"memory,omitempty"`
}

// Measured reports whether each contender finished something in each round.
func (c Comparison) Measured() bool { return len(c.Unmeasured) == 0 }

// Met reports whether every round was measured and the ratio meets the goal. Without a goal, any
// ratio does.
func (c Comparison) Met() bool { return c.Measured() && c.meetsGoal() }

func (c Comparison) meetsGoal() bool {
	return c.Goal == 0 || c.AtMost && c.Ratio <= c.Goal || !c.AtMost && c.Ratio >= c.Goal
}

// GoalText is the goal for people, such as ≥ 0.5; "" without one.
func (c Comparison) GoalText() string {
	switch {
	case c.Goal == 0:
		return ""
	case c.AtMost:
		return fmt.Sprintf("≤ %g", c.Goal)
	}
	return fmt.Sprintf("≥ %g", c.Goal)
}

// median returns the middle of some values, or the mean of the two in the middle; 0 of none.
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
		one := &c.Contenders[i]
		measured := slices.DeleteFunc(slices.Clone(one.Rounds), func(figure float64) bool {
			return figure == unmeasured
		})
		one.Median = median(measured)
		if len(measured) < len(one.Rounds) {
			c.Unmeasured = append(c.Unmeasured, one.Name)
		}
	}

	// Each round has its own ratio: its contenders ran at about the same time, on a machine in about
	// the same condition.
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
	for _, one := range c.Contenders {
		one.write(out)
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

// write prints a contender's line, with the figures that are known.
func (c Contender) write(out io.Writer) {
	fmt.Fprintf(out, "  %-36s %10s   from %s to %s", c.Name, figureText(c.Median),
		figureText(slices.Min(c.Rounds)), figureText(slices.Max(c.Rounds)))

	if l := c.Latency; l != nil {
		fmt.Fprintf(out, "   p50 %.3g ms, p99 %.3g ms, p99.9 %.3g ms", l["50"], l["99"], l["99.9"])
	}
	if c.CPU > 0 {
		fmt.Fprintf(out, "   %.0f µs CPU", c.CPU)
	}
	if c.Shed > 0 {
		fmt.Fprintf(out, "   %d shed", c.Shed)
	}
	if c.Memory > 0 {
		fmt.Fprintf(out, "   %.0f MB", c.Memory/(1<<20))
	}
	fmt.Fprintln(out)
}

// figureText is a figure with four digits.
func figureText(figure float64) string {
	if figure == unmeasured {
		return "unmeasured"
	}
	return fmt.Sprintf("%.4g", figure)
}

// The files that keep figures: those beside floors, which docs/performance.md shows, and those of
// two servers, which it does not show.
const (
	figuresFile = "figures.json"
	againstFile = "against.json"
)

// save writes the figures to a file. Figures in it of experiments that this run did not include
// stay.
func (f *Figures) save(path string) error {
	kept, err := ReadFigures(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}

	var merged Figures
	for _, old := range kept.Comparisons {
		again := func(c Comparison) bool { return c.Experiment == old.Experiment }
		if !slices.ContainsFunc(f.Comparisons, again) {
			merged.Comparisons = append(merged.Comparisons, old)
		}
	}
	merged.Comparisons = append(merged.Comparisons, f.Comparisons...)
	slices.SortStableFunc(merged.Comparisons, func(a, b Comparison) int {
		return place(a.Experiment) - place(b.Experiment)
	})

	content, err := json.MarshalIndent(merged, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // Figures are for everyone.
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644) //nolint:gosec // See above.
}

// ReadFigures reads a file of figures that an earlier run kept.
func ReadFigures(path string) (Figures, error) {
	var f Figures
	content, err := os.ReadFile(path) //nolint:gosec // The caller says where.
	if err != nil {
		return f, err
	}

	err = json.Unmarshal(content, &f)
	return f, err
}
