package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// showProgress shows a bar of units on a terminal, and nothing elsewhere, such as in a pipeline's
// log. Call finish, which clears the bar, before writing anything else.
func showProgress(out io.Writer, what, unit string) (progress func(done, total int64), finish func()) {
	file, ok := out.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if about, err := file.Stat(); err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}

	bar := progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(),
	)
	progress = func(done, total int64) {
		bar.ChangeMax64(total)
		_ = bar.Set64(done) // It fails only beyond its end.
	}
	return progress, func() { _ = bar.Clear() }
}
