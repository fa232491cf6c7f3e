package testbed

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics holds a server's metrics at a time, by name.
type Metrics map[string]*dto.MetricFamily

// Metrics reads the server's metrics.
func (s *Server) Metrics(ctx context.Context) (Metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-API-KEY", s.RootKey)

	response, err := s.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /metrics: %s", response.Status)
	}

	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// Value returns the value of a gauge or a counter, summed over its labels; 0 where there
// is no such metric.
func (m Metrics) Value(name string) (sum float64) {
	for _, metric := range m[name].GetMetric() {
		sum += metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + metric.GetUntyped().GetValue()
	}
	return sum
}

// Histogram returns the sum and the count of a histogram's observations, over all of its
// labels; 0 where there is no such metric.
func (m Metrics) Histogram(name string) (sum, count float64) {
	for _, metric := range m[name].GetMetric() {
		sum += metric.GetHistogram().GetSampleSum()
		count += float64(metric.GetHistogram().GetSampleCount())
	}
	return sum, count
}
