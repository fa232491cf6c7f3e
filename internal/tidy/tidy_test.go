// Package tidy tests how the code is laid out: what a reader sees before reading a word.
package tidy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// root is the repository's, from here.
const root = "../.."

// The bounds, in lines and columns. A tab counts as four columns.
const (
	maxColumns       = 120
	maxFileLines     = 350
	maxFunctionLines = 60
	// A body of so many lines has more than one thought in it, and a blank line between
	// two of them.
	minParagraphedLines = 15
)

// source is a file of Go that was read.
type source struct {
	path    string
	content []byte
	set     *token.FileSet
	file    *ast.File
}

func (s source) line(pos token.Pos) int { return s.set.Position(pos).Line }

// lines returns the file's lines.
func (s source) lines() []string { return strings.Split(string(s.content), "\n") }

// isTest reports whether the file is a test or supports tests: a table of cases may be
// wide, and a story long.
func (s source) isTest() bool {
	return strings.HasSuffix(s.path, "_test.go") || regexp.MustCompile(`/[a-z]+test/`).MatchString(s.path)
}

// sources reads every file of Go in the repository that people write.
func sources(t *testing.T) (found []source) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}

		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.ParseComments)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		found = append(found, source{path: filepath.ToSlash(name), content: content, set: set, file: file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	if len(found) < 100 {
		t.Fatalf("only %d files were found", len(found))
	}
	return found
}

// bodies calls look for the body of every function that is declared in a file.
func (s source) bodies(look func(name string, body *ast.BlockStmt)) {
	for _, declaration := range s.file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Body != nil {
			look(function.Name.Name, function.Body)
		}
	}
}

func TestLongBodiesAreInParagraphs(t *testing.T) {
	for _, s := range sources(t) {
		lines := s.lines()
		s.bodies(func(name string, body *ast.BlockStmt) {
			first, last := s.line(body.Lbrace), s.line(body.Rbrace)-1
			if last-first < minParagraphedLines || s.isTest() {
				return
			}
			if !slices.ContainsFunc(lines[first:last], func(line string) bool { return strings.TrimSpace(line) == "" }) {
				t.Errorf("%s:%d: %s has %d lines in one paragraph", s.path, first, name, last-first)
			}
		})
	}
}

func TestFunctionsAndFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		if lines := bytes.Count(s.content, []byte("\n")); lines > maxFileLines {
			t.Errorf("%s has %d lines", s.path, lines)
		}
		s.bodies(func(name string, body *ast.BlockStmt) {
			if lines := s.line(body.Rbrace) - s.line(body.Lbrace) - s.listedLines(body); lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines", s.path, s.line(body.Lbrace), name, lines)
			}
		})
	}
}

// listedLines counts the lines of lists of structs, like that of the routes: they are no code
// that a reader has to keep in mind.
func (s source) listedLines(body *ast.BlockStmt) (lines int) {
	ast.Inspect(body, func(node ast.Node) bool {
		list, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if _, ok := list.Type.(*ast.ArrayType); ok {
			lines += s.line(list.Rbrace) - s.line(list.Lbrace)
		}
		return false
	})
	return lines
}

// mayBeWide are lines that are not broken: the tags of a field, and addresses.
var mayBeWide = regexp.MustCompile("`(json|query|env|arg|help|cmd|name|embed|default):|https?://|//go:|//nolint")

func TestLinesFitTheScreen(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		raw := s.rawStringLines()
		for i, line := range s.lines() {
			width := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
			if width > maxColumns && !raw[i+1] && !mayBeWide.MatchString(line) {
				t.Errorf("%s:%d has %d columns", s.path, i+1, width)
			}
		}
	}
}

// rawStringLines are the lines that a raw string stands in: SQL, and help texts.
func (s source) rawStringLines() map[int]bool {
	lines := make(map[int]bool)
	ast.Inspect(s.file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && strings.HasPrefix(literal.Value, "`") {
			for line := s.line(literal.Pos()); line <= s.line(literal.End()); line++ {
				lines[line] = true
			}
		}
		return true
	})
	return lines
}
