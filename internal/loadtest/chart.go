package loadtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chart is a drawing of values over time. Positions are in the units of the SVG.
type chart struct {
	Title string
	Lines []line
	// Ticks are those of the value axis, from 0 upwards, and Times those of the time axis.
	Ticks, Times []tick
	// Marks are where one stage of the load ends and the next begins, Errors the seconds with
	// errors, and End the end of the server, if it ended.
	Marks  []tick
	Errors []float64
	End    *tick
	// Last is the time at the right end of the time axis.
	Last string
}

// line is a series that is drawn.
type line struct {
	Name string
	// Points are those of an SVG polyline.
	Points string
	// Highest is the highest value, with the unit.
	Highest string
	// Class is the number of the line's CSS class, which determines its colour.
	Class int
}

// tick is a labelled place on an axis.
type tick struct {
	At    float64
	Label string
}

// The size of a chart's area, in the units of the SVG.
const (
	chartWidth  = 460
	chartHeight = 120
)

// series is a line before it is drawn: values, each with its time, in order.
type series struct {
	name   string
	at     []time.Time
	values []float64
}

// drawCharts draws a run's charts on one time axis, without those that have no values.
func drawCharts(r *RunResult, marks []Mark) []chart {
	ofSeconds := func(name string, value func(Second) float64) series {
		s := series{name: name}
		for _, second := range r.Seconds {
			s.at, s.values = append(s.at, second.At), append(s.values, value(second))
		}
		return s
	}
	ofSamples := func(name string, value func(Sample) float64) series {
		s := series{name: name}
		for _, sample := range r.Samples {
			s.at, s.values = append(s.at, sample.At), append(s.values, value(sample))
		}
		return s
	}

	const mega = 1 << 20
	axis := newTimeAxis(r)
	axis.addMarks(r.LoadAt, marks)
	drawn := []chart{
		axis.draw("Answers per second", "",
			ofSeconds("answers", func(s Second) float64 { return float64(s.Answers) }),
			ofSeconds("errors", func(s Second) float64 { return float64(s.Errors) })),
		axis.draw("Latency", " ms",
			ofSeconds("p50", func(s Second) float64 { return s.P50 }),
			ofSeconds("p95", func(s Second) float64 { return s.P95 }),
			ofSeconds("p99", func(s Second) float64 { return s.P99 })),
		axis.draw("Virtual users", "", ofSeconds("VUs", func(s Second) float64 { return float64(s.VUs) })),
		axis.draw("Processors in use", "",
			ofSamples("server", func(s Sample) float64 { return s.CPU }),
			ofSamples("load generator", func(s Sample) float64 { return s.Generator })),
		axis.draw("The server's memory", " MiB", ofSamples("resident", func(s Sample) float64 { return s.Memory / mega })),
		axis.draw("Commands waiting, and in a group", "",
			ofSamples("queue", func(s Sample) float64 { return s.Queue }),
			ofSamples("group", func(s Sample) float64 { return s.BatchCommands })),
		axis.draw("Duration of a group", " ms", ofSamples("group", func(s Sample) float64 { return s.BatchMS })),
		axis.draw("Database connections", "",
			ofSamples("in use", func(s Sample) float64 { return s.PoolUsed }),
			ofSamples("limit", func(s Sample) float64 { return s.PoolLimit })),
		axis.draw("Goroutines", "", ofSamples("goroutines", func(s Sample) float64 { return s.Goroutines })),
	}
	return slices.DeleteFunc(drawn, func(c chart) bool { return len(c.Lines) == 0 })
}

// timeAxis is the one that all charts of a run share.
type timeAxis struct {
	from time.Time
	span time.Duration
	// bare is a chart without lines.
	bare chart
}

