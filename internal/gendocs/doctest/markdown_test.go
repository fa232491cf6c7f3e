// Package doctest holds the documentation to its word: the commands it shows are
// run, the answers it shows are compared, its links lead somewhere, and what it
// lists is complete.
package doctest

import (
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

// pages lists the paths of all pages.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"README.md"}
	for _, path := range found {
		paths = append(paths, "docs/"+filepath.Base(path))
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
