// Package grafana holds the dashboards for Grafana and their data sources.
package grafana

//go:generate go run -C ../../../e2e/dashboards . ../../deploy/monitoring/grafana/dashboards
