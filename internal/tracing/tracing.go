// Package tracing tells OpenTelemetry what a request is made of. Whether anything is
// recorded is decided where the request comes in: below a span that is not recorded,
// or where there is none, nothing here does or costs anything.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Scope is the name of the instrumentation in what is exported.
const Scope = "github.com/escrowgrid/escrowgrid"

// ErrorType is the attribute for the class of an error, as OpenTelemetry's semantic
// conventions call it. Messages are for logs: they may hold what clients wrote.
const ErrorType = attribute.Key("error.type")

// Start begins a span below that of the context. The span is to be ended.
func Start(ctx context.Context, name string) (context.Context, trace.Span) {
	return start(ctx, name, trace.SpanKindInternal, time.Time{})
}

// StartClient begins a span for what another program is asked to do; a zero time is now.
func StartClient(ctx context.Context, name string, begun time.Time) (context.Context, trace.Span) {
	return start(ctx, name, trace.SpanKindClient, begun)
}

func start(ctx context.Context, name string, kind trace.SpanKind, begun time.Time) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, noop.Span{}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(kind)}
	if !begun.IsZero() {
		options = append(options, trace.WithTimestamp(begun))
	}
	return parent.TracerProvider().Tracer(Scope).Start(ctx, name, options...)
}

// StartShared begins a span for work that is done for several at once, as the root of a
// trace of its own: it and the spans that it works for, all of them recorded, are linked
// both ways. For none it does nothing.
func StartShared(ctx context.Context, name string, workedFor []trace.Span) (context.Context, trace.Span) {
	if len(workedFor) == 0 {
		return ctx, noop.Span{}
	}
	links := make([]trace.Link, len(workedFor))
	for i, span := range workedFor {
		links[i] = trace.Link{SpanContext: span.SpanContext()}
	}
	ctx, shared := workedFor[0].TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(links...))
	for _, span := range workedFor {
		span.AddLink(trace.Link{SpanContext: shared.SpanContext()})
	}
	return ctx, shared
}

// Fail marks a span as one of work that has failed, by the class of its error.
func Fail(span trace.Span, class string) {
	if span.IsRecording() {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(ErrorType.String(class))
	}
}
