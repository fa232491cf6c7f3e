package identity

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	fetched, fetchFailed                             prometheus.Counter
	cached, verified, invalid, expired, notAvailable prometheus.Counter
}

// newMetrics registers the metrics; failing counts the providers whose last fetch failed.
func newMetrics(registry prometheus.Registerer, failing func() int) *metrics {
	factory := promauto.With(registry)
	fetches := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "escrowgrid_identity_provider_fetches_total",
		Help: "Fetches of the documents and keys of identity providers, by outcome.",
	}, []string{"outcome"})
	tokens := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "escrowgrid_identity_tokens_total",
		Help: "Tokens of people that were to be verified, by outcome; cached is one that had been verified before.",
	}, []string{"outcome"})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "escrowgrid_identity_providers_failing",
		Help: "Identity providers that could not be asked for their keys when this server last tried.",
	}, func() float64 { return float64(failing()) })

	return &metrics{
		fetched:      fetches.WithLabelValues("ok"),
		fetchFailed:  fetches.WithLabelValues("failed"),
		cached:       tokens.WithLabelValues("cached"),
		verified:     tokens.WithLabelValues("verified"),
		invalid:      tokens.WithLabelValues("invalid"),
		expired:      tokens.WithLabelValues("expired"),
		notAvailable: tokens.WithLabelValues("unavailable"),
	}
}

// count counts a token that was not found in the cache, by the error of its verification.
func (m *metrics) count(err error) {
	switch {
	case err == nil:
		m.verified.Inc()
	case errors.Is(err, ErrExpired):
		m.expired.Inc()
	case errors.Is(err, ErrUnavailable):
		m.notAvailable.Inc()
	default:
		m.invalid.Inc()
	}
}
