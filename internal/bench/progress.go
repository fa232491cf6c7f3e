package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// progress says what is under way: on a terminal in one line that changes, elsewhere
// in a line for each thing.
type progress struct {
	out      io.Writer
	terminal bool

	mu sync.Mutex
	// what is the thing that was last said to be under way.
	what string
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if file, ok := out.(*os.File); ok {
		about, err := file.Stat()
		p.terminal = err == nil && about.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say tells how far a thing is.
func (p *progress) say(what, howFar string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.terminal:
		fmt.Fprintf(p.out, "\r\033[K%s: %s", what, howFar)
	case what != p.what:
		fmt.Fprintf(p.out, "%s …\n", what)
	}
	p.what = what
}

// done clears the line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
