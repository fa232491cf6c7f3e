package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Purpose is what requests are sent for. The metrics tell purposes apart, so that a new one has its
// constant here, and no tenant's text is ever one.
type Purpose string

// IdentityProvider is for the documents and keys of identity providers, and for their tokens.
const IdentityProvider Purpose = "identity_provider"

// purposes are all that there are.
var purposes = []Purpose{IdentityProvider}

// outcome is how an exchange ended.
type outcome string

const (
	succeeded  outcome = "succeeded"    // a status below 400
	errorGiven outcome = "error_status" // a status of 400 or above
	redirected outcome = "redirected"
	notAllowed outcome = "not_allowed"
	tooLarge   outcome = "too_large"
	timedOut   outcome = "timed_out"
	cancelled  outcome = "cancelled" // whoever asked did not wait
	failed     outcome = "failed"    // no connection, no TLS, no HTTP
)

var outcomes = []outcome{succeeded, errorGiven, redirected, notAllowed, tooLarge, timedOut, cancelled, failed}

// outcomeOf tells how an exchange ended with an error, or without one with a status.
func outcomeOf(status int, err error) outcome {
	if err == nil {
		if status < http.StatusBadRequest {
			return succeeded
		}
		return errorGiven
	}

	var redirect *RedirectError
	var network net.Error
	switch {
	case errors.As(err, &redirect):
		return redirected
	case errors.Is(err, ErrNotAllowed):
		return notAllowed
	case errors.Is(err, ErrBodyTooLarge):
		return tooLarge
	case errors.Is(err, context.Canceled):
		return cancelled
	case errors.As(err, &network) && network.Timeout(): // A context that is past its deadline is one, too.
		return timedOut
	}
	return failed
}

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	factory := promauto.With(registry)
	m := &metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_egress_requests_total",
			Help: "Requests that this server sent to others, or refused to send, by purpose and outcome.",
		}, []string{"purpose", "outcome"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "escrowgrid_egress_request_duration_seconds",
			Help:    "Time from a request to another server to the end of its answer, by purpose.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
		}, []string{"purpose"}),
	}

	// Of a series that begins with its first event, Prometheus does not see that event.
	for _, purpose := range purposes {
		m.seconds.WithLabelValues(string(purpose))
		for _, outcome := range outcomes {
			m.requests.WithLabelValues(string(purpose), string(outcome))
		}
	}
	return m
}

func (m *metrics) count(purpose Purpose, outcome outcome, duration time.Duration) {
	m.requests.WithLabelValues(string(purpose), string(outcome)).Inc()
	m.seconds.WithLabelValues(string(purpose)).Observe(duration.Seconds())
}
