package loadtest

import (
	"bytes"
	_ "embed" // for the page
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed report.html.tmpl
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"charts":  drawCharts,
	"ms":      formatMS,
	"number":  formatNumber,
	"inc":     func(i int) int { return i + 1 },
	"seconds": func(d time.Duration) string { return d.Round(time.Second).String() },
	"time":    func(at time.Time) string { return at.Format("2006-01-02 15:04:05 MST") },
}).Parse(reportText))

// page returns the report for people, an HTML page that needs no other file.
func (s *Summary) page() ([]byte, error) {
	var page bytes.Buffer
	err := reportPage.Execute(&page, s)
	return page.Bytes(), err
}

// chart is a drawing of values over time.
type chart struct {
	Title string
	Lines []line
	// Ticks are those of the value axis, from 0 upwards.
	Ticks []tick
	// Last is the time at the right end of the time axis, since its start.
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

// tick is a labelled height of the value axis, in the units of the SVG.
type tick struct {
	Y     float64
	Label string
}

// The size of a chart's area, in the units of the SVG.
const (
	chartWidth  = 360
	chartHeight = 140
)

// series is a line before it is drawn: values, each with its time, in order.
type series struct {
	name   string
	at     []time.Time
	values []float64
}

// drawCharts draws a run's charts, without those that have no values.
func drawCharts(r *RunResult) []chart {
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
	drawn := []chart{
		draw("Answers per second", "",
			ofSeconds("answers", func(s Second) float64 { return float64(s.Answers) }),
			ofSeconds("errors", func(s Second) float64 { return float64(s.Errors) })),
		draw("Latency", " ms",
			ofSeconds("p50", func(s Second) float64 { return s.P50 }),
			ofSeconds("p95", func(s Second) float64 { return s.P95 }),
			ofSeconds("p99", func(s Second) float64 { return s.P99 })),
		draw("Virtual users", "", ofSeconds("VUs", func(s Second) float64 { return float64(s.VUs) })),
		draw("Processors in use by the server", "", ofSamples("CPU", func(s Sample) float64 { return s.CPU })),
		draw("The server's memory", " MB", ofSamples("resident", func(s Sample) float64 { return s.Memory / mega })),
		draw("Commands waiting, and in a group", "",
			ofSamples("queue", func(s Sample) float64 { return s.Queue }),
			ofSamples("group", func(s Sample) float64 { return s.BatchCommands })),
		draw("Duration of a group", " ms", ofSamples("group", func(s Sample) float64 { return s.BatchMS })),
		draw("Database connections", "",
			ofSamples("in use", func(s Sample) float64 { return s.PoolUsed }),
			ofSamples("limit", func(s Sample) float64 { return s.PoolLimit })),
		draw("Goroutines", "", ofSamples("goroutines", func(s Sample) float64 { return s.Goroutines })),
	}
	return slices.DeleteFunc(drawn, func(c chart) bool { return len(c.Lines) == 0 })
}

// draw draws series in one chart, whose value axis begins at 0. It leaves out a series with
// fewer than two values.
func draw(title, unit string, all ...series) chart {
	c := chart{Title: title}
	all = slices.DeleteFunc(all, func(s series) bool { return len(s.values) < 2 })
	if len(all) == 0 {
		return c
	}

	first, last, highest := all[0].at[0], all[0].at[0], 0.0
	for _, s := range all {
		if s.at[0].Before(first) {
			first = s.at[0]
		}
		if end := s.at[len(s.at)-1]; end.After(last) {
			last = end
		}
		highest = max(highest, slices.Max(s.values))
	}

	// Neither axis may have the length 0, by which x and y divide.
	span := max(last.Sub(first).Seconds(), 1)
	step := tickStep(highest)
	top := max(math.Ceil(highest/step)*step, step)
	x := func(at time.Time) float64 { return round(at.Sub(first).Seconds() / span * chartWidth) }
	y := func(value float64) float64 { return round(chartHeight - value/top*chartHeight) }

	for value := 0.0; value <= top+step/2; value += step {
		label := strconv.FormatFloat(round(value*100)/100, 'g', -1, 64) + unit
		c.Ticks = append(c.Ticks, tick{Y: y(value), Label: label})
	}
	for i, s := range all {
		var points strings.Builder
		for j, value := range s.values {
			fmt.Fprintf(&points, "%g,%g ", x(s.at[j]), y(value))
		}
		c.Lines = append(c.Lines, line{
			Name:    s.name,
			Points:  strings.TrimSpace(points.String()),
			Highest: "highest " + formatNumber(slices.Max(s.values)) + unit,
			Class:   i,
		})
	}
	c.Last = last.Sub(first).Round(time.Second).String()
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
