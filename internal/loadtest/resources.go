package loadtest

import (
	"bytes"
	"context"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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

func startSampler(ctx context.Context, s *server) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	taker := &sampler{cancel: cancel}
	taker.done.Go(func() {
		var before map[string]*dto.MetricFamily
		var beforeAt time.Time
		ticker := time.NewTicker(sampleInterval)
		defer ticker.Stop()
		for {
			at := time.Now()
			// A server that does not answer has no sample; the load will tell.
			if families, err := readMetrics(ctx, s); err == nil {
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

func readMetrics(ctx context.Context, s *server) (map[string]*dto.MetricFamily, error) {
	text, err := s.scrape(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

func sampleOf(before, now map[string]*dto.MetricFamily, beforeAt, at time.Time) Sample {
	rise := func(name string) float64 { return value(now, name) - value(before, name) }
	mean := func(name string) float64 {
		sum, count := histogram(now, name)
		sumBefore, countBefore := histogram(before, name)
		if count == countBefore {
			return 0
		}
		return (sum - sumBefore) / (count - countBefore)
	}
	return Sample{
		At: at.UTC(), CPU: rise("process_cpu_seconds_total") / at.Sub(beforeAt).Seconds(),
		Memory: value(now, "process_resident_memory_bytes"), Goroutines: value(now, "go_goroutines"),
		Queue: value(now, "escrowgrid_queue_commands"), InFlight: value(now, "escrowgrid_http_requests_in_flight"),
		BatchCommands: mean("escrowgrid_batch_commands"), BatchMS: 1000 * mean("escrowgrid_batch_duration_seconds"),
		PoolUsed: value(now, "escrowgrid_store_connections_used"), PoolLimit: value(now, "escrowgrid_store_connections_limit"),
		Processors: value(now, "go_sched_gomaxprocs_threads"),
	}
}

// value is a metric's, summed over its labels; 0 where there is none.
func value(families map[string]*dto.MetricFamily, name string) (sum float64) {
	for _, metric := range families[name].GetMetric() {
		sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + metric.GetUntyped().GetValue()
	}
	return sum
}

func histogram(families map[string]*dto.MetricFamily, name string) (sum, count float64) {
	for _, metric := range families[name].GetMetric() {
		sum += metric.GetHistogram().GetSampleSum()
		count += float64(metric.GetHistogram().GetSampleCount())
	}
	return sum, count
}
