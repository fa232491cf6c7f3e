package loadtest

import (
	"context"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Sample holds some of the server's metrics at a time.
type Sample struct {
	At         time.Time `json:"at"`
	CPU        float64   `json:"cpu"`    // processors in use since the previous sample
	Memory     float64   `json:"memory"` // resident, in bytes
	Goroutines float64   `json:"goroutines"`
	// Queue is the number of commands that wait, InFlight that of requests without an answer.
	Queue    float64 `json:"queue"`
	InFlight float64 `json:"inFlight"`
	// BatchCommands and BatchMS are the average size and duration of the groups that were
	// committed since the previous sample.
	BatchCommands float64 `json:"batchCommands"`
	BatchMS       float64 `json:"batchMs"`
	// PoolUsed and PoolLimit are numbers of database connections.
	PoolUsed  float64 `json:"poolUsed"`
	PoolLimit float64 `json:"poolLimit"`
	// Processors is the number of processors that the server may use.
	Processors float64 `json:"processors"`
}

// sampler reads the metrics of a server once a second.
type sampler struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	samples []Sample
}

// sampleInterval is the resolution of the report's charts.
const sampleInterval = time.Second

// startSampler samples a server's metrics in the background, until stop.
func startSampler(ctx context.Context, s *testbed.Server) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	result := &sampler{cancel: cancel}
	result.done.Go(func() { result.run(ctx, s) })
	return result
}

func (r *sampler) run(ctx context.Context, s *testbed.Server) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()

	var previous testbed.Metrics
	var previousAt time.Time
	for {
		at := time.Now()
		// While the server does not answer there are no samples: the load reports its errors.
		if current, err := s.Metrics(ctx); err == nil {
			if previous != nil {
				r.samples = append(r.samples, newSample(previous, current, previousAt, at))
			}
			previous, previousAt = current, at
		}

		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the sampling and returns the samples.
func (r *sampler) stop() []Sample {
	r.cancel()
	r.done.Wait()
	return r.samples
}

// newSample returns a sample from the metrics at a time and from those of the previous
// sample, from which counters and histograms are subtracted.
func newSample(before, now testbed.Metrics, beforeAt, at time.Time) Sample {
	rise := func(name string) float64 { return now.Value(name) - before.Value(name) }
	mean := func(name string) float64 {
		sum, count := now.Histogram(name)
		sumBefore, countBefore := before.Histogram(name)
		if count == countBefore {
			return 0
		}
		return (sum - sumBefore) / (count - countBefore)
	}

	return Sample{
		At:            at.UTC(),
		CPU:           rise("process_cpu_seconds_total") / at.Sub(beforeAt).Seconds(),
		Memory:        now.Value("process_resident_memory_bytes"),
		Goroutines:    now.Value("go_goroutines"),
		Queue:         now.Value("escrowgrid_queue_commands"),
		InFlight:      now.Value("escrowgrid_http_requests_in_flight"),
		BatchCommands: mean("escrowgrid_group_commands"),
		BatchMS:       1000 * mean("escrowgrid_group_duration_seconds"),
		PoolUsed:      now.Value("escrowgrid_store_connections_used"),
		PoolLimit:     now.Value("escrowgrid_store_connections_limit"),
		Processors:    now.Value("go_sched_gomaxprocs_threads"),
	}
}
