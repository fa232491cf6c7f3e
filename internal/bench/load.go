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

// histogram keeps latencies from a microsecond to an hour, with three digits.
type histogram = hdrhistogram.Histogram

func newHistogram() *histogram {
	return hdrhistogram.New(1, time.Hour.Microseconds(), 3)
}

// recorder is a histogram that some workers share: one of its own for each of
// thousands would take the machine's memory.
type recorder struct {
	mu        sync.Mutex
	histogram *histogram
}

const maxRecorders = 16

func (r *recorder) record(latency time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.histogram.RecordValue(latency.Microseconds())
}

// load is what became of the work that was sent.
type load struct {
	// done counts pieces of work, shed those that an overloaded server refused.
	done, shed int64
	duration   time.Duration
	// latency is in microseconds.
	latency *histogram
}

// unmeasured is the figure of a round that measured nothing, as nothing was finished in it: no
// rate, latency or size is 0.
const unmeasured = 0

// rate is the pieces of work done in a second.
func (l load) rate() float64 {
	if l.done == 0 {
		return unmeasured
	}
	return float64(l.done) / l.duration.Seconds()
}

// p99 is the figure of a contender that is judged by its latency, in milliseconds: 99
// of 100 pieces of work took no longer. Of a load that failed, or that did nothing, there is
// none.
func p99(did load, err error) (float64, load, error) {
	if err != nil || did.latency.TotalCount() == 0 {
		return unmeasured, did, err
	}
	return float64(did.latency.ValueAtQuantile(99)) / 1000, did, nil
}

// work is one piece of work on a connection. The worker's number is from 0 to that
// of the connections.
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
			now := time.Now()
			if err := latency.record(now.Sub(begun)); err != nil {
				return err
			}
			begun = now
		}
		return ctx.Err()
	})
}

// openLoop has work arrive at random, so many pieces a second, whether earlier ones
// are finished or not. A piece is carried out on the next connection that is free,
// and takes from its arrival to its end: a server that is slow cannot hide it by
// slowing the clients (coordinated omission). Work that the server sheds is counted,
// and takes no time.
func openLoop(ctx context.Context, addresses []string, connections int, rate float64, t turn, do work) (load, error) {
	// All that can arrive fits in, so that the arrivals never wait.
	arrivals := make(chan time.Time, t.arrivals(rate)+connections)
	stop := make(chan struct{})
	var arriving sync.WaitGroup
	arriving.Go(func() {
		defer close(arrivals)
		goesOn := t.begin()
		wake := time.NewTimer(0)
		defer wake.Stop()
		for at := time.Now(); ; {
			// Independent arrivals are exponentially spaced.
			at = at.Add(time.Duration(-math.Log(1-rand.Float64()) / rate * float64(time.Second))) //nolint:gosec // No secret.
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
	})
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
	close(stop)
	arriving.Wait()
	result.shed = shed.Load()
	return result, err
}

// onConnections runs a worker on each of so many connections, to the addresses in
// turn, and adds up what they have done. After an error the others end with their next piece of work.
func onConnections(
	ctx context.Context, addresses []string, connections int, worker func(int, *connection, *recorder) error,
) (load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened := make([]*connection, connections)
	defer func() {
		for _, c := range opened {
			if c != nil {
				c.close()
			}
		}
	}()
	for i := range opened {
		var err error
		if opened[i], err = dial(ctx, addresses[i%len(addresses)]); err != nil {
			return load{}, err
		}
	}
	recorders := make([]recorder, min(connections, maxRecorders))
	for i := range recorders {
		recorders[i].histogram = newHistogram()
	}
	var failed atomic.Bool
	var workers sync.WaitGroup
	begun := time.Now()
	for i, c := range opened {
		workers.Go(func() {
			if err := worker(i, c, &recorders[i%len(recorders)]); err != nil && failed.CompareAndSwap(false, true) {
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
