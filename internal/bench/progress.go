package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// progress says what is under way: on a terminal in one line that changes, and elsewhere
// in one line for each task.
type progress struct {
	out      io.Writer
	terminal bool

	mu sync.Mutex
	// task is the last one that was said to be under way.
	task string
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if file, ok := out.(*os.File); ok {
		about, err := file.Stat()
		p.terminal = err == nil && about.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say shows how far a task is.
func (p *progress) say(task, howFar string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r\033[K%s: %s", task, howFar)
	case task != p.task:
		fmt.Fprintf(p.out, "%s …\n", task)
	}
	p.task = task
}

// done clears the line on a terminal, before figures are printed.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
