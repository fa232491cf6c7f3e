package main

import (
	"fmt"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// release is set by the linker for a release: -ldflags "-X main.release=1.2.3".
var release = ""

// version returns the release. A build that is no release has dev and its commit, as far as that
// is known.
func version() string {
	if release != "" {
		return release
	}

	if build, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range build.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				return "dev-" + setting.Value[:12]
			}
		}
	}
	return "dev"
}

// versionCommand prints the version, for people and for escrowgrid-bench.
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(out output) error {
	_, err := fmt.Fprintln(out.stdout, "escrowgrid", version())
	return err
}

// buildInfo is a metric whose label shows the version on dashboards.
func buildInfo() prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "escrowgrid_build_info",
		Help:        "Always 1; its label is the version.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	info.Set(1)
	return info
}