// newTimeAxis returns the axis from the first to the last that was measured in a run.
func newTimeAxis(r *RunResult) *timeAxis {
	var from, to time.Time
	include := func(at time.Time) {
		if from.IsZero() || at.Before(from) {
			from = at
		}
		if at.After(to) {
			to = at
		}
	}
	for _, second := range r.Seconds {
		include(second.At)
	}
	for _, sample := range r.Samples {
		include(sample.At)
	}
	if r.Server.EndedAt != nil {
		include(*r.Server.EndedAt)
	}

	// It may not have the length 0, by which x divides.
	a := &timeAxis{from: from, span: max(to.Sub(from), time.Second)}
	if end := r.Server.EndedAt; end != nil {
		a.bare.End = &tick{At: a.x(*end), Label: "the server ended"}
	}
	a.bare.Last = shortDuration(a.span.Round(time.Second))
	for _, second := range r.Seconds {
		if second.Errors > 0 {
			a.bare.Errors = append(a.bare.Errors, a.x(second.At))
		}
	}
	step := timeStep(a.span)
	at := time.Duration(0)
	for range a.span/step + 1 {
		a.bare.Times = append(a.bare.Times, tick{At: a.x(a.from.Add(at)), Label: shortDuration(at)})
		at += step
	}
	return a
}

// labelWidth is the room that the label of a mark takes.
const labelWidth = 34

// addMarks adds the marks of a plan that lie on the axis, with labels where there is room.
func (a *timeAxis) addMarks(loadAt time.Time, marks []Mark) {
	labelled := -math.MaxFloat64
	for _, mark := range marks {
		at := a.x(loadAt.Add(mark.After))
		if at > chartWidth {
			return
		}
		t := tick{At: at}
		if at-labelled >= labelWidth && a.bare.End == nil {
			t.Label, labelled = mark.Label, at
		}
		a.bare.Marks = append(a.bare.Marks, t)
	}
}

// x returns where on the axis a time is.
func (a *timeAxis) x(at time.Time) float64 {
	return round(at.Sub(a.from).Seconds() / a.span.Seconds() * chartWidth)
}

// timeStep returns a step that people count time in, and that divides a span into at most eight.
func timeStep(span time.Duration) time.Duration {
	for _, seconds := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200} {
		if step := time.Duration(seconds) * time.Second; span/step <= 8 {
			return step
		}
	}
	return max(span/8, time.Second).Round(time.Hour)
}

// draw draws series in one chart, whose value axis begins at 0. It leaves out a series with
// fewer than two values.
func (a *timeAxis) draw(title, unit string, all ...series) chart {
	c := a.bare
	c.Title = title
	highest := 0.0
	all = slices.DeleteFunc(all, func(s series) bool { return len(s.values) < 2 })
	for _, s := range all {
		highest = max(highest, slices.Max(s.values))
	}

	// The axis may not have the length 0, by which y divides.
	step := tickStep(highest)
	top := max(math.Ceil(highest/step)*step, step)
	y := func(value float64) float64 { return round(chartHeight - value/top*chartHeight) }
	for value := 0.0; value <= top+step/2; value += step {
		label := strconv.FormatFloat(round(value*100)/100, 'g', -1, 64) + unit
		c.Ticks = append(c.Ticks, tick{At: y(value), Label: label})
	}

	for i, s := range all {
		var points strings.Builder
		for j, value := range s.values {
			fmt.Fprintf(&points, "%g,%g ", a.x(s.at[j]), y(value))
		}
		c.Lines = append(c.Lines, line{
			Name:    s.name,
			Points:  strings.TrimSpace(points.String()),
			Highest: "highest " + formatNumber(slices.Max(s.values)) + unit,
			Class:   i,
		})
	}
	return c
}

// tickStep returns a step of 1, 2 or 5 times a power of ten that divides the range from 0
// to highest into at most five.
func tickStep(highest float64) float64 {
	if highest <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(highest)))
	for _, factor := range []float64{0.1, 0.2, 0.5, 1, 2, 5} {
		if highest/(power*factor) <= 5 {
			return power * factor
		}
	}
	return power * 10
}

// round rounds to one decimal, which is enough for a drawing and keeps the page small.
func round(value float64) float64 { return math.Round(value*10) / 10 }
