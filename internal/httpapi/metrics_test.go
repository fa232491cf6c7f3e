package httpapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func TestMetrics(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		position := b.position(t, "FUNDED").Text("id")
		b.transition(t, position, step("FUNDED"), "Idempotency-Key: a-key", "X-Request-Id: a-request").Refused(t, 409, "invalid_transition")
		s.As("egk_wrong").Get(t, "/positions").Want(t, 401)
		b.Admin.Get(t, "/nothing/at/all").Want(t, 404)
		b.Admin.Send(t, apitest.Request{Method: "MADEUP", Path: "/positions"}).Want(t, 405)

		answer := s.As(metricsKey).Get(t, "/metrics").Want(t, http.StatusOK)
		if contentType := answer.Header.Get("Content-Type"); !strings.HasPrefix(contentType, "text/plain; version=0.0.4") {
			t.Errorf("Content-Type is %q", contentType)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(answer.Body)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"escrowgrid_http_requests_total", "escrowgrid_http_request_duration_seconds", "escrowgrid_http_requests_in_flight", "escrowgrid_http_errors_total",
			"escrowgrid_queue_commands", "escrowgrid_queue_limit", "escrowgrid_queue_fullness_ratio", "escrowgrid_group_commands", "escrowgrid_group_duration_seconds",
			"escrowgrid_journal_entries_total", "escrowgrid_commands_refused_total", "escrowgrid_store_connections_open",
			"escrowgrid_store_connections_used", "escrowgrid_store_connections_limit",
		} {
			if families[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
		labels := map[string][]string{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				for _, label := range metric.GetLabel() {
					labels[label.GetName()] = append(labels[label.GetName()], label.GetValue())
				}
			}
		}
		for name, values := range labels {
			if !slices.Contains([]string{"route", "method", "status", "code", "kind", "le", "duty", "outcome", "quantile"}, name) {
				t.Errorf("there is a label %s with the values %v", name, values)
			}
		}
		if routes := labels["route"]; !slices.Contains(routes, "/positions/{id}/transition") || !slices.Contains(routes, "unmatched") {
			t.Errorf("the routes are %v", routes)
		}
		if methods := labels["method"]; !slices.Contains(methods, "other") || slices.Contains(methods, "MADEUP") {
			t.Errorf("the methods are %v", methods)
		}
		named := regexp.MustCompile(`(inst|key|tmpl|ast|pos|entry)_[0-9a-z]{26}|egk_|a-key|a-request|127\.0\.0\.1`)
		if tells := named.FindString(string(answer.Body)); tells != "" {
			t.Errorf("the metrics tell %q", tells)
		}
		for _, line := range []string{
			`escrowgrid_http_requests_total{method="POST",route="/positions/{id}/transition",status="409"} 1`,
			`escrowgrid_http_errors_total{code="invalid_transition"} 1`,
			`escrowgrid_journal_entries_total{kind="POSITION_STATE_CHANGED"} 1`,
			`escrowgrid_http_requests_in_flight 1`,
		} {
			if !strings.Contains(string(answer.Body), line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
	})
}

func TestNewAddressesOfTheRootKeyAreCounted(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.RootNetworks, c.Proxies = networks("10.0.0.0/8"), proxies("127.0.0.0/8")
	})
	for _, step := range []struct {
		from string
		want int
	}{{"10.0.0.1", 1}, {"10.0.0.1", 1}, {"10.0.0.2", 2}, {"192.0.2.1", 2}, {"10.0.0.1", 2}} {
		s.Get(t, "/institutions", "X-Forwarded-For: "+step.from)
		text := string(s.As(metricsKey).Get(t, "/metrics").Want(t, 200).Body)
		if line := "\nescrowgrid_root_key_new_addresses_total " + strconv.Itoa(step.want) + "\n"; !strings.Contains(text, line) {
			t.Errorf("after a request from %s the metrics lack %q", step.from, line)
		}
	}
}

// An alert asks how a counter rose: one that is not there before its first event hides it.
func TestCountersOfErrorsBeginAtZero(t *testing.T) {
	text := string(serve(t, onSQLite(t), nil).As(metricsKey).Get(t, "/metrics").Want(t, 200).Body)
	for _, line := range []string{
		`escrowgrid_http_requests_total{method="POST",route="/positions",status="503"} 0`,
		`escrowgrid_http_requests_total{method="GET",route="/positions/{id}",status="500"} 0`,
		`escrowgrid_http_errors_total{code="rate_limited"} 0`,
		`escrowgrid_root_key_new_addresses_total 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
