package httpapi

import (
	"bytes"
	"net/http"

	"github.com/prometheus/common/expfmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// healthView says that the process lives, and what it is.
type healthView struct {
	Status  string `json:"status" enum:"ok"`
	Service string `json:"service" enum:"escrowgrid"`
	Version string `json:"version"`
	Store   string `json:"store" enum:"sqlite,postgres"`
}

// readinessView says that everything which requests need is there.
type readinessView struct {
	Status string           `json:"status" enum:"ready"`
	Checks []readinessCheck `json:"checks" nullable:"false"`
}

// readinessCheck is something that requests need, and whether it is there.
type readinessCheck struct {
	Name   string `json:"name" enum:"store"`
	Status string `json:"status" enum:"ok"`
}

var healthOperation = operation{
	Operation: web.Operation{
		ID: "getHealth", Tag: "Service", Summary: "Whether the process lives",
		Answer: healthView{},
	},
}

// health answers as long as the process lives; it asks nothing of the database, because an
// orchestrator restarts a server that fails here, and no restart mends a database.
func (s *server) health(*call) (reply, error) {
	return ok(healthView{
		Status:  "ok",
		Service: "escrowgrid",
		Version: s.config.Version,
		Store:   s.engine.StoreName(),
	}), nil
}

var readyOperation = operation{
	Operation: web.Operation{
		ID: "getReady", Tag: "Service", Summary: "Whether the service can serve",
		Answer: readinessView{},
	},
}

// ready is about the next requests: load balancers that ask it send none to a server that
// cannot serve, or is about to stop.
func (s *server) ready(c *call) (reply, error) {
	select {
	case <-s.config.Stopping:
		return reply{}, escrow.Errorf(escrow.CodeShuttingDown,
			"The server is about to stop. It still serves; send new requests to another instance.")
	default:
	}

	if err := s.engine.Ready(c.context()); err != nil {
		return reply{}, escrow.Wrap(escrow.CodeStoreUnavailable, err, "The check of the store failed: "+detailOf(err))
	}
	return ok(readinessView{Status: "ready", Checks: []readinessCheck{{Name: "store", Status: "ok"}}}), nil
}

var showMetricsOperation = operation{
	Operation: web.Operation{
		ID: "getMetrics", Tag: "Service", Summary: "Metrics for Prometheus",
		OtherTypes: []string{"text/plain"},
	},
}

// showMetrics answers the metrics in the text format. It is an answer like any other, with
// the same headers and errors, and not promhttp's.
func (s *server) showMetrics(*call) (reply, error) {
	// The text is whole before any of it is sent: what fails half-way is answered as an error.
	families, err := s.config.Gatherer.Gather()
	if err != nil {
		return reply{}, err
	}

	var text bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	encoder := expfmt.NewEncoder(&text, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return reply{}, err
		}
	}
	return reply{status: http.StatusOK, raw: text.Bytes(), contentType: string(format)}, nil
}
