package httpapi

import (
	"context"
	"sync"
	"time"
)

// timedContext is context.WithDeadline, whose timer is not set before somebody waits
// for it: what is answered from memory never does.
type timedContext struct {
	context.Context //nolint:containedctx // It is one.
	deadline        time.Time

	mu sync.Mutex
	// timed is nil while nobody has waited.
	timed  context.Context //nolint:containedctx // See above.
	cancel context.CancelFunc
}

func (t *timedContext) timer() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timed == nil {
		t.timed, t.cancel = context.WithDeadline(t.Context, t.deadline)
	}
	return t.timed
}

// end lets go of the timer, and of all who wait yet.
func (t *timedContext) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timed == nil {
		t.timed, t.cancel = ended, func() {}
	}
	t.cancel()
}

// ended is what waits for a timedContext after its end.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (t *timedContext) Deadline() (time.Time, bool) {
	if earlier, ok := t.Context.Deadline(); ok && earlier.Before(t.deadline) {
		return earlier, true
	}
	return t.deadline, true
}

func (t *timedContext) Done() <-chan struct{} { return t.timer().Done() }

func (t *timedContext) Err() error {
	t.mu.Lock()
	timed := t.timed
	t.mu.Unlock()
	if timed != nil {
		return timed.Err()
	}
	if time.Now().Before(t.deadline) {
		return t.Context.Err()
	}
	return t.timer().Err()
}

// AfterFunc spares package context a goroutine for each context that is made of this
// one.
func (t *timedContext) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(t.timer(), f)
}
