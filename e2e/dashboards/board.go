package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// board is a dashboard: rows of panels, from left to right and from top to bottom.
type board struct {
	// name is that of the file, and with a prefix the uid, which links lead to: it stays.
	name, title, about string
	// from is the beginning of the time range, to now, and refresh how often it is asked again.
	from, refresh string
	variables     []cog.Builder[dashboard.VariableModel]
	rows          []row
}

type row struct {
	title  string
	panels []panel
}

// panel is a chart, a number or a table.
type panel struct {
	title, unit string
	// help says what is normal, and what to do when it is not.
	help    string
	kind    kind
	queries []query
	// limit colours the values from it on; 0 is none. Below colours those under it.
	limit float64
	below bool
	// most is the end of the scale where there is one; 0 leaves it open.
	most float64
	// stacked says that the series add up to something.
	stacked bool
}

type kind int

const (
	chart kind = iota
	number
	listing
)

// query asks Prometheus with expr, whose series are called legend, or PostgreSQL with sql.
type query struct {
	expr, legend string
	sql          string
}

// The grid is 24 wide.
const (
	gridWidth    = 24
	chartHeight  = 8
	numberHeight = 4
)

func metricsSource() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${metrics}")}
}

func databaseSource() common.DataSourceRef {
	return common.DataSourceRef{Type: new("grafana-postgresql-datasource"), Uid: new("${database}")}
}

// build makes the dashboard, with ids that count up from the top.
func (b board) build() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder(b.title).Uid("escrowgrid-"+b.name).Description(b.about).Tags([]string{"escrowgrid"}).
		Time(b.from, "now").Refresh(b.refresh).Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).Editable().
		Link(dashboard.NewDashboardLinkBuilder("EscrowGrid").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"escrowgrid"}).
			AsDropdown(true).KeepTime(true).IncludeVars(true))
	for _, v := range b.variables {
		builder.WithVariable(v)
	}
	id := uint32(0)
	next := func() uint32 { id++; return id }
	for _, row := range b.rows {
		builder.WithRow(dashboard.NewRowBuilder(row.title).Id(next()))
		widths := spread(row.panels)
		for i, p := range row.panels {
			builder.WithPanel(p.builder(next(), widths[i]))
		}
	}
	return builder.Build()
}

// spread divides each line of a row among its panels: numbers stand in one line, others
// two in a line, and the last of an odd count by itself.
func spread(panels []panel) []uint32 {
	widths := make([]uint32, len(panels))
	for i := 0; i < len(panels); {
		line := 1
		for i+line < len(panels) && panels[i+line].kind == panels[i].kind && (panels[i].kind == number || line < 2) {
			line++
		}
		for j := range line {
			widths[i+j] = gridWidth / uint32(line)
		}
		i += line
	}
	return widths
}

func (p panel) builder(id, width uint32) cog.Builder[dashboard.Panel] {
	thresholds := dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.steps())
	switch p.kind {
	case number:
		return stat.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Unit(p.unit).Datasource(p.source()).
			Height(numberHeight).Span(width).Targets(p.targets()).Thresholds(thresholds).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
	case listing:
		return table.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Unit(p.unit).Datasource(p.source()).
			Height(chartHeight).Span(width).Targets(p.targets()).Footer(common.NewTableFooterOptionsBuilder().Reducer([]string{})).
			OverrideByName("share", []dashboard.DynamicConfigValue{{Id: "unit", Value: new(any("percentunit"))}}).
			OverrideByName("last activity", []dashboard.DynamicConfigValue{{Id: "unit", Value: new(any("dateTimeFromNow"))}})
	case chart:
	}
	graph := timeseries.NewPanelBuilder().Id(id).Title(p.title).Description(p.help).Unit(p.unit).Datasource(p.source()).
		Height(chartHeight).Span(width).Targets(p.targets()).Thresholds(thresholds).Min(0).FillOpacity(10).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if p.limit != 0 {
		graph.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	if p.most != 0 {
		graph.Max(p.most)
	}
	if p.stacked {
		graph.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	return graph
}

func (p panel) steps() []dashboard.Threshold {
	good, bad := "green", "red"
	if p.limit == 0 {
		return []dashboard.Threshold{{Color: good}}
	}
	if p.below {
		good, bad = bad, good
	}
	return []dashboard.Threshold{{Color: good}, {Color: bad, Value: new(p.limit)}}
}

func (p panel) source() common.DataSourceRef {
	if p.queries[0].sql != "" {
		return databaseSource()
	}
	return metricsSource()
}

func (p panel) targets() []cog.Builder[variants.Dataquery] {
	targets := make([]cog.Builder[variants.Dataquery], len(p.queries))
	for i, q := range p.queries {
		refID := string(rune('A' + i))
		if q.sql != "" {
			targets[i] = sqlQuery{refID, strings.TrimSpace(q.sql)}
			continue
		}
		target := prometheus.NewDataqueryBuilder().RefId(refID).Expr(q.expr).LegendFormat(q.legend).Datasource(metricsSource()).
			EditorMode(prometheus.QueryEditorModeCode)
		if p.kind == chart {
			target.Range()
		} else {
			target.Instant()
		}
		targets[i] = target
	}
	return targets
}

// sqlQuery is one of the PostgreSQL data source, which the library has no type for.
type sqlQuery struct{ refID, sql string }

func (q sqlQuery) Build() (variants.Dataquery, error) {
	return variants.UnknownDataquery{
		"refId": q.refID, "datasource": databaseSource(), "rawSql": q.sql, "rawQuery": true, "editorMode": "code", "format": "table",
	}, nil
}

// metricsVariable chooses the Prometheus.
func metricsVariable() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("metrics").Label("Prometheus").Type("prometheus")
}

