package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// traceContext reads a request's place in its client's trace, as W3C's Trace Context
// has it: https://www.w3.org/TR/trace-context/.
var traceContext propagation.TraceContext

// startSpan begins the span of a request, in the client's trace where it names one.
// What probes and scrapers ask for all day is not traced. The attributes are those of
// OpenTelemetry's semantic conventions for HTTP servers; the query is left out, as what
// clients look for may be confidential.
func (s *server) startSpan(r *http.Request) (context.Context, trace.Span) {
	ctx := r.Context()
	if s.tracer == nil || r.URL.Path == "/health" || r.URL.Path == "/ready" || r.URL.Path == "/metrics" {
		return ctx, noop.Span{}
	}
	return s.tracer.Start(traceContext.Extract(ctx, propagation.HeaderCarrier(r.Header)), r.Method,
		trace.WithSpanKind(trace.SpanKindServer))
}

// endSpan ends the span of a request that was answered.
func (c *call) endSpan(method string, status int) {
	if !c.span.IsRecording() {
		return
	}

	c.span.SetName(method + " " + c.pattern)
	c.span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", c.pattern),
		attribute.String("url.path", c.tracedPath()), attribute.String("client.address", c.clientName()),
		attribute.Int("http.response.status_code", status), attribute.String("escrowgrid.request_id", c.requestID),
		attribute.String("escrowgrid.actor", c.caller.name()))
	if !c.caller.institution.IsZero() {
		c.span.SetAttributes(attribute.String("escrowgrid.institution_id", c.caller.institution.String()))
	}

	// A refusal is no failure of the server: its span has the code, and no error.
	if c.failure != nil {
		code := string(escrow.ErrorCode(c.failure))
		if status >= http.StatusInternalServerError {
			tracing.Fail(c.span, code)
		} else {
			c.span.SetAttributes(tracing.ErrorType.String(code))
		}
	}
	c.span.End()
}

// tracedPath is the path of the request with the ids in it, and with what the route takes in
// place of all else that clients wrote: a key in a path must not arrive where traces go. It is
// no path where the request matches no route.
func (c *call) tracedPath() string {
	parts := strings.Split(c.pattern, "/")
	for i, part := range parts {
		name, isParameter := strings.CutPrefix(part, "{")
		value := c.request.PathValue(strings.TrimSuffix(name, "}"))
		if isParameter && escrow.IsID(value) {
			parts[i] = value
		}
	}
	return strings.Join(parts, "/")
}

// traceAttributes name the trace in a line of the log, whether or not this server records
// it.
func (c *call) traceAttributes() []slog.Attr {
	at := c.span.SpanContext()
	if !at.IsValid() {
		return nil
	}
	return []slog.Attr{slog.String("trace_id", at.TraceID().String()), slog.String("span_id", at.SpanID().String())}
}
