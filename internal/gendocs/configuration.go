package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// configurationTable writes the table of variables, read from the tags of the
// structs that the command line is parsed into. A package main cannot be
// imported, so they are read from its source.
func configurationTable(directory string) (string, error) {
	source, err := parseSource(directory)
	if err != nil {
		return "", err
	}
	variables, err := source.variables("serverFlags")
	if err != nil {
		return "", err
	}
	var text strings.Builder
	row(&text, "variable", "default", "what it does")
	row(&text, "---", "---", "---")
	for _, v := range variables {
		if v.fallback != "" {
			v.fallback = "`" + v.fallback + "`"
		}
		row(&text, "`"+v.name+"`", v.fallback, v.help)
	}
	return text.String(), nil
}

// variable is one variable of the environment.
type variable struct{ name, fallback, help string }

// source is what is needed of a package's declarations.
type source struct {
	structs   map[string]*ast.StructType
	constants map[string]ast.Expr
	// insertions are the texts that help texts name as ${…}.
	insertions map[string]ast.Expr
}

func parseSource(directory string) (*source, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{
		structs: make(map[string]*ast.StructType), constants: make(map[string]ast.Expr), insertions: make(map[string]ast.Expr),
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, s.collect)
	}
	return s, nil
}

func (s *source) collect(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.TypeSpec:
		if structure, ok := node.Type.(*ast.StructType); ok {
			s.structs[node.Name.Name] = structure
		}
	case *ast.ValueSpec:
		for i, value := range node.Values {
			s.constants[node.Names[i].Name] = value
		}
	case *ast.CompositeLit:
		if selector, ok := node.Type.(*ast.SelectorExpr); ok && selector.Sel.Name == "Vars" {
			for _, element := range node.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok {
					if name, err := s.text(pair.Key); err == nil {
						s.insertions[name] = pair.Value
					}
				}
			}
		}
	}
	return true
}

// variables lists a struct's variables in order, those of embedded structs where
// they stand.
func (s *source) variables(name string) ([]variable, error) {
	structure, ok := s.structs[name]
	if !ok {
		return nil, fmt.Errorf("there is no struct %s", name)
	}
	var found []variable
	for _, field := range structure.Fields.List {
		if len(field.Names) == 0 {
			embedded, ok := field.Type.(*ast.Ident)
			if !ok {
				return nil, fmt.Errorf("%s embeds something that is not of its package", name)
			}
			inner, err := s.variables(embedded.Name)
			if err != nil {
				return nil, err
			}
			found = append(found, inner...)
			continue
		}
		if field.Tag == nil {
			continue
		}
		tags, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			return nil, err
		}
		tag := reflect.StructTag(tags)
		if env := tag.Get("env"); env != "" {
			help, err := s.complete(tag.Get("help"))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", env, err)
			}
			if _, isSecret := tag.Lookup("secret"); isSecret {
				help += " Or `" + env + "_FILE` names a file with it."
			}
			found = append(found, variable{env, tag.Get("default"), help})
		}
	}
	return found, nil
}

// complete replaces each ${name} of a help text.
func (s *source) complete(help string) (completed string, err error) {
	completed = os.Expand(help, func(name string) string {
		expression, ok := s.insertions[name]
		if !ok {
			err = fmt.Errorf("${%s} is not known", name)
			return ""
		}
		text, textErr := s.text(expression)
		if textErr != nil {
			err = textErr
		}
		return text
	})
	return completed, err
}

// text evaluates a constant string: literals, constants of the package, and their
// sums.
func (s *source) text(expression ast.Expr) (string, error) {
	switch e := expression.(type) {
	case *ast.BasicLit:
		return strconv.Unquote(e.Value)
	case *ast.Ident:
		if constant, ok := s.constants[e.Name]; ok {
			return s.text(constant)
		}
	case *ast.BinaryExpr:
		left, err := s.text(e.X)
		if err != nil {
			return "", err
		}
		right, err := s.text(e.Y)
		return left + right, err
	}
	return "", fmt.Errorf("%T is not a constant string", expression)
}
