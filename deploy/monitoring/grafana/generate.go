// Package grafana holds what Grafana shows of EscrowGrid: dashboards, and where they ask.
package grafana

//go:generate go run -C ../../../e2e/dashboards . ../../deploy/monitoring/grafana/dashboards
