package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// The ids of a client's trace and span.
const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
)

// traceParent is the header with which a client hands its trace on.
func traceParent(sampled bool) string {
	if sampled {
		return "Traceparent: 00-" + clientTrace + "-" + clientSpan + "-01"
	}
	return "Traceparent: 00-" + clientTrace + "-" + clientSpan + "-00"
}

// eachTraced runs a test on both stores with a server that records the traces its clients
// ask for.
func eachTraced(t *testing.T, test func(*testing.T, *service, *tracetest.SpanRecorder)) {
	t.Run("sqlite", func(t *testing.T) { s, recorder := serveTraced(t, onSQLite(t), false); test(t, s, recorder) })
	t.Run("postgres", func(t *testing.T) {
		s, recorder := serveTraced(t, pgtest.Shared(t).NewDatabase(t), false)
		test(t, s, recorder)
	})
}

func serveTraced(t *testing.T, databaseURL string, mayFail bool) (*service, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder), sdk.WithSampler(asked{}))
	return serve(t, databaseURL, func(s *settings) { s.Traces, s.mayFail = provider, mayFail }), recorder
}

// asked samples what a sampled span is the parent of or linked with.
type asked struct{}

func (asked) Description() string { return "asked" }

func (asked) ShouldSample(p sdk.SamplingParameters) (r sdk.SamplingResult) {
	if trace.SpanContextFromContext(p.ParentContext).IsSampled() || len(p.Links) > 0 {
		r.Decision = sdk.RecordAndSample
	}
	return r
}

// spans are those that have ended, by name.
type spans map[string][]sdk.ReadOnlySpan

// wait returns the spans once there is one of each name.
func spansOf(t *testing.T, recorder *tracetest.SpanRecorder, names ...string) (found spans) {
	t.Helper()
	eventually(t, "spans of the names "+strings.Join(names, ", "), func() bool {
		found = make(spans)
		for _, span := range recorder.Ended() {
			found[span.Name()] = append(found[span.Name()], span)
		}
		return !slices.ContainsFunc(names, func(name string) bool { return found[name] == nil })
	})
	return found
}

func attributesOf(span sdk.ReadOnlySpan) map[string]string {
	attributes := make(map[string]string)
	for _, attribute := range span.Attributes() {
		attributes[string(attribute.Key)] = attribute.Value.String()
	}
	return attributes
}

func linksTo(from, to sdk.ReadOnlySpan) bool {
	return slices.ContainsFunc(from.Links(), func(l sdk.Link) bool { return l.SpanContext.SpanID() == to.SpanContext().SpanID() })
}

