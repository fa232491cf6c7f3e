// Package doctest holds the documentation to its word: the commands it shows are
// run, the answers it shows are compared, its links lead somewhere, and what it
// lists is complete.
package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// root is the root of the repository.
const root = "../../.."

// block is a fenced block of a Markdown page.
type block struct {
	page string
	// line is that of the block's first line of content.
	line    int
	kind    string
	content string
}

// page reads a page of the documentation by its path in the repository.
func page(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pages lists the paths of all pages of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		// What git and npm keep is not ours.
		if err == nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("the pages are %q, %v", paths, err)
	}
	return paths
}

// blocks returns a page's fenced blocks, and its prose: the page with empty lines
// in their place.
func blocks(path, text string) (found []block, prose string) {
	var outside strings.Builder
	inside := false
	for i, line := range strings.SplitAfter(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			found = append(found, block{page: path, line: i + 2, kind: strings.TrimSpace(fence)})
			inside = true
		case isFence:
			inside = false
		case inside:
			found[len(found)-1].content += line
		default:
			outside.WriteString(line)
			continue
		}
		outside.WriteString("\n")
	}
	return found, outside.String()
}

var (
	headingLine = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// anchors returns the names by which links reach a page's headings.
func anchors(prose string) map[string]bool {
	names := make(map[string]bool)
	for _, heading := range headingLine.FindAllStringSubmatch(prose, -1) {
		names[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading[1]))] = true
	}
	return names
}
