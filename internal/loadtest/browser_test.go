package loadtest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser starts a real browser, which scripts/test installs where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(10*time.Minute)) // A browser starts slowly on a busy machine.
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// shown is what a page shows.
type shown struct {
	Title, Verdict, Background string
	Lines, Missed              int
	// Outside has the elements that do not fit the width.
	Outside []string
}

// look opens a page in a colour scheme, at a width in pixels.
func look(ctx context.Context, path, scheme string, width int64) (shown, error) {
	media := emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+path)); err != nil {
		return shown{}, err
	}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return shown{}, err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[shown](`({
		title: document.title,
		verdict: document.querySelector(".verdict").innerText,
		background: getComputedStyle(document.body).backgroundColor,
		lines: [...document.querySelectorAll("polyline")].filter(l => l.getTotalLength() > 100).length,
		missed: document.querySelectorAll(".fail").length,
		outside: [...document.querySelectorAll("main *")].filter(e => !e.closest("svg, table") &&
			e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
	})`))
}

// The report shows its verdict and a line for every measured series in both colour
// schemes, and fits a telephone as well as a wide screen.
func TestTheReportInABrowser(t *testing.T) {
	run := aRun()
	startedAt := time.Now()
	for i := range 30 {
		at := startedAt.Add(time.Duration(i) * time.Second)
		run.Seconds = append(run.Seconds, Second{
			At:      at,
			Answers: 900 + i,
			VUs:     i,
			P50:     1,
			P95:     2,
			P99:     float64(i),
		})
		run.Samples = append(run.Samples, Sample{
			At:          at,
			CPU:         1,
			Generator:   1,
			Memory:      1 << 26,
			MemoryLimit: 1 << 28,
			PoolLimit:   5,
			Processors:  2,
		})
	}
	run.Objectives[0].Passed = false
	s := &Summary{Profile: "load", Machine: thisMachine(), StartedAt: startedAt, Runs: []*RunResult{run}}
	s.judge(Profile{Name: "load"}, nil, Tolerances{})
	directory := t.TempDir()
	if err := s.write(directory); err != nil {
		t.Fatal(err)
	}

	ctx := browser(t)
	backgrounds := make(map[string]bool)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1400} {
			shown, err := look(ctx, filepath.Join(directory, "report.html"), scheme, width)
			if err != nil {
				t.Fatal(err)
			}
			if shown.Title != "Load test load: failed" || shown.Verdict != "failed" || shown.Missed != 1 {
				t.Errorf("%s, %d wide: it shows %+v", scheme, width, shown)
			}
			if shown.Lines != 15 {
				t.Errorf("%s, %d wide: %d lines are drawn, want 15", scheme, width, shown.Lines)
			}
			if len(shown.Outside) > 0 {
				t.Errorf("%s, %d wide: these do not fit: %s", scheme, width, strings.Join(shown.Outside, "\n"))
			}
			backgrounds[shown.Background] = true
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("the backgrounds of light and dark are %v", backgrounds)
	}

	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	room, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`
		document.querySelector(".sign span").getBoundingClientRect().top - document.querySelector(".sign").getBoundingClientRect().top`))
	if err != nil || room < 30 {
		t.Errorf("on paper there are %v pixels to sign in, %v", room, err)
	}
}
