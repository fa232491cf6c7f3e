package web

import (
	"context"
	"testing"
	"time"
)

func TestDeadline(t *testing.T) {
	parent, cancelParent := context.WithCancel(t.Context())
	defer cancelParent()
	timed := func(deadline time.Duration) *Deadline {
		return WithDeadline(parent, time.Now().Add(deadline))
	}
	for _, waits := range []bool{false, true} {
		open := timed(time.Hour)
		if waits {
			open.Done()
		}
		if err := open.Err(); err != nil {
			t.Errorf("before its deadline (waited for: %v): %v", waits, err)
		}
		child, cancel := context.WithCancel(open)
		open.End()
		if err := open.Err(); err != context.Canceled { //nolint:errorlint // This one exactly.
			t.Errorf("after its end (waited for: %v): %v", waits, err)
		}
		<-open.Done()
		<-child.Done()
		cancel()

		late := timed(-time.Second)
		if waits {
			<-late.Done()
		}
		if err := late.Err(); err != context.DeadlineExceeded { //nolint:errorlint // This one exactly.
			t.Errorf("past its deadline (waited for: %v): %v", waits, err)
		}
		late.End()
	}
	soon := timed(time.Millisecond)
	defer soon.End()
	<-soon.Done()
	if err := soon.Err(); err != context.DeadlineExceeded { //nolint:errorlint // This one exactly.
		t.Errorf("at its deadline: %v", err)
	}
	gone := timed(time.Hour)
	defer gone.End()
	cancelParent()
	if err := gone.Err(); err != context.Canceled { //nolint:errorlint // This one exactly.
		t.Errorf("after its parent's end: %v", err)
	}
	<-gone.Done()
}
