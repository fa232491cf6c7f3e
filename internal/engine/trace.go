package engine

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// startSpan begins the span of one attempt at a group, linked with those of its requests
// that are recorded.
func startSpan(ctx context.Context, group []*pending) (context.Context, trace.Span) {
	var callers []trace.Span
	for _, p := range group {
		if p.caller.IsRecording() {
			callers = append(callers, p.caller)
		}
	}

	ctx, span := tracing.StartShared(ctx, "group", callers)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.Int("escrowgrid.requests", len(group)), attribute.Int("escrowgrid.commands", commandsOf(group)))
	}
	return ctx, span
}

// endSpan ends the span of an attempt with what became of it.
func endSpan(span trace.Span, err error) {
	switch {
	case errors.Is(err, store.ErrStale):
		tracing.Fail(span, "stale")
	case errors.Is(err, store.ErrOutcomeUnknown):
		tracing.Fail(span, string(escrow.CodeOutcomeUnknown))
	case err != nil:
		tracing.Fail(span, string(escrow.ErrorCode(store.Failure(err))))
	}
	span.End()
}
