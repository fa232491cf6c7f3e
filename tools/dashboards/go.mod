module github.com/escrowgrid/escrowgrid/tools/dashboards

go 1.26.0

replace github.com/escrowgrid/escrowgrid => ../..

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
