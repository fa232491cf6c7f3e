package main

import (
	"bytes"
	"fmt"
	"image/color"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/escrowgrid/escrowgrid/internal/bench"
)

// performanceTables returns the stored figures of the benchmarks, with a table for each
// experiment.
func performanceTables(figures bench.Figures) string {
	var text strings.Builder
	experiment := ""
	for _, c := range figures.Comparisons {
		if c.Experiment != experiment {
			experiment = c.Experiment
			writeConditions(&text, c)
			writeRow(&text, "what", "contender", "median", "from", "to", "p50", "p99", "p99.9", "CPU", "ratio", "goal")
			writeRow(&text, "---", "---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:")
		}

		for j, contender := range c.Contenders {
			// The first line names the comparison, and the last has its ratio to the floor.
			what, ratio, goal := "", "", ""
			if j == 0 {
				what = fmt.Sprintf("[%s](performance/%s), %s", c.Name, plotName(c), c.Unit)
			}
			if j > 0 && j == len(c.Contenders)-1 {
				ratio, goal = "**"+number(c.Ratio)+"**", c.GoalText()
				switch {
				case !c.Measured():
					ratio = "unmeasured"
				case !c.Met():
					goal += ", missed"
				}
			}

			writeRow(&text, what, contender.Name,
				figure(contender.Median), figure(slices.Min(contender.Rounds)), figure(slices.Max(contender.Rounds)),
				milliseconds(contender, "50"), milliseconds(contender, "99"), milliseconds(contender, "99.9"),
				microseconds(contender.CPU), ratio, goal)
		}
	}
	return text.String()
}

// writeConditions writes the heading of an experiment and how it was measured.
func writeConditions(text *strings.Builder, c bench.Comparison) {
	m := c.Conditions.Machine
	fmt.Fprintf(text, "\n### %s\n\n", c.Experiment)
	fmt.Fprintf(text, "Measured on %s with version %s: %d processors, %s, %s, PostgreSQL %s; %d rounds of %s.\n\n",
		c.Conditions.At.Format("2006-01-02"), c.Conditions.Version, m.Processors, m.OS, m.Go, m.PostgreSQL,
		len(c.Contenders[0].Rounds), roundLength(c.Conditions))
}

// roundLength says how long a contender's turn in a round was.
func roundLength(c bench.Conditions) string {
	if c.RoundWork > 0 {
		return fmt.Sprintf("%d pieces of work", c.RoundWork)
	}
	return fmt.Sprintf("%g s", c.RoundSeconds)
}

// figure formats a contender's figure, which is 0 where nothing was measured.
func figure(value float64) string {
	if value == 0 {
		return "unmeasured"
	}
	return number(value)
}

// number formats a value with three significant digits, or with all of the integer part
// where that has more.
func number(value float64) string {
	if value >= 1000 {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.3g", value)
}

// milliseconds formats a percentile of a contender's latency; "" where it was not measured.
func milliseconds(c bench.Contender, percentile string) string {
	value, ok := c.Latency[percentile]
	if !ok {
		return ""
	}
	return number(value) + " ms"
}

// microseconds formats the processor time of one piece of work; "" where it was not measured.
func microseconds(value float64) string {
	if value == 0 {
		return ""
	}
	return number(value) + " µs"
}

// plotName is the file name of a comparison's plot.
func plotName(c bench.Comparison) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r == ' ':
			return '-'
		}
		return -1
	}, c.Name)
	return name + ".svg"
}

// The size of a plot, and the colours of contenders.
const (
	plotWidth  = 16 * vg.Centimeter
	plotHeight = 8 * vg.Centimeter
)

// contenderColors are those of the contenders in their order: the floor is grey, the program
// blue.
var contenderColors = []color.Color{
	color.RGBA{R: 0x88, G: 0x88, B: 0x88, A: 0xff},
	color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff},
}

// drawComparison plots the figure of each round as SVG. The plot shows the spread of the
// rounds, and whether figures fall as the database grows.
func drawComparison(c bench.Comparison) ([]byte, error) {
	p := plot.New()
	p.Title.Text = c.Name
	p.X.Label.Text, p.Y.Label.Text = "round", c.Unit
	p.Y.Min, p.X.Min = 0, 0.5
	p.Legend.Top, p.Legend.Left = true, true
	p.BackgroundColor = color.White

	for i, contender := range c.Contenders {
		var points plotter.XYs
		for j, figure := range contender.Rounds {
			// A figure of 0 was not measured.
			if figure != 0 {
				points = append(points, plotter.XY{X: float64(j + 1), Y: figure})
			}
		}
		p.X.Max = max(p.X.Max, float64(len(contender.Rounds))+0.5)
		if len(points) == 0 {
			p.Legend.Add(contender.Name + ": unmeasured")
			continue
		}

		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color = contenderColors[i%len(contenderColors)]
		marks.Color, marks.Shape = line.Color, draw.CircleGlyph{}
		p.Add(line, marks)
		p.Legend.Add(contender.Name, line, marks)
		// The legend is at the top, above the lines.
		p.Y.Max = max(p.Y.Max, 1.25*slices.Max(contender.Rounds))
	}

	p.X.Tick.Marker = wholeNumbers{}
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var svg bytes.Buffer
	_, err := canvas.WriteTo(&svg)
	return svg.Bytes(), err
}

// wholeNumbers puts a tick at each round.
type wholeNumbers struct{}

// Ticks implements plot.Ticker.
func (wholeNumbers) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for round := 1; float64(round) <= high; round++ {
		if float64(round) >= low {
			ticks = append(ticks, plot.Tick{Value: float64(round), Label: fmt.Sprint(round)})
		}
	}
	return ticks
}

// readFigures reads the stored figures of the benchmarks.
func readFigures(root string) (bench.Figures, error) {
	return bench.ReadFigures(filepath.Join(root, "docs", "performance", "figures.json"))
}
