package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

const provisioning = "../../deploy/monitoring/grafana/provisioning"

// provisioned reads a file of provisioning and refuses unknown members.
func provisioned(t *testing.T, name string, into any) {
	t.Helper()
	file, err := os.Open(filepath.Join(provisioning, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// There is a data source of each kind that the dashboards choose from.
func TestDataSourcesOfEachKindAreProvisioned(t *testing.T) {
	var file struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL, User string
			JSONData                           map[string]any    `yaml:"jsonData"`
			SecureJSONData                     map[string]string `yaml:"secureJsonData"`
		}
	}
	provisioned(t, "datasources/escrowgrid.yml", &file)

	var kinds []string
	for _, source := range file.Datasources {
		kinds = append(kinds, source.Type)
		if source.Name == "" || source.UID == "" || source.URL == "" {
			t.Errorf("a data source has no name, uid or address: %+v", source)
		}
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{*databaseSource().Type, *metricsSource().Type}) {
		t.Errorf("the data sources are of the kinds %v", kinds)
	}
}

func TestDashboardsAreProvisionedFromFiles(t *testing.T) {
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			OrgID                 int    `yaml:"orgId"`
			FolderUID             string `yaml:"folderUid"`
			DisableDeletion       bool   `yaml:"disableDeletion"`
			AllowUIUpdates        bool   `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int    `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	provisioned(t, "dashboards/escrowgrid.yml", &file)

	if len(file.Providers) != 1 || file.Providers[0].Type != "file" ||
		file.Providers[0].Options.Path != "/etc/grafana/escrowgrid/dashboards" {
		t.Errorf("the dashboards are provisioned by %+v", file.Providers)
	}
}
