package web

import (
	"context"
	"sync"
	"time"
)

// Deadline is context.WithDeadline, whose timer is not set before somebody waits for
// it: what is answered from memory never does.
type Deadline struct {
	context.Context //nolint:containedctx // It is one.
	deadline        time.Time

	mu sync.Mutex
	// timed is nil while nobody has waited.
	timed  context.Context //nolint:containedctx // See above.
	cancel context.CancelFunc
}

// WithDeadline returns a context that ends at a moment, or with its parent.
func WithDeadline(parent context.Context, at time.Time) *Deadline {
	return &Deadline{Context: parent, deadline: at}
}

func (t *Deadline) timer() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.timed == nil {
		t.timed, t.cancel = context.WithDeadline(t.Context, t.deadline)
	}
	return t.timed
}

// End lets go of the timer, and of all who still wait. It must be called.
func (t *Deadline) End() {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.timed == nil {
		t.timed, t.cancel = ended, func() {}
	}
	t.cancel()
}

// ended is what waits for a Deadline after its end.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Deadline implements context.Context.
func (t *Deadline) Deadline() (time.Time, bool) {
	if earlier, ok := t.Context.Deadline(); ok && earlier.Before(t.deadline) {
		return earlier, true
	}
	return t.deadline, true
}

// Done implements context.Context.
func (t *Deadline) Done() <-chan struct{} { return t.timer().Done() }

// Err implements context.Context.
func (t *Deadline) Err() error {
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
func (t *Deadline) AfterFunc(f func()) (stop func() bool) {
	return context.AfterFunc(t.timer(), f)
}
