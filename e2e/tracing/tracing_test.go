// Package tracing tests that a server's traces arrive at a collector: the receiver of
// OpenTelemetry's Collector, in the process of the test. It is a module of its own, so
// that the product does not depend on the Collector.
package tracing

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Run(m)) }

// collector is a receiver on an address, with the traces that it has received.
type collector struct {
	address string
	traces  consumertest.TracesSink
}

// start receives until the test ends.
func (c *collector) start(t *testing.T) {
	t.Helper()
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	settings := confmap.NewFromStringMap(map[string]any{
		"protocols": map[string]any{"http": map[string]any{"endpoint": c.address}},
	})
	if err := settings.Unmarshal(config); err != nil {
		t.Fatal(err)
	}

	receiver, err := factory.CreateTraces(t.Context(), receivertest.NewNopSettings(factory.Type()), config, &c.traces)
	if err != nil {
		t.Fatal(err)
	}
	if err := receiver.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = receiver.Shutdown(context.Background()) })
}

// spans returns the spans received so far.
func (c *collector) spans() (spans []ptrace.Span) {
	for _, traces := range c.traces.AllTraces() {
		for _, resource := range traces.ResourceSpans().All() {
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					spans = append(spans, span)
				}
			}
		}
	}
	return spans
}

func (c *collector) has(name string) bool {
	return slices.ContainsFunc(c.spans(), func(span ptrace.Span) bool { return span.Name() == name })
}

// resource returns the attributes by which the server describes itself.
func (c *collector) resource() map[string]any {
	return c.traces.AllTraces()[0].ResourceSpans().At(0).Resource().Attributes().AsRaw()
}

// server is a running server.
type server struct{ *programtest.Server }

// serve runs a server that sends traces to a collector, until the test ends.
func serve(t *testing.T, databaseURL, collector string, env ...string) server {
	t.Helper()
	return server{programtest.Serve(t, databaseURL, append([]string{
		"OTEL_TRACES_EXPORTER=otlp",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector,
		"OTEL_BSP_SCHEDULE_DELAY=100",
	}, env...)...)}
}

const traceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// createInstitution sends a command in a client's trace.
func (s server) createInstitution(t *testing.T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/institutions",
		strings.NewReader(`{"name": "Meridian Bank", "regions": ["US"]}`))
	if err != nil {
		t.Fatal(err)
	}

	request.Header.Set("X-API-KEY", programtest.RootKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Traceparent", traceParent)
	s.answer(t, request, http.StatusCreated)
}

func (s server) answer(t *testing.T, request *http.Request, want int) string {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Fatalf("%s %s: %d, want %d: %s %v", request.Method, request.URL.Path, response.StatusCode, want, body, err)
	}
	return string(body)
}

// metric reads one of the server's metrics.
func (s server) metric(t *testing.T, name string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-KEY", programtest.RootKey)

	for line := range strings.Lines(s.answer(t, request, http.StatusOK)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("there is no metric %s", name)
	return ""
}

func TestTracesArrive(t *testing.T) {
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			databaseURL := "sqlite:" + filepath.Join(t.TempDir(), "escrowgrid.db")
			if store == "postgres" {
				databaseURL = pgtest.Shared(t).NewDatabase(t)
			}
			c := &collector{address: programtest.FreeAddress(t)}
			c.start(t)
			s := serve(t, databaseURL, c.address,
				"OTEL_SERVICE_NAME=escrow", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test")

			s.createInstitution(t)
			// A server that stops sends the spans that still wait.
			s.Stop()

			for _, name := range []string{"POST /institutions", "queue", "group", "INSERT institutions", "COMMIT"} {
				if !c.has(name) {
					t.Errorf("no span %q has arrived", name)
				}
			}
			for _, span := range c.spans() {
				if span.Name() == "POST /institutions" &&
					(span.TraceID().String() != traceParent[3:35] || span.ParentSpanID().String() != traceParent[36:52]) {
					t.Errorf("the request is in the trace %s, below %s", span.TraceID(), span.ParentSpanID())
				}
				if span.Name() == "group" && span.Links().Len() != 1 {
					t.Errorf("the batch has %d links", span.Links().Len())
				}
			}

			about := c.resource()
			if about["service.name"] != "escrow" || about["deployment.environment.name"] != "test" ||
				about["service.version"] == nil || about["service.instance.id"] == nil {
				t.Errorf("the server describes itself as %v", about)
			}
		})
	}
}

func TestSpansAreDroppedWhileTheCollectorIsDown(t *testing.T) {
	c := &collector{address: programtest.FreeAddress(t)}
	s := serve(t, "sqlite::memory:", c.address)

	s.createInstitution(t)
	const warning = `"msg":"traces cannot be sent, and are dropped until they can"`
	programtest.Eventually(t, "the failure is logged", func() bool { return strings.Contains(s.Log(), warning) })
	s.createInstitution(t)
	programtest.Eventually(t, "it fails again", func() bool {
		return s.metric(t, "escrowgrid_trace_exports_failed_total") != "1"
	})
	if told := strings.Count(s.Log(), warning); told != 1 {
		t.Errorf("the failure is logged %d times", told)
	}

	c.start(t)
	s.createInstitution(t)
	programtest.Eventually(t, "traces arrive", func() bool { return c.has("POST /institutions") })
	programtest.Eventually(t, "the recovery is logged", func() bool {
		return strings.Contains(s.Log(), `"msg":"traces are sent again"`)
	})
	if s.metric(t, "escrowgrid_trace_spans_sent_total") == "0" || s.metric(t, "escrowgrid_trace_spans_ended_total") == "0" {
		t.Error("sent spans are not counted")
	}
}

// A command that a pipeline runs puts its calls into the pipeline's trace.
func TestCommandsPropagateTheirTrace(t *testing.T) {
	c := &collector{address: programtest.FreeAddress(t)}
	c.start(t)
	s := serve(t, "sqlite::memory:", c.address, "OTEL_TRACES_SAMPLER=parentbased_always_off")

	verify := exec.CommandContext(t.Context(), programtest.Program(), "verify", "--url", s.URL)
	verify.Env = []string{"API_KEY=" + programtest.RootKey, "TRACEPARENT=" + traceParent}
	// It fails, as there is nothing to verify, but has asked for all that there is.
	if output, err := verify.CombinedOutput(); !strings.Contains(string(output), "Verified in") {
		t.Fatalf("%v: %s", err, output)
	}
	s.Stop()

	if !c.has("GET /institutions") {
		t.Error("the calls of verify are not in the trace")
	}
	for _, span := range c.spans() {
		if got := span.TraceID().String(); got != traceParent[3:35] {
			t.Errorf("%s is in the trace %s", span.Name(), got)
		}
	}
}

func TestSampling(t *testing.T) {
	c := &collector{address: programtest.FreeAddress(t)}
	c.start(t)
	s := serve(t, "sqlite::memory:", c.address, "OTEL_TRACES_SAMPLER=always_off")
	s.createInstitution(t)
	s.Stop()
	if spans := c.spans(); len(spans) > 0 {
		t.Errorf("with always_off, %q is traced", spans[0].Name())
	}
}
