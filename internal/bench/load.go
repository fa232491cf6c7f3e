package bench

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram keeps latencies from a microsecond to an hour, to three digits.
type histogram = hdrhistogram.Histogram

func newHistogram() *histogram {
	return hdrhistogram.New(1, time.Hour.Microseconds(), 3)
}

// recorder is a histogram that several workers share: one for each of thousands of workers would
// fill the memory.
type recorder struct {
	mu        sync.Mutex
	histogram *histogram
}

// maxRecorders bounds the recorders of a load. With so many, workers seldom wait for each other.
const maxRecorders = 16

// record keeps a latency. It returns an error for one that a histogram cannot keep.
func (r *recorder) record(latency time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.histogram.RecordValue(latency.Microseconds())
}

// load is the outcome of the work that was sent.
type load struct {
	// done counts the pieces of work that were finished, shed those that an overloaded server
	// refused.
	done, shed int64
	duration   time.Duration
	// latency is that of the finished work, in microseconds.
	latency *histogram
}

// unmeasured is the figure of a round in which nothing was finished: no rate, latency or size is
// 0.
const unmeasured = 0

// rate is how many pieces of work were finished per second.
func (l load) rate() float64 {
	if l.done == 0 {
		return unmeasured
	}
	return float64(l.done) / l.duration.Seconds()
}

// p99 is the figure of a contender that is judged by its latency, in milliseconds: 99
// of 100 pieces of work took no longer. A load that failed or finished nothing is unmeasured.
func p99(did load, err error) (float64, load, error) {
	if err != nil || did.latency.TotalCount() == 0 {
		return unmeasured, did, err
	}
	return float64(did.latency.ValueAtQuantile(99)) / 1000, did, nil
}

// work is one piece of work on a connection. Workers have numbers from 0 on, one for each
// connection.
type work func(worker int, c *connection) error

// closedLoop has each of so many connections carry out one piece of work after the
// other, for a turn. It ends with the first error.
func closedLoop(ctx context.Context, addresses []string, connections int, t turn, do work) (load, error) {
	goesOn := t.begin()
	return onConnections(ctx, addresses, connections, func(worker int, c *connection, latency *recorder) error {
		for begun := time.Now(); goesOn(begun) && ctx.Err() == nil; {
			if err := do(worker, c); err != nil {
				return err
			}

			// One piece of work begins when the one before it ends.
			now := time.Now()
			if err := latency.record(now.Sub(begun)); err != nil {
				return err
			}
			begun = now
		}
		return ctx.Err()
	})
}

// openLoop has work arrive at random, at a rate per second, whether earlier work is finished or
// not. The next free connection carries out a piece of work, whose latency counts from its
// arrival: a slow server cannot hide by slowing its clients (coordinated omission). Work that
// the server sheds is counted, and has no latency.
func openLoop(
	ctx context.Context, addresses []string, connections int, rate float64, t turn, do work,
) (load, error) {
	// Everything that can arrive fits in, so that arrivals never wait.
	arrivals := make(chan time.Time, t.arrivals(rate)+connections)
	stop := make(chan struct{})
	var arriving sync.WaitGroup
	arriving.Go(func() { arrive(arrivals, stop, rate, t) })

	var shed atomic.Int64
	result, err := onConnections(ctx, addresses, connections, func(worker int, c *connection, latency *recorder) error {
		for at := range arrivals {
			err := do(worker, c)
			if errors.Is(err, errShed) {
				shed.Add(1)
				continue
			}
			if err := errors.Join(ctx.Err(), err); err != nil {
				return err
			}
			if err := latency.record(time.Since(at)); err != nil {
				return err
			}
		}
		return nil
	})

	// After an error, arrivals would go on until the end of the turn.
	close(stop)
	arriving.Wait()
	result.shed = shed.Load()
	return result, err
}

// arrive sends the time of each arrival in a turn when that time comes, and closes arrivals at
// the end. It ends early when stop is closed.
func arrive(arrivals chan<- time.Time, stop <-chan struct{}, rate float64, t turn) {
	defer close(arrivals)
	goesOn := t.begin()
	wake := time.NewTimer(0)
	defer wake.Stop()

	for at := time.Now(); ; {
		// The times between independent arrivals have an exponential distribution.
		seconds := -math.Log(1-rand.Float64()) / rate //nolint:gosec // It is no secret.
		at = at.Add(time.Duration(seconds * float64(time.Second)))
		if !goesOn(at) {
			return
		}

		if wait := time.Until(at); wait > 0 {
			wake.Reset(wait)
			select {
			case <-wake.C:
			case <-stop:
				return
			}
		}
		arrivals <- at
	}
}

// onConnections runs a worker on each of so many connections, which go to the addresses in turn,
// and adds up what the workers have done. After the first error, the other workers end with their
// next piece of work.
func onConnections(
	ctx context.Context, addresses []string, connections int, worker func(int, *connection, *recorder) error,
) (load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	opened := make([]*connection, 0, connections)
	defer func() {
		for _, c := range opened {
			c.close()
		}
	}()
	for i := range connections {
		c, err := dial(ctx, addresses[i%len(addresses)])
		if err != nil {
			return load{}, err
		}
		opened = append(opened, c)
	}

	recorders := make([]recorder, min(connections, maxRecorders))
	for i := range recorders {
		recorders[i].histogram = newHistogram()
	}

	// The time counts from here: connecting is not measured.
	var workers sync.WaitGroup
	begun := time.Now()
	for i, c := range opened {
		workers.Go(func() {
			// The context keeps only the first error.
			if err := worker(i, c, &recorders[i%len(recorders)]); err != nil {
				cancel(err)
			}
		})
	}
	workers.Wait()

	total := load{duration: time.Since(begun), latency: newHistogram()}
	for i := range recorders {
		total.latency.Merge(recorders[i].histogram)
	}
	total.done = total.latency.TotalCount()
	return total, context.Cause(ctx)
}
