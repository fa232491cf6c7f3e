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

// configurationTable returns the table of variables, from the tags of the structs into
// which the command line is parsed. It reads the package's source, because a package main
// cannot be imported.
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
	writeRow(&text, "variable", "default", "what it does")
	writeRow(&text, "---", "---", "---")
	for _, v := range variables {
		if v.fallback != "" {
			v.fallback = "`" + v.fallback + "`"
		}
		writeRow(&text, "`"+v.name+"`", v.fallback, v.help)
	}
	return text.String(), nil
}

// variable is a variable of the environment.
type variable struct {
	name string
	// fallback is the default, "" where there is none.
	fallback string
	help     string
}

// source holds some of a package's declarations, by name.
type source struct {
	structs   map[string]*ast.StructType
	constants map[string]ast.Expr
	// insertions are the texts that stand for ${…} in help texts.
	insertions map[string]ast.Expr
}

// parseSource parses the source of the package in a directory, without its tests.
func parseSource(directory string) (*source, error) {
	paths, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		return nil, err
	}

	s := &source{
		structs:    make(map[string]*ast.StructType),
		constants:  make(map[string]ast.Expr),
		insertions: make(map[string]ast.Expr),
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

// collect notes the declarations in a node. It is for ast.Inspect.
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
		// kong.Vars has the texts that kong inserts into help texts.
		if selector, ok := node.Type.(*ast.SelectorExpr); ok && selector.Sel.Name == "Vars" {
			s.collectInsertions(node)
		}
	}

	return true
}

// collectInsertions notes the elements of a kong.Vars.
func (s *source) collectInsertions(literal *ast.CompositeLit) {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		if name, err := s.text(pair.Key); err == nil {
			s.insertions[name] = pair.Value
		}
	}
}

// variables lists a struct's variables in the order of its fields, with those of an
// embedded struct in its place.
func (s *source) variables(name string) ([]variable, error) {
	structure, ok := s.structs[name]
	if !ok {
		return nil, fmt.Errorf("there is no struct %s", name)
	}
	var found []variable
	for _, field := range structure.Fields.List {
		// A field without a name is an embedded struct.
		if len(field.Names) == 0 {
			embedded, ok := field.Type.(*ast.Ident)
			if !ok {
				return nil, fmt.Errorf("%s embeds a type of another package", name)
			}
			inner, err := s.variables(embedded.Name)
			if err != nil {
				return nil, err
			}
			found = append(found, inner...)
			continue
		}

		v, isVariable, err := s.variable(field)
		if err != nil {
			return nil, err
		}
		if isVariable {
			found = append(found, v)
		}
	}
	return found, nil
}

// variable returns the variable of a field, if its tags name one.
func (s *source) variable(field *ast.Field) (v variable, isVariable bool, err error) {
	if field.Tag == nil {
		return variable{}, false, nil
	}
	tags, err := strconv.Unquote(field.Tag.Value)
	if err != nil {
		return variable{}, false, err
	}
	tag := reflect.StructTag(tags)
	env := tag.Get("env")
	if env == "" {
		return variable{}, false, nil
	}

	help, err := s.complete(tag.Get("help"))
	if err != nil {
		return variable{}, false, fmt.Errorf("%s: %w", env, err)
	}
	// A secret can also come from a file; see the reader of the configuration.
	if _, isSecret := tag.Lookup("secret"); isSecret {
		help += " Or `" + env + "_FILE` names a file with it."
	}
	return variable{name: env, fallback: tag.Get("default"), help: help}, true, nil
}

// complete replaces each ${name} of a help text.
func (s *source) complete(help string) (completed string, err error) {
	// os.Expand cannot stop at an error, so the last one counts.
	completed = os.Expand(help, func(name string) string {
		expression, ok := s.insertions[name]
		if !ok {
			err = fmt.Errorf("${%s} is unknown", name)
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

// text evaluates a constant string: a literal, a constant of the package, or a
// concatenation of such.
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
