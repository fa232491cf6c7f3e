package loadtest

import (
	"context"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Sample is what the server's metrics said at a moment.
type Sample struct {
	At         time.Time `json:"at"`
	CPU        float64   `json:"cpu"` // processors in use since the sample before
	Memory     float64   `json:"memory"`
	Goroutines float64   `json:"goroutines"`
	Queue      float64   `json:"queue"`
	InFlight   float64   `json:"inFlight"`
	// BatchCommands and BatchMS are averages since the sample before.
	BatchCommands float64 `json:"batchCommands"`
	BatchMS       float64 `json:"batchMs"`
	PoolUsed      float64 `json:"poolUsed"`
	PoolLimit     float64 `json:"poolLimit"`
	Processors    float64 `json:"processors"`
}

// sampler reads the metrics of a server once a second.
type sampler struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	samples []Sample
}

const sampleInterval = time.Second

func startSampler(ctx context.Context, s *testbed.Server) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	taker := &sampler{cancel: cancel}
	taker.done.Go(func() {
		var before testbed.Metrics
		var beforeAt time.Time
		ticker := time.NewTicker(sampleInterval)
		defer ticker.Stop()
		for {
			at := time.Now()
			// A server that does not answer has no sample; the load will tell.
			if families, err := s.Metrics(ctx); err == nil {
				if before != nil {
					taker.samples = append(taker.samples, sampleOf(before, families, beforeAt, at))
				}
				before, beforeAt = families, at
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return taker
}

func (t *sampler) stop() []Sample {
	t.cancel()
	t.done.Wait()
	return t.samples
}

func sampleOf(before, now testbed.Metrics, beforeAt, at time.Time) Sample {
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
		At: at.UTC(), CPU: rise("process_cpu_seconds_total") / at.Sub(beforeAt).Seconds(),
		Memory: now.Value("process_resident_memory_bytes"), Goroutines: now.Value("go_goroutines"),
		Queue: now.Value("escrowgrid_queue_commands"), InFlight: now.Value("escrowgrid_http_requests_in_flight"),
		BatchCommands: mean("escrowgrid_batch_commands"), BatchMS: 1000 * mean("escrowgrid_batch_duration_seconds"),
		PoolUsed: now.Value("escrowgrid_store_connections_used"), PoolLimit: now.Value("escrowgrid_store_connections_limit"),
		Processors: now.Value("go_sched_gomaxprocs_threads"),
	}
}
