// Package otlp sends traces to a collector, by OpenTelemetry's protocol over HTTP:
// https://opentelemetry.io/docs/specs/otlp/. It is the only package that knows
// OpenTelemetry's SDK; what is traced is told to the API alone.
package otlp

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config is what an exporter needs. Besides, the SDK reads those variables of
// OpenTelemetry's that this program has none of its own for, like OTEL_BSP_SCHEDULE_DELAY
// and OTEL_RESOURCE_ATTRIBUTES.
type Config struct {
	// Endpoint is the collector's URL, like http://localhost:4318; traces go to
	// v1/traces below it.
	Endpoint string
	// Headers go with every request to it.
	Headers map[string]string
	// Sampler decides which traces are recorded.
	Sampler sdk.Sampler
	// Service names this server in traces; empty is escrowgrid, unless
	// OTEL_RESOURCE_ATTRIBUTES says otherwise.
	Service, Version string
	Logger           *slog.Logger
	Metrics          prometheus.Registerer
}

// Exporter takes spans and sends them in the background. While the collector is not
// there, spans are dropped; what is traced never waits.
type Exporter struct {
	*sdk.TracerProvider
	log *slog.Logger
}

// maxLinks bounds the links of a span, those from a batch to its requests: as many as
// there are commands in a batch by default. OpenTelemetry's own bound is 128.
const maxLinks = 512

// Start makes an exporter. It does not wait for the collector. Close ends it.
func Start(ctx context.Context, config Config) (*Exporter, error) {
	client, err := otlptracehttp.New(ctx, clientOptions(config)...)
	if err != nil {
		return nil, fmt.Errorf("send traces to %s: %w", config.Endpoint, err)
	}
	about, err := resource.New(ctx, resourceOptions(config)...)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	limits := sdk.NewSpanLimits()
	if limits.LinkCountLimit == sdk.DefaultLinkCountLimit {
		limits.LinkCountLimit = maxLinks
	}
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(config.Metrics).NewCounter(prometheus.CounterOpts{Name: "escrowgrid_trace_" + name, Help: help})
	}
	exporter := &reporting{
		SpanExporter: client, log: config.Logger,
		sent:     counter("spans_sent_total", "Spans that the collector has taken."),
		failures: counter("exports_failed_total", "Requests to the collector that failed; their spans are lost."),
	}
	ended := ends{counter("spans_ended_total", "Spans that were recorded to their end; those that were not sent wait, or were dropped.")}
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithSampler(linked{config.Sampler}), sdk.WithRawSpanLimits(limits),
		sdk.WithSpanProcessor(ended), sdk.WithBatcher(exporter))
	return &Exporter{provider, config.Logger}, nil
}

func clientOptions(config Config) []otlptracehttp.Option {
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(strings.TrimRight(config.Endpoint, "/") + "/v1/traces")}
	if len(config.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(config.Headers))
	}
	return options
}

// resourceOptions are what is said of the server in every export; what comes later
// prevails.
func resourceOptions(config Config) []resource.Option {
	options := []resource.Option{
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "escrowgrid"), attribute.String("service.version", config.Version),
			attribute.String("service.instance.id", strings.ToLower(rand.Text()))),
		resource.WithFromEnv(),
	}
	if config.Service != "" {
		options = append(options, resource.WithAttributes(attribute.String("service.name", config.Service)))
	}
	return options
}

// closeTimeout bounds how long a server that stops waits for its last traces to be taken.
const closeTimeout = 3 * time.Second

// Close sends what is left, within a bound.
func (e *Exporter) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		e.log.Warn("the last traces were not sent", "error", err)
	}
}

// linked records, beside what its sampler does, what is done for several traces at once
// as soon as one of them is recorded.
type linked struct{ sdk.Sampler }

func (l linked) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		for _, link := range p.Links {
			if link.SpanContext.IsSampled() {
				return sdk.SamplingResult{Decision: sdk.RecordAndSample}
			}
		}
	}
	return l.Sampler.ShouldSample(p)
}

// reporting is an exporter that counts, and logs when its failing begins and ends: to the
// SDK it never fails, which would write of each failure past the log.
type reporting struct {
	sdk.SpanExporter
	log            *slog.Logger
	sent, failures prometheus.Counter
	// failing is used by one goroutine, that which sends.
	failing bool
}

// ExportSpans implements sdk.SpanExporter.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		r.sent.Add(float64(len(spans)))
	} else {
		r.failures.Inc()
	}
	switch failed := err != nil; {
	case failed && !r.failing:
		r.log.Warn("traces cannot be sent, and are dropped until they can", "error", err)
	case !failed && r.failing:
		r.log.Info("traces are sent again")
	}
	r.failing = err != nil
	return nil //nolint:nilerr // See above.
}

// ends counts the spans that end.
type ends struct{ prometheus.Counter }

// OnEnd implements sdk.SpanProcessor.
func (e ends) OnEnd(sdk.ReadOnlySpan) { e.Inc() }

// OnStart implements sdk.SpanProcessor.
func (ends) OnStart(context.Context, sdk.ReadWriteSpan) {}

// ForceFlush implements sdk.SpanProcessor.
func (ends) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.SpanProcessor.
func (ends) Shutdown(context.Context) error { return nil }
