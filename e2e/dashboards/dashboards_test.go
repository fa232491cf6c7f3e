package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// directory is where the dashboards are.
const directory = "../../deploy/monitoring/grafana/dashboards"

// shown is a panel of a dashboard's file.
type shown struct {
	file string
	dashboard.Panel
}

func (p shown) String() string { return p.file + ": " + *p.Title }

// readDashboards reads the dashboards with Grafana's library, which refuses unknown
// members.
func readDashboards(t *testing.T) map[string]dashboard.Dashboard {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob(filepath.Join(directory, "*.json"))
	if err != nil || len(files) != len(boards()) {
		t.Fatalf("there are the files %q, %v, of %d dashboards", files, err, len(boards()))
	}

	dashboards := map[string]dashboard.Dashboard{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}

		// The library may return an empty list of errors when nothing is wrong.
		err = new(dashboard.Dashboard).UnmarshalJSONStrict(content)
		if problems, isList := errors.AsType[cog.BuildErrors](err); err != nil && (!isList || len(problems) > 0) {
			t.Errorf("%s: %v", file, err)
		}

		var d dashboard.Dashboard
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		dashboards[filepath.Base(file)] = d
	}
	return dashboards
}

func panels(t *testing.T) (all []shown) {
	t.Helper()
	for file, d := range readDashboards(t) {
		for _, p := range d.Panels {
			if p.Panel != nil {
				all = append(all, shown{file: file, Panel: *p.Panel})
			}
		}
	}
	return all
}

func TestTheFilesAreUpToDate(t *testing.T) {
	built := t.TempDir()
	if err := run([]string{built}); err != nil {
		t.Fatal(err)
	}
	for _, b := range boards() {
		want, err := os.ReadFile(filepath.Join(built, b.name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(directory, b.name+".json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s.json is not up to date, %v: run go generate ./deploy/...", b.name, err)
		}
	}
}

func TestGrafanaCanReadTheDashboards(t *testing.T) {
	uids := map[string]string{}
	for file, d := range readDashboards(t) {
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if d.Uid == nil || "escrowgrid-"+strings.TrimSuffix(file, ".json") != *d.Uid {
			t.Errorf("%s does not have the uid of its name", file)
		} else if other := uids[*d.Uid]; other != "" {
			t.Errorf("%s and %s have one uid", file, other)
		} else {
			uids[*d.Uid] = file
		}

		if d.Description == nil || d.Refresh == nil || d.Time == nil {
			t.Errorf("%s has no description, time range or refresh", file)
		}
		if names := variables(d); !slices.Contains(names, "metrics") || !slices.Contains(names, "instance") {
			t.Errorf("%s has only the variables %v", file, names)
		}
		checkGrid(t, file, d)
	}
}

func variables(d dashboard.Dashboard) (names []string) {
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	return names
}

// The dashboards and the rules of the objectives select the same requests.
func TestTheDashboardsSelectTheRequestsOfTheObjectives(t *testing.T) {
	objectives, err := os.ReadFile("../../deploy/monitoring/rules/objectives.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(objectives, []byte(api)) {
		t.Errorf("the rules do not select %s", api)
	}
}

// checkGrid checks that no two panels share an id or a cell of the grid.
func checkGrid(t *testing.T, file string, d dashboard.Dashboard) {
	t.Helper()
	cells := map[[2]uint32]uint32{}
	ids := map[uint32]bool{}
	for _, p := range d.Panels {
		var (
			id    *uint32
			place *dashboard.GridPos
		)
		if p.Panel != nil {
			id, place = p.Panel.Id, p.Panel.GridPos
		} else {
			id, place = &p.RowPanel.Id, p.RowPanel.GridPos
		}
		if id == nil || place == nil || ids[*id] {
			t.Fatalf("%s: a panel has no id, no place, or the id of another: %v", file, id)
		}
		ids[*id] = true

		if place.W == 0 || place.H == 0 || place.X+place.W > gridWidth {
			t.Errorf("%s: panel %d is %d wide and %d high at column %d", file, *id, place.W, place.H, place.X)
		}

		for x := place.X; x < place.X+place.W; x++ {
			for y := place.Y; y < place.Y+place.H; y++ {
				if other, taken := cells[[2]uint32{x, y}]; taken {
					t.Fatalf("%s: panels %d and %d overlap", file, *id, other)
				}
				cells[[2]uint32{x, y}] = *id
			}
		}
	}
}

func TestEveryPanelIsDescribed(t *testing.T) {
	for _, p := range panels(t) {
		switch {
		case p.Title == nil || *p.Title == "":
			t.Errorf("a panel of %s has no title", p.file)
		case p.Description == nil || len(*p.Description) < 40:
			t.Errorf("%v has no description", p)
		case p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == nil || *p.FieldConfig.Defaults.Unit == "":
			t.Errorf("%v has no unit", p)
		case len(p.Targets) == 0:
			t.Errorf("%v has no query", p)
		}
	}
}

// A panel queries the chosen data source and uses only the dashboard's variables.
func TestPanelsUseTheDashboardsVariables(t *testing.T) {
	boards := readDashboards(t)
	reference := regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)
	for _, p := range panels(t) {
		text, err := json.Marshal(p.Panel)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range reference.FindAllStringSubmatch(string(text), -1) {
			if name := match[1]; !strings.HasPrefix(name, "__") && !slices.Contains(variables(boards[p.file]), name) {
				t.Errorf("%v uses the variable %s, which the dashboard does not have", p, name)
			}
		}
		if source := *p.Datasource.Uid; source != "${metrics}" && source != "${database}" {
			t.Errorf("%v queries %s", p, source)
		}
	}
}
