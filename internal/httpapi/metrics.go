package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are what the API counts. Labels are of bounded sets: routes, known methods,
// statuses and codes.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	inFlight prometheus.Gauge
	// memoryWaits counts the requests that wait in reserveMemory.
	memoryWaits prometheus.Gauge
	// rootAddresses counts the addresses from which the root key came.
	rootAddresses prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	factory := promauto.With(registry)

	return &metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_http_requests_total", Help: "Requests that were answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "escrowgrid_http_request_duration_seconds", Help: "Time from a request's headers to its answer.",
			// Fine enough about the objectives (300 ms and 1 s) and far enough down for
			// quantiles from p50 to p99.9 of a fast server.
			Buckets: []float64{
				0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1,
				0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30,
			},
		}, []string{"route", "method"}),
		refusals: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_http_errors_total", Help: "Requests that were answered with an error, by its code.",
		}, []string{"code"}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_http_requests_in_flight", Help: "Requests that are being answered.",
		}),
		memoryWaits: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_http_large_answers_waiting",
			Help: "Requests for large answers that wait until others were sent.",
		}),
		rootAddresses: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_root_key_new_addresses_total",
			Help: "Addresses from which this server saw the root key used for the first time since its start.",
		}),
	}
}

// declareSeries makes the series of errors: of one that begins with its first event,
// Prometheus does not see that event.
func (m *metrics) declareSeries(routes []route) {
	for _, kind := range ErrorKinds() {
		m.refusals.WithLabelValues(string(kind.Code))
	}

	for i := range routes {
		for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
			m.requests.WithLabelValues(routes[i].path(), routes[i].method(), strconv.Itoa(status))
		}
	}
}

// observe counts a request that was answered. The pattern and the method are of bounded
// sets, whatever clients ask for.
func (m *metrics) observe(pattern, method string, status int, duration time.Duration) {
	m.requests.WithLabelValues(pattern, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(pattern, method).Observe(duration.Seconds())
}
