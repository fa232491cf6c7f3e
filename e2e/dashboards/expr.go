package main

import (
	"fmt"
	"strings"
)

// selected selects a metric of the chosen servers, with further label matchers.
func selected(metric string, matchers ...string) string {
	all := append([]string{`job=~"$job"`, `instance=~"$instance"`}, matchers...)
	return fmt.Sprintf("%s{%s}", metric, strings.Join(all, ", "))
}

// rate is the growth per second of a counter of the chosen servers, summed by labels.
func rate(by, counter string, matchers ...string) string {
	return sum(by, fmt.Sprintf("rate(%s[$__rate_interval])", selected(counter, matchers...)))
}

// increase is the growth of a counter of the chosen servers from one point of a chart to
// the next, summed by labels.
func increase(by, counter string, matchers ...string) string {
	return sum(by, fmt.Sprintf("increase(%s[$__rate_interval])", selected(counter, matchers...)))
}

// current is the value of a gauge of the chosen servers, summed by labels.
func current(by, gauge string) string { return sum(by, selected(gauge)) }

func sum(by, expr string) string {
	if by == "" {
		return fmt.Sprintf("sum(%s)", expr)
	}
	return fmt.Sprintf("sum by (%s) (%s)", by, expr)
}

// quantile is a quantile of a histogram of the chosen servers, by labels.
func quantile(q float64, by, histogram string, matchers ...string) string {
	if by != "" {
		by = ", " + by
	}
	return fmt.Sprintf("histogram_quantile(%v, %s)", q, rate("le"+by, histogram+"_bucket", matchers...))
}

// quantiles are the median, the 95th and the 99th percentile of a histogram.
func quantiles(histogram string, matchers ...string) []query {
	return []query{
		{expr: quantile(0.5, "", histogram, matchers...), legend: "p50"},
		{expr: quantile(0.95, "", histogram, matchers...), legend: "p95"},
		{expr: quantile(0.99, "", histogram, matchers...), legend: "p99"},
	}
}

// active is the rate of a counter by labels that have many values, without the series that
// do not grow: servers start every series at 0, and a legend of all of them hides those
// that grow. It is 0 without labels when none grows, and nothing without a server.
func active(by, counter string) string {
	return fmt.Sprintf("%s > 0 or %s == 0", rate(by, counter), rate("", counter))
}

// orZero is 0 where there is no series, because k6 has not counted anything yet. Servers
// start their own counters at 0, so a missing series of a server must not look like 0.
func orZero(expr string) string { return fmt.Sprintf("(%s or vector(0))", expr) }
