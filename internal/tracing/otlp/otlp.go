// Package otlp sends traces to a collector, by OpenTelemetry's protocol over HTTP:
// https://opentelemetry.io/docs/specs/otlp/. It is the only package that knows
// OpenTelemetry's SDK; code that records spans uses the API alone.
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

// Config configures an exporter. The SDK also reads the variables of OpenTelemetry that
// have no field here, like OTEL_BSP_SCHEDULE_DELAY and OTEL_RESOURCE_ATTRIBUTES.
type Config struct {
	// Endpoint is the collector's URL, like http://localhost:4318; traces go to
	// v1/traces below it.
	Endpoint string
	// Headers are sent with every request to the collector.
	Headers map[string]string
	// Sampler decides which traces are recorded.
	Sampler sdk.Sampler
	// Service is this server's name in traces. An empty one is escrowgrid, unless
	// OTEL_RESOURCE_ATTRIBUTES has another.
	Service, Version string
	Logger           *slog.Logger
	Metrics          prometheus.Registerer
}

// Exporter provides tracers and sends their spans in the background. While the collector
// cannot be reached it drops spans; recording a span never waits for it.
type Exporter struct {
	*sdk.TracerProvider
	log *slog.Logger
}

// maxLinks bounds the links of a span. A group of commands has a link to each of its
// requests, and by default up to 512 of them. OpenTelemetry's own bound is 128.
const maxLinks = 512

// Start starts an exporter, until Close. It does not wait for the collector.
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

	factory := promauto.With(config.Metrics)
	exporter := &reporting{
		SpanExporter: client,
		log:          config.Logger,
		sent: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_trace_spans_sent_total",
			Help: "Spans that the collector accepted.",
		}),
		failures: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_trace_exports_failed_total",
			Help: "Requests to the collector that failed; their spans are lost.",
		}),
	}
	counter := endCounter{factory.NewCounter(prometheus.CounterOpts{
		Name: "escrowgrid_trace_spans_ended_total",
		Help: "Recorded spans that ended; those that have not been sent are waiting or were dropped.",
	})}

	provider := sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSampler(linkSampler{config.Sampler}),
		sdk.WithRawSpanLimits(limits),
		sdk.WithSpanProcessor(counter),
		sdk.WithBatcher(exporter),
	)
	return &Exporter{TracerProvider: provider, log: config.Logger}, nil
}

func clientOptions(config Config) []otlptracehttp.Option {
	endpoint := strings.TrimRight(config.Endpoint, "/") + "/v1/traces"
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(endpoint)}
	if len(config.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(config.Headers))
	}
	return options
}

// resourceOptions describe the server in every export. Later options win over earlier
// ones.
func resourceOptions(config Config) []resource.Option {
	options := []resource.Option{
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "escrowgrid"),
			attribute.String("service.version", config.Version),
			attribute.String("service.instance.id", strings.ToLower(rand.Text())),
		),
		resource.WithFromEnv(),
	}
	if config.Service != "" {
		options = append(options, resource.WithAttributes(attribute.String("service.name", config.Service)))
	}
	return options
}

// closeTimeout bounds how long a server that stops waits until its last traces are sent.
const closeTimeout = 3 * time.Second

// Close sends the remaining spans, within closeTimeout, and stops the exporter.
func (e *Exporter) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		e.log.Warn("the last traces were not sent", "error", err)
	}
}

// linkSampler records a root span with a link to a recorded span, such as that of a group
// of commands, and leaves every other decision to the sampler in it.
type linkSampler struct{ sdk.Sampler }

func (l linkSampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		for _, link := range p.Links {
			if link.SpanContext.IsSampled() {
				return sdk.SamplingResult{Decision: sdk.RecordAndSample}
			}
		}
	}
	return l.Sampler.ShouldSample(p)
}

// reporting is an exporter that counts, and logs when exports begin to fail and when they
// succeed again. It hides errors from the SDK, which would print each of them to standard
// error.
type reporting struct {
	sdk.SpanExporter
	log            *slog.Logger
	sent, failures prometheus.Counter
	// failing is used by the goroutine that sends, and by no other.
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
	return nil //nolint:nilerr // It has been counted and logged; see reporting.
}

// endCounter counts the spans that end.
type endCounter struct{ prometheus.Counter }

// OnEnd implements sdk.SpanProcessor.
func (c endCounter) OnEnd(sdk.ReadOnlySpan) { c.Inc() }

// OnStart implements sdk.SpanProcessor.
func (endCounter) OnStart(context.Context, sdk.ReadWriteSpan) {}

// ForceFlush implements sdk.SpanProcessor.
func (endCounter) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.SpanProcessor.
func (endCounter) Shutdown(context.Context) error { return nil }
