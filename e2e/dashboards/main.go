// Dashboards generates the dashboards for Grafana with Grafana's own library, so that
// Grafana can read them:
//
//	go run . ../../deploy/monitoring/grafana/dashboards
//
// Each dashboard is a list of panels in a file of its own. The command is a module of its
// own, so that the product does not depend on the library.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: dashboards DIRECTORY")
	}

	for _, board := range boards() {
		built, err := board.build()
		if err != nil {
			return fmt.Errorf("%s: %w", board.name, err)
		}
		content, err := json.MarshalIndent(built, "", "  ")
		if err != nil {
			return fmt.Errorf("%s: %w", board.name, err)
		}

		path := filepath.Join(args[0], board.name+".json")
		err = os.WriteFile(path, append(content, '\n'), 0o644) //nolint:gosec // Grafana reads them as another user.
		if err != nil {
			return err
		}
	}
	return nil
}

func boards() []board { return []board{service(), engine(), store(), tenants(), loadTest()} }
