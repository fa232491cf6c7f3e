package verify

import (
	"context"
	"sync"
	"time"
)

// inOrder has workers do jobs at the same time, and takes their results in the order of
// the jobs. next returns a job; ok is false when there are no more.
func inOrder[J, R any](
	ctx context.Context, config Config, next func(context.Context) (job J, ok bool, err error),
	work func(context.Context, J) (R, error), take func(context.Context, R) error,
) error {
	type outcome struct {
		result R
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()

	// As many jobs are under way as fit in here, and the one that is waited for.
	outcomes := make(chan chan outcome, config.Workers-1)
	working.Go(func() {
		defer close(outcomes)
		for {
			job, ok, err := next(ctx)
			if err == nil && !ok {
				return
			}

			result := make(chan outcome, 1)
			select {
			case outcomes <- result:
			case <-ctx.Done():
				return
			}
			if err != nil {
				result <- outcome{err: err}
				return
			}

			working.Go(func() {
				begun := time.Now()
				done, err := work(ctx, job)
				if config.Gentle && err == nil {
					err = pause(ctx, time.Since(begun))
				}
				result <- outcome{result: done, err: err}
			})
		}
	})

	for result := range outcomes {
		done := <-result
		if done.err != nil {
			return done.err
		}
		if err := take(ctx, done.result); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()

	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
