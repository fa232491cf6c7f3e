package loadtest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/procfs"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Sample holds some of the server's metrics at a time.
type Sample struct {
	At     time.Time `json:"at"`
	CPU    float64   `json:"cpu"`    // processors in use since the previous sample
	Memory float64   `json:"memory"` // resident, in bytes
	// MemoryLimit is what the server's runtime keeps within, in bytes; 0 where it has no limit.
	MemoryLimit float64 `json:"memoryLimit,omitempty"`
	// Generator is the number of processors that k6 used since the previous sample; 0 where the
	// system does not tell.
	Generator  float64 `json:"generator"`
	Goroutines float64 `json:"goroutines"`
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
	// generator is the process id of k6, once it runs.
	generator atomic.Int64
}

// sampleInterval is the resolution of the report's charts.
const sampleInterval = time.Second

// watchGenerator has the process of the load generator sampled, too.
func (r *sampler) watchGenerator(pid int) { r.generator.Store(int64(pid)) }

// generatorCPU returns the seconds that the load generator has had of processors; 0 where the
// system does not tell, or it has ended.
func (r *sampler) generatorCPU() float64 {
	process, err := procfs.NewProc(int(r.generator.Load()))
	if err != nil {
		return 0
	}
	stat, err := process.Stat()
	if err != nil {
		return 0
	}
	return stat.CPUTime()
}

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
	var previousCPU float64
	for {
		at := time.Now()
		cpu := r.generatorCPU()
		// While the server does not answer there are no samples: the load reports its errors.
		if current, err := s.Metrics(ctx); err == nil {
			if previous != nil {
				sample := newSample(previous, current, previousAt, at)
				sample.Generator = max(cpu-previousCPU, 0) / at.Sub(previousAt).Seconds()
				r.samples = append(r.samples, sample)
			}
			previous, previousAt, previousCPU = current, at, cpu
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

	limit := now.Value("go_gc_gomemlimit_bytes")
	if limit >= unlimited {
		limit = 0
	}
	return Sample{
		At:            at.UTC(),
		MemoryLimit:   limit,
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

// unlimited is the least memory limit that is none: without one, Go's is 2^63 - 1 bytes.
const unlimited = 1 << 62

// What a test may take at most, as a share, unless the operator says otherwise. Above these,
// queues grow faster than the load.
const (
	maxCPUShare        = 0.8
	maxMemoryShare     = 0.8
	maxConnectionShare = 0.8
)

// generatorWindow is the number of samples over which the load generator's use of processors is
// averaged. Its busiest time counts: a rising load is limited at its end.
const generatorWindow = 10

// judgeResources compares what the server and the load generator used with what they may use.
// A profile that saturates the server has no objective for its processors and connections.
func (r *RunResult) judgeResources(saturates bool, machine Machine, variables []string) {
	r.Resources = []Check{}
	cpuShare, _ := share(variables, "MAX_CPU_SHARE", maxCPUShare)
	r.judgeShare("the load generator's processors in use, at its busiest", r.generatorUse(), float64(machine.Processors), cpuShare)
	r.judgeMemory(variables)
	if saturates {
		return
	}

	var cpu, processors, used, limit float64
	for _, sample := range r.Samples {
		cpu += sample.CPU
		processors += sample.Processors
		used += sample.PoolUsed
		limit += sample.PoolLimit
	}
	r.judgeShare("the server's processors in use, on average", cpu, processors, cpuShare)
	r.judgeShare("database connections in use, on average", used, limit, maxConnectionShare)
}

// judgeShare adds a check that a share is below a bound; a bound of 1 is none. Where the whole is
// not known, or nothing of it was used, there is nothing to check.
func (r *RunResult) judgeShare(name string, used, whole, bound float64) {
	if whole <= 0 || used <= 0 {
		return
	}
	r.Resources = append(r.Resources, Check{
		Name:   name,
		Limit:  formatBound(bound),
		Value:  formatNumber(100*used/whole) + " %",
		Passed: used/whole < bound || bound == 1,
	})
}

func formatBound(share float64) string {
	if share == 1 {
		return "no bound"
	}
	return "< " + formatNumber(100*share) + " %"
}

// generatorUse returns the number of processors that k6 used at its busiest or, where the system
// did not tell, over the whole run.
func (r *RunResult) generatorUse() (busiest float64) {
	for i := range r.Samples {
		window := r.Samples[i:min(i+generatorWindow, len(r.Samples))]
		if i > 0 && len(window) < generatorWindow {
			break
		}
		sum := 0.0
		for _, sample := range window {
			sum += sample.Generator
		}
		busiest = max(busiest, sum/float64(len(window)))
	}

	if busiest == 0 && r.generator.elapsed > 0 {
		return r.generator.cpu.Seconds() / r.generator.elapsed.Seconds()
	}
	return busiest
}

// judgeMemory judges the most memory that the server had. A server without a limit of its own
// has that of this machine, if it is on this machine; otherwise nobody knows.
func (r *RunResult) judgeMemory(variables []string) {
	const name = "the server's memory, at its most"
	bound, wanted := share(variables, "MAX_MEMORY_SHARE", maxMemoryShare)
	most, limit := 0.0, 0.0
	for _, sample := range r.Samples {
		most, limit = max(most, sample.Memory), max(limit, sample.MemoryLimit)
	}
	if limit == 0 && r.Server.isHere() {
		limit = memoryHere()
	}

	if most > 0 && limit > 0 {
		r.judgeShare(name, most, limit, bound)
		return
	}
	// Who asks for the objective is not to be told that it was met.
	if most > 0 || wanted {
		r.Resources = append(r.Resources, Check{
			Name:   name,
			Limit:  formatBound(bound),
			Value:  formatBytes(most) + ", of an unknown limit: the server has no GOMEMLIMIT",
			Passed: !wanted,
		})
	}
}

// memoryHere returns the memory in bytes that programs on this machine, or in this container, may
// have; 0 where the system does not tell.
func memoryHere() float64 {
	limit, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 0
	}
	return float64(limit)
}

// formatBytes formats a number of bytes in the units that memory has.
func formatBytes(bytes float64) string {
	if bytes >= 1<<30 {
		return formatNumber(bytes/(1<<30)) + " GiB"
	}
	return formatNumber(bytes/(1<<20)) + " MiB"
}
