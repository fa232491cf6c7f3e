// Package tracing records the steps of a request as OpenTelemetry spans. Whether a trace
// is recorded is decided where the request comes in: without a recorded span in the
// context, the functions here do nothing and cost nothing.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Scope is the name of the instrumentation in exported spans.
const Scope = "github.com/escrowgrid/escrowgrid"

// ErrorType is the attribute for the class of an error, by OpenTelemetry's semantic
// conventions. Spans have no error messages, which may contain what clients sent.
const ErrorType = attribute.Key("error.type")

// Start starts a span below that of the context. The caller must end it.
func Start(ctx context.Context, name string) (context.Context, trace.Span) {
	return start(ctx, name, trace.SpanKindInternal, time.Time{})
}

// StartClient starts a span for a call to another program, which began at a time; the zero
// time is now. The caller must end it.
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

// StartShared starts a span for work on behalf of several others, as the root of a trace
// of its own, and links it and the others both ways. The others must be recorded spans;
// without any, it does nothing. The caller must end the span.
func StartShared(ctx context.Context, name string, onBehalfOf []trace.Span) (context.Context, trace.Span) {
	if len(onBehalfOf) == 0 {
		return ctx, noop.Span{}
	}

	links := make([]trace.Link, len(onBehalfOf))
	for i, span := range onBehalfOf {
		links[i] = trace.Link{SpanContext: span.SpanContext()}
	}
	tracer := onBehalfOf[0].TracerProvider().Tracer(Scope)
	ctx, shared := tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(links...))

	for _, span := range onBehalfOf {
		span.AddLink(trace.Link{SpanContext: shared.SpanContext()})
	}
	return ctx, shared
}

// Fail marks a span as failed, with the class of the error.
func Fail(span trace.Span, class string) {
	if span.IsRecording() {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(ErrorType.String(class))
	}
}
