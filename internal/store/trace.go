package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// The systems, and some attributes, by their names in the semantic conventions.
const (
	postgresSystem, sqliteSystem = "postgresql", "sqlite"

	systemName = attribute.Key("db.system.name")
	// batchSize is how many statements, or rows, there are in one.
	batchSize = attribute.Key("db.operation.batch.size")
)

// startSpan begins the span of a statement, by OpenTelemetry's semantic conventions for
// databases; a zero time is now. Statements hold no values: all of those are parameters.
func startSpan(ctx context.Context, system, sql string, begun time.Time) (context.Context, trace.Span) {
	ctx, span := tracing.StartClient(ctx, "statement", begun)
	if span.IsRecording() {
		span.SetName(summary(sql))
		span.SetAttributes(systemName.String(system), attribute.String("db.query.text", sql))
	}
	return ctx, span
}

// startWait begins the span of a wait for a connection.
func startWait(ctx context.Context) (context.Context, trace.Span) {
	return tracing.Start(ctx, "acquire connection")
}

// endSpan ends the span of a statement with what became of it.
func endSpan(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		tracing.Fail(span, errorType(err))
	}
	span.End()
}

// errorType is SQLSTATE or SQLite's name of an error.
func errorType(err error) string {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return server.Code
	}
	if code, ok := errors.AsType[sqlite3.ErrorCode](err); ok {
		return code.Error()
	}
	return "_OTHER"
}

// summary is what a statement does and to which table, like "INSERT positions"; of a
// reading one that begins with its parameters, the first table that it joins.
func summary(sql string) string {
	words := strings.Fields(sql)
	if len(words) == 0 {
		return "statement"
	}
	for i, word := range words[:len(words)-1] {
		switch word {
		case "INTO", "UPDATE", "FROM", "JOIN":
			if table := words[i+1]; !strings.ContainsAny(table, "($") {
				return words[0] + " " + strings.TrimRight(table, ";,)")
			}
		}
	}
	return words[0]
}

// postgresTracer tells of each statement on PostgreSQL, alone or in a pipeline, and of the
// wait for a connection.
type postgresTracer struct{}

var (
	_ pgx.QueryTracer       = postgresTracer{}
	_ pgx.BatchTracer       = postgresTracer{}
	_ pgxpool.AcquireTracer = postgresTracer{}
)

func (postgresTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	ctx, _ = startSpan(ctx, postgresSystem, query.SQL, time.Time{})
	return ctx
}

func (postgresTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryEndData) {
	endSpan(trace.SpanFromContext(ctx), query.Err)
}

func (postgresTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, batch pgx.TraceBatchStartData) context.Context {
	ctx, span := tracing.StartClient(ctx, "pipeline", time.Time{})
	if span.IsRecording() {
		span.SetAttributes(systemName.String(postgresSystem), batchSize.Int(batch.Batch.Len()))
	}
	return ctx
}

// TraceBatchQuery is called when a statement's result was read; results come in order.
func (postgresTracer) TraceBatchQuery(ctx context.Context, _ *pgx.Conn, query pgx.TraceBatchQueryData) {
	_, span := startSpan(ctx, postgresSystem, query.SQL, query.ReadStartTime)
	endSpan(span, query.Err)
}

func (postgresTracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, batch pgx.TraceBatchEndData) {
	endSpan(trace.SpanFromContext(ctx), batch.Err)
}

func (postgresTracer) TraceAcquireStart(
	ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData,
) context.Context {
	ctx, _ = startWait(ctx)
	return ctx
}

func (postgresTracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, acquired pgxpool.TraceAcquireEndData) {
	endSpan(trace.SpanFromContext(ctx), acquired.Err)
}
