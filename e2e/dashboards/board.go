package main

import (
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
	// name is the name of the file and, with a prefix, the uid. Links use the uid, so the
	// name must not change.
	name, title, about string
	// from is the start of the time range, which ends now. refresh is the interval at which
	// Grafana repeats the queries.
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
	// help says what is normal, and what to do when the panel shows something else.
	help    string
	kind    kind
	queries []query
	// limit is the value from which on values are red; 0 is none. With below, the values
	// under it are red instead.
	limit float64
	below bool
	// top is the end of the scale; 0 leaves it open.
	top float64
	// stacked says that the sum of the series has a meaning.
	stacked bool
}

type kind int

const (
	chart kind = iota
	number
	listing
)

// query is a query of Prometheus, expr, with the legend of its series, or of PostgreSQL,
// sql.
type query struct {
	expr, legend string
	sql          string
}

// Grafana's grid is 24 cells wide.
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

// build builds the dashboard. The ids of its rows and panels count up from the top.
func (b board) build() (dashboard.Dashboard, error) {
	tags := []string{"escrowgrid"}
	links := dashboard.NewDashboardLinkBuilder("EscrowGrid").
		Type(dashboard.DashboardLinkTypeDashboards).
		Tags(tags).
		AsDropdown(true).
		KeepTime(true).
		IncludeVars(true)
	builder := dashboard.NewDashboardBuilder(b.title).
		Uid("escrowgrid-"+b.name).
		Description(b.about).
		Tags(tags).
		Time(b.from, "now").
		Refresh(b.refresh).
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Editable().
		Link(links)
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

// spread returns the widths of a row's panels. Adjacent numbers share a line; other panels
// stand two in a line, and the last one of an odd count has a line of its own.
func spread(panels []panel) []uint32 {
	widths := make([]uint32, len(panels))
	for i := 0; i < len(panels); {
		line := 1
		for i+line < len(panels) && panels[i+line].kind == panels[i].kind &&
			(panels[i].kind == number || line < 2) {
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
	switch p.kind {
	case number:
		return p.number(id, width)
	case listing:
		return p.listing(id, width)
	case chart:
	}
	return p.chart(id, width)
}

func (p panel) number(id, width uint32) cog.Builder[dashboard.Panel] {
	return stat.NewPanelBuilder().
		Id(id).
		Title(p.title).
		Description(p.help).
		Unit(p.unit).
		Datasource(p.source()).
		Height(numberHeight).
		Span(width).
		Targets(p.targets()).
		Thresholds(p.thresholds()).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
}

func (p panel) listing(id, width uint32) cog.Builder[dashboard.Panel] {
	unit := func(name string) []dashboard.DynamicConfigValue {
		return []dashboard.DynamicConfigValue{{Id: "unit", Value: new(any(name))}}
	}

	return table.NewPanelBuilder().
		Id(id).
		Title(p.title).
		Description(p.help).
		Unit(p.unit).
		Datasource(p.source()).
		Height(chartHeight).
		Span(width).
		Targets(p.targets()).
		Footer(common.NewTableFooterOptionsBuilder().Reducer([]string{})).
		OverrideByName("share", unit("percentunit")).
		OverrideByName("last activity", unit("dateTimeFromNow"))
}

func (p panel) chart(id, width uint32) cog.Builder[dashboard.Panel] {
	legend := common.NewVizLegendOptionsBuilder().
		ShowLegend(true).
		DisplayMode(common.LegendDisplayModeList).
		Placement(common.LegendPlacementBottom)
	tooltip := common.NewVizTooltipOptionsBuilder().
		Mode(common.TooltipDisplayModeMulti).
		Sort(common.SortOrderDescending)
	graph := timeseries.NewPanelBuilder().
		Id(id).
		Title(p.title).
		Description(p.help).
		Unit(p.unit).
		Datasource(p.source()).
		Height(chartHeight).
		Span(width).
		Targets(p.targets()).
		Thresholds(p.thresholds()).
		Min(0).
		FillOpacity(10).
		Legend(legend).
		Tooltip(tooltip)

	if p.limit != 0 {
		dashed := common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed)
		graph.ThresholdsStyle(dashed)
	}
	if p.top != 0 {
		graph.Max(p.top)
	}
	if p.stacked {
		graph.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	return graph
}

func (p panel) thresholds() *dashboard.ThresholdsConfigBuilder {
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.steps())
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
			targets[i] = sqlQuery{refID: refID, sql: strings.TrimSpace(q.sql)}
			continue
		}

		target := prometheus.NewDataqueryBuilder().
			RefId(refID).
			Expr(q.expr).
			LegendFormat(q.legend).
			Datasource(metricsSource()).
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

// sqlQuery is a query of the PostgreSQL data source, for which the library has no type.
type sqlQuery struct{ refID, sql string }

func (q sqlQuery) Build() (variants.Dataquery, error) {
	return variants.UnknownDataquery{
		"refId":      q.refID,
		"datasource": databaseSource(),
		"rawSql":     q.sql,
		"rawQuery":   true,
		"editorMode": "code",
		"format":     "table",
	}, nil
}

// metricsVariable chooses the Prometheus data source.
func metricsVariable() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("metrics").Label("Prometheus").Type("prometheus")
}

// databaseVariable chooses the PostgreSQL data source.
func databaseVariable() cog.Builder[dashboard.VariableModel] {
	return dashboard.NewDatasourceVariableBuilder("database").Label("Database").Type("grafana-postgresql-datasource")
}

// serverVariables choose the servers: those of a Prometheus, of a job, and each instance.
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
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Query(dashboard.StringOrMap{String: &query}).
		Datasource(metricsSource()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).
		IncludeAll(true).
		Current(all)
}