func TestACommandIsTracedToItsStatements(t *testing.T) {
	eachTraced(t, func(t *testing.T, s *service, recorder *tracetest.SpanRecorder) {
		b := s.bank(t)
		if ended := recorder.Ended(); len(ended) > 0 {
			t.Fatalf("without being asked for, %s is traced", ended[0].Name())
		}
		b.Admin.Post(t, "/positions", b.claim().with("holderReference", "CONFIDENTIAL").String(), traceParent(true), "X-Request-Id: traced").Want(t, 201)
		found := spansOf(t, recorder, "POST /positions", "group", "INSERT positions", "COMMIT")
		request, group, queue := found["POST /positions"][0], found["group"][0], found["queue"][0]

		if got := request.SpanContext().TraceID().String(); got != clientTrace || request.Parent().SpanID().String() != clientSpan {
			t.Errorf("the request is of the trace %s, below %s", got, request.Parent().SpanID())
		}
		if request.SpanKind() != trace.SpanKindServer {
			t.Errorf("the request's kind is %s", request.SpanKind())
		}
		attributes := attributesOf(request)
		for name, want := range map[string]string{
			"http.request.method": "POST", "http.route": "/positions", "http.response.status_code": "201", "url.path": "/positions",
			"client.address": "127.0.0.1", "escrowgrid.request_id": "traced", "escrowgrid.institution_id": b.ID,
		} {
			if attributes[name] != want {
				t.Errorf("%s is %q, want %q", name, attributes[name], want)
			}
		}
		if queue.Parent().SpanID() != request.SpanContext().SpanID() {
			t.Error("the wait in the queue is not below the request")
		}
		if queue.EndTime().After(group.EndTime()) {
			t.Error("the wait in the queue ends after the group")
		}
		if group.Parent().IsValid() || group.SpanContext().TraceID() == request.SpanContext().TraceID() {
			t.Error("the group is not in a trace of its own")
		}
		if !linksTo(group, request) || !linksTo(request, group) {
			t.Error("the group and its request are not linked both ways")
		}
		if got := attributesOf(group); got["escrowgrid.commands"] != "1" || got["escrowgrid.entries"] != "1" {
			t.Errorf("the group is %v", got)
		}
		inBatch := 0
		for _, span := range recorder.Ended() {
			text := attributesOf(span)["db.query.text"]
			if text != "" && span.SpanContext().TraceID() == group.SpanContext().TraceID() {
				inBatch++
			}
			for name, value := range attributesOf(span) {
				if strings.Contains(value, "CONFIDENTIAL") {
					t.Errorf("%s of %s tells what the client wrote: %s", name, span.Name(), value)
				}
			}
		}
		if inBatch < 3 {
			t.Errorf("the batch has %d statements", inBatch)
		}
		logged := s.logged(t, "traced")
		if logged["trace_id"] != clientTrace || logged["span_id"] != request.SpanContext().SpanID().String() {
			t.Errorf("the request is logged with the trace %v and the span %v", logged["trace_id"], logged["span_id"])
		}
	})
}

func TestAQueryIsTraced(t *testing.T) {
	eachTraced(t, func(t *testing.T, s *service, recorder *tracetest.SpanRecorder) {
		b := s.bank(t)
		b.position(t, "FUNDED")
		b.Admin.Get(t, "/positions?holderReference=CONFIDENTIAL", traceParent(true)).Want(t, 200)
		found := spansOf(t, recorder, "GET /positions", "SELECT positions")
		statement := found["SELECT positions"][0]
		if statement.Parent().SpanID() != found["GET /positions"][0].SpanContext().SpanID() {
			t.Error("the statement is not below the request")
		}
		attributes := attributesOf(statement)
		system := map[bool]string{true: "sqlite", false: "postgresql"}[strings.HasSuffix(t.Name(), "sqlite")]
		if attributes["db.system.name"] != system || !strings.HasPrefix(attributes["db.query.text"], "SELECT ") {
			t.Errorf("the statement is %v", attributes)
		}
		for _, span := range recorder.Ended() {
			for name, value := range attributesOf(span) {
				if strings.Contains(value, "CONFIDENTIAL") {
					t.Errorf("%s of %s tells what the client looked for: %s", name, span.Name(), value)
				}
			}
		}
	})
}

