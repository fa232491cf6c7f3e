// Command escrowgrid-bench measures how fast servers on this machine are, beside floors.
// It is a program of its own, so that the server ships without the code that sends load
// and the code that starts private PostgreSQL clusters.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/escrowgrid/escrowgrid/internal/bench"
)

// The exit codes, with the same meaning as escrowgrid's.
const (
	exitOK      = 0
	exitFailure = 1 // a goal was missed, or something could not be measured
	exitUsage   = 2 // an argument or a flag was wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	measure := func() error { return bench.ServeFloor(ctx, stdout) }

	// The floor is this program in another process, as a server would be. Only the benchmark
	// starts it, so the command line does not show it.
	if !slices.Equal(args, []string{bench.FloorCommand}) {
		var c command
		helped, err := c.parse(args, stdout, stderr)
		if helped {
			return exitOK
		}
		if err != nil {
			fmt.Fprintf(stderr, "escrowgrid-bench: %s\n", err)
			fmt.Fprintln(stderr, "escrowgrid-bench --help lists the experiments and the flags.")
			return exitUsage
		}
		measure = func() error { return c.run(ctx, stdout, stderr) }
	}

	if err := measure(); err != nil {
		fmt.Fprintln(stderr, "escrowgrid-bench:", err)
		return exitFailure
	}
	return exitOK
}
