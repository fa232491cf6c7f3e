package loadtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is the load that a script will send, as k6 understands it.
type Plan struct {
	// Text says it in words, a part for each stage.
	Text []string `json:"text"`
	// Marks are where one stage of the load ends and the next begins.
	Marks []Mark `json:"marks,omitempty"`
}

// Mark is a moment of a run, in the time since its load began.
type Mark struct {
	After time.Duration `json:"afterNanoseconds"`
	Label string        `json:"label"`
}

// k6Options is the part of k6's options that says what load it sends.
type k6Options struct {
	VUs       *int
	Duration  k6Duration
	Stages    []k6Stage
	Scenarios map[string]k6Scenario
}

type k6Stage struct {
	Duration k6Duration
	Target   int
}

type k6Scenario struct {
	Executor  string
	Rate      int
	Duration  k6Duration
	StartTime k6Duration
	Stages    []k6Stage
	MaxVUs    int
}

// k6Duration is a duration in k6's form, like 4m0s; null is 0.
type k6Duration time.Duration

// UnmarshalJSON reads a duration.
func (d *k6Duration) UnmarshalJSON(content []byte) error {
	var text string
	if err := json.Unmarshal(content, &text); err != nil || text == "" {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = k6Duration(parsed)
	return err
}

func (d k6Duration) String() string { return shortDuration(time.Duration(d)) }

// readPlan reads the plan from the options that k6 makes of a script.
func readPlan(content []byte) (Plan, error) {
	var options k6Options
	if err := json.Unmarshal(content, &options); err != nil {
		return Plan{}, fmt.Errorf("the options of the script, as k6 shows them: %w", err)
	}

	p := &planner{}
	switch {
	case options.VUs != nil:
		p.say("%d users for %s", *options.VUs, options.Duration)
	case len(options.Stages) > 0:
		p.addStages(options.Stages, " users")
	default:
		byStart := func(a, b string) int {
			return cmp.Or(cmp.Compare(options.Scenarios[a].StartTime, options.Scenarios[b].StartTime), cmp.Compare(a, b))
		}
		for _, name := range slices.SortedFunc(maps.Keys(options.Scenarios), byStart) {
			p.addScenario(options.Scenarios[name])
		}
		p.joinSteps()
	}

	if len(p.Text) == 0 {
		return Plan{}, fmt.Errorf("k6 shows no load for the script")
	}
	return p.Plan, nil
}

// planner builds a plan.
type planner struct {
	Plan
	after time.Duration
	// rates are those of the scenarios at a constant rate.
	rates []string
}

func (p *planner) say(format string, args ...any) {
	p.Text = append(p.Text, fmt.Sprintf(format, args...))
}

// mark marks the present moment of the plan, unless that is its beginning.
func (p *planner) mark(label string) {
	if p.after > 0 {
		p.Marks = append(p.Marks, Mark{After: p.after, Label: label})
	}
}

// addScenario adds a scenario of arrivals. One that starts after another is a step.
func (p *planner) addScenario(s k6Scenario) {
	if len(s.Stages) > 0 {
		p.addStages(s.Stages, "/s")
		p.say("at most %d clients at a time", s.MaxVUs)
		return
	}
	p.after = time.Duration(s.StartTime)
	p.mark(fmt.Sprintf("%d/s", s.Rate))
	p.rates = append(p.rates, strconv.Itoa(s.Rate))
	p.say("%d iterations/s for %s", s.Rate, s.Duration)
}

// joinSteps says all steps of a rising rate in one.
func (p *planner) joinSteps() {
	if len(p.Marks) == 0 || len(p.rates) < 2 {
		return
	}
	p.Text = []string{fmt.Sprintf("%s iterations/s, each for %s", strings.Join(p.rates, ", "), shortDuration(p.Marks[0].After))}
}

// addStages adds stages, at whose ends the load has reached their targets.
func (p *planner) addStages(stages []k6Stage, unit string) {
	from := 0
	for _, stage := range stages {
		switch {
		case stage.Duration == 0:
			p.say("at once %d%s", stage.Target, unit)
		case stage.Target == from:
			p.say("%d%s for %s", from, unit, stage.Duration)
		default:
			p.say("from %d to %d%s in %s", from, stage.Target, unit, stage.Duration)
		}

		from = stage.Target
		p.after += time.Duration(stage.Duration)
		p.mark(fmt.Sprintf("%d%s", stage.Target, strings.ReplaceAll(unit, " users", "")))
	}
}

// shortDuration formats a duration without units of zero, like 4m.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []struct{ ending, without string }{{"m0s", "m"}, {"h0m", "h"}} {
		if cut, ok := strings.CutSuffix(text, zero.ending); ok {
			text = cut + zero.without
		}
	}
	return text
}