// What clients write into a path is traced where it is an id, and nowhere else is it told: it
// can be a key.
func TestAPathIsTracedWithItsIDsAlone(t *testing.T) {
	eachTraced(t, func(t *testing.T, s *service, recorder *tracetest.SpanRecorder) {
		b := s.bank(t)
		id := b.position(t).Text("id")
		// Without its prefix, which no answer may hold.
		secret := strings.TrimPrefix(b.Admin.Key, "egk_")
		b.Admin.Get(t, "/positions/"+id, traceParent(true)).Want(t, 200)
		b.Admin.Get(t, "/positions/"+secret+"/statement", traceParent(true)).Want(t, 404)
		b.Admin.Get(t, "/institutions/"+b.ID+"/policies/"+secret, traceParent(true)).Want(t, 404)
		b.Admin.Get(t, "/nothing/"+secret, traceParent(true)).Want(t, 404)
		b.Admin.Get(t, "/positions//"+secret, traceParent(true)).Want(t, 404)
		s.As("").Get(t, "/positions/"+secret, traceParent(true), "X-Request-Id: last").Want(t, 401)

		found := spansOf(t, recorder, "GET /positions/{id}", "GET /positions/{id}/statement", "GET /institutions/{id}/policies/{region}", "GET unmatched")
		for name, want := range map[string]string{
			"GET /positions/{id}": "/positions/" + id, "GET /positions/{id}/statement": "/positions/{id}/statement",
			"GET /institutions/{id}/policies/{region}": "/institutions/" + b.ID + "/policies/{region}", "GET unmatched": "unmatched",
		} {
			if got := attributesOf(found[name][0])["url.path"]; got != want {
				t.Errorf("%s has the path %s, want %s", name, got, want)
			}
		}
		s.logged(t, "last")
		for _, span := range recorder.Ended() {
			for name, value := range attributesOf(span) {
				if strings.Contains(value, secret) || strings.Contains(span.Name(), secret) {
					t.Errorf("%s of %s tells a key: %s", name, span.Name(), value)
				}
			}
		}
		if strings.Contains(s.logs.String(), secret) {
			t.Error("the log tells a key")
		}
		if metrics := s.Get(t, "/metrics"); strings.Contains(string(metrics.Body), secret) {
			t.Error("the metrics tell a key")
		}
		eventually(t, "the refusal is written", func() bool {
			events := s.Get(t, "/audit-events?outcome=refused")
			if strings.Contains(string(events.Body), secret) {
				t.Fatalf("the security events tell a key: %s", events)
			}
			return strings.Contains(string(events.Body), `"last"`)
		})
	})
}

func TestARefusalIsNoFailureInTraces(t *testing.T) {
	eachTraced(t, func(t *testing.T, s *service, recorder *tracetest.SpanRecorder) {
		s.As("egk_wrong").Get(t, "/positions", traceParent(true)).Want(t, 401)
		refused := spansOf(t, recorder, "GET /positions")["GET /positions"][0]
		if got := attributesOf(refused); got["error.type"] != "invalid_api_key" || got["escrowgrid.actor"] != "unknown" {
			t.Errorf("a refused request is traced as %v", got)
		}
		if status := refused.Status().Code.String(); status != "Unset" {
			t.Errorf("a refusal, which is no failure of the server's, has the status %s", status)
		}
	})
}

func TestWhatIsNotTraced(t *testing.T) {
	eachTraced(t, func(t *testing.T, s *service, recorder *tracetest.SpanRecorder) {
		for _, path := range []string{"/health", "/ready", "/metrics"} {
			s.Get(t, path, traceParent(true)).Want(t, http.StatusOK)
		}
		s.Get(t, "/institutions", traceParent(false), "X-Request-Id: unsampled").Want(t, http.StatusOK)
		s.Get(t, "/institutions", "Traceparent: nonsense").Want(t, http.StatusOK)
		if logged := s.logged(t, "unsampled"); logged["trace_id"] != clientTrace {
			t.Errorf("a request whose client does not sample is logged with the trace %v", logged["trace_id"])
		}
		if ended := recorder.Ended(); len(ended) > 0 {
			t.Errorf("%s is traced", ended[0].Name())
		}
	})
}

func TestFailuresInTraces(t *testing.T) {
	database := pgtest.Start(t)
	s, recorder := serveTraced(t, database.NewDatabase(t), true)
	s.Get(t, "/institutions").Want(t, 200)
	database.Stop(t)
	s.try(t, "/institutions", traceParent(true)).Refused(t, 503, "store_unavailable")
	found := spansOf(t, recorder, "GET /institutions")["GET /institutions"][0]
	if found.Status().Code != codes.Error || attributesOf(found)["error.type"] != "store_unavailable" {
		t.Errorf("a request that failed has the status %v and is %v", found.Status(), attributesOf(found))
	}
	failed := slices.IndexFunc(recorder.Ended(), func(span sdk.ReadOnlySpan) bool {
		return span.Parent().SpanID() == found.SpanContext().SpanID() && span.Status().Code == codes.Error
	})
	if failed < 0 {
		t.Error("nothing below the request tells what failed")
	}
}