// databaseVariable chooses the database.
func databaseVariable() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("database").Label("Database").Type("grafana-postgresql-datasource")
}

// serverVariables choose what is shown of the servers: those of a Prometheus, a job and an instance.
func serverVariables() []cog.Builder[dashboard.VariableModel] {
	return []cog.Builder[dashboard.VariableModel]{
		metricsVariable(),
		labelVariable("job", "Job", "label_values(escrowgrid_build_info, job)"),
		labelVariable("instance", "Instance", `label_values(escrowgrid_build_info{job=~"$job"}, instance)`),
	}
}

func labelVariable(name, label, query string) cog.Builder[dashboard.VariableModel] {
	all := dashboard.VariableOption{
		Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
		Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
	}
	return dashboard.NewQueryVariableBuilder(name).Label(label).Query(dashboard.StringOrMap{String: &query}).Datasource(metricsSource()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).Multi(true).IncludeAll(true).Current(all)
}

// of is a metric of the chosen servers, with more that its labels are to match.
func of(metric string, matching ...string) string {
	return fmt.Sprintf("%s{%s}", metric, strings.Join(append([]string{`job=~"$job"`, `instance=~"$instance"`}, matching...), ", "))
}

// rate is how fast a counter of the chosen servers grows a second, with labels kept.
func rate(by, counter string, matching ...string) string {
	return sum(by, fmt.Sprintf("rate(%s[$__rate_interval])", of(counter, matching...)))
}

func sum(by, of string) string {
	if by == "" {
		return fmt.Sprintf("sum(%s)", of)
	}
	return fmt.Sprintf("sum by (%s) (%s)", by, of)
}

// quantile is one of a histogram of the chosen servers, with labels kept.
func quantile(q float64, by, histogram string, matching ...string) string {
	if by != "" {
		by = ", " + by
	}
	return fmt.Sprintf("histogram_quantile(%v, %s)", q, rate("le"+by, histogram+"_bucket", matching...))
}

// quantiles are the median, the 95th and the 99th percentile of a histogram.
func quantiles(histogram string, matching ...string) []query {
	return []query{
		{expr: quantile(0.5, "", histogram, matching...), legend: "p50"},
		{expr: quantile(0.95, "", histogram, matching...), legend: "p95"},
		{expr: quantile(0.99, "", histogram, matching...), legend: "p99"},
	}
}

// active is the rate of a counter by labels that have many values, without those that
// stand still: servers begin each of them at 0, and a legend of them all hides those that
// count. It is a 0 without labels when all stand still, and nothing without a server.
func active(by, counter string) string {
	return fmt.Sprintf("%s > 0 or %s == 0", rate(by, counter), rate("", counter))
}

// orZero is 0 where k6 has not counted anything yet, so that there is no such series.
// Servers begin at 0 themselves, and what is not there of them must not look like 0.
func orZero(expr string) string { return fmt.Sprintf("(%s or vector(0))", expr) }
