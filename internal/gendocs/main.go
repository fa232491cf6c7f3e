// Command gendocs writes the parts of the documentation that come from the code:
//
//	docs/openapi.json      the description of the API
//	docs/errors.md         the table of errors
//	docs/permissions.md    the tables of permissions and roles
//	docs/configuration.md  the table of variables and flags
//	docs/performance.md    the tables of figures, and docs/performance/*.svg
//
// Its argument is the root of the repository. In a Markdown file it replaces the text
// between a pair of markers and leaves the rest unchanged.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/escrowgrid/escrowgrid/internal/bench"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// run generates all files and writes those that have changed.
func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: gendocs REPOSITORY")
	}
	files, err := generate(args[0])
	if err != nil {
		return err
	}

	for _, file := range files {
		// An unchanged file keeps its modification time.
		if bytes.Equal(file.before, file.after) {
			continue
		}
		err := os.WriteFile(file.path, file.after, 0o644) //nolint:gosec // Documentation is for everyone.
		if err != nil {
			return err
		}
	}
	return nil
}

// file is a file of the documentation as it is and as it should be.
type file struct {
	path          string
	before, after []byte
}

// generated is a file below docs, with the function that makes it from its present
// content.
type generated struct {
	name string
	make func(before []byte) ([]byte, error)
}

// plots returns a plot of each comparison.
func plots(figures bench.Figures) []generated {
	files := make([]generated, len(figures.Comparisons))
	for i, c := range figures.Comparisons {
		files[i] = generated{
			name: "performance/" + plotName(c),
			make: func([]byte) ([]byte, error) { return drawComparison(c) },
		}
	}
	return files
}

// generate generates all files, and writes none.
func generate(root string) ([]file, error) {
	figures, err := readFigures(root)
	if err != nil {
		return nil, err
	}

	var files []file
	for _, g := range append([]generated{
		{"openapi.json", openAPI},
		{"errors.md", func(before []byte) ([]byte, error) {
			return replaceSection(before, "errors", errorTables())
		}},
		{"permissions.md", func(before []byte) ([]byte, error) {
			return replaceSection(before, "permissions", permissionTables())
		}},
		{"configuration.md", func(before []byte) ([]byte, error) {
			table, err := configurationTable(filepath.Join(root, "cmd", "escrowgrid"))
			if err != nil {
				return nil, err
			}
			return replaceSection(before, "configuration", table)
		}},
		{"performance.md", func(before []byte) ([]byte, error) {
			return replaceSection(before, "figures", performanceTables(figures))
		}},
	}, plots(figures)...) {
		path := filepath.Join(root, "docs", g.name)
		// A plot of a new comparison does not exist yet.
		before, err := os.ReadFile(path) //nolint:gosec // The caller says where.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		after, err := g.make(before)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.name, err)
		}
		files = append(files, file{path: path, before: before, after: after})
	}
	return files, nil
}

// openAPI returns the description of the API, which has nothing of the present file.
func openAPI([]byte) ([]byte, error) {
	document, err := httpapi.Specification()
	return append(document, '\n'), err
}

// replaceSection replaces the text between the markers of a section. The markers are
// comments, which a reader of the page does not see.
func replaceSection(page []byte, name, content string) ([]byte, error) {
	begin := fmt.Appendf(nil, "<!-- begin generated: %s -->\n", name)
	end := fmt.Appendf(nil, "<!-- end generated: %s -->\n", name)

	before, rest, hasBegin := bytes.Cut(page, begin)
	_, after, hasEnd := bytes.Cut(rest, end)
	if !hasBegin || !hasEnd {
		return nil, fmt.Errorf("the markers of the section %q are missing", name)
	}
	return bytes.Join([][]byte{before, begin, []byte("\n" + content + "\n"), end, after}, nil), nil
}

// writeRow writes a row of a Markdown table.
func writeRow(to io.Writer, cells ...string) {
	// A bar would end its cell.
	for _, cell := range cells {
		fmt.Fprintf(to, "| %s ", bytes.ReplaceAll([]byte(cell), []byte("|"), []byte(`\|`)))
	}
	fmt.Fprintln(to, "|")
}
