package doctest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

func TestLinksLeadToWhatIsThere(t *testing.T) {
	for _, path := range pages(t) {
		_, prose := blocks(path, page(t, path))
		for _, found := range link.FindAllStringSubmatch(prose, -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			linked := path
			if target != "" {
				linked = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(filepath.Join(root, linked)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, found[1])
				continue
			}
			if anchor == "" {
				continue
			}
			_, prose := blocks(linked, page(t, linked))
			if !anchors(prose)[anchor] {
				t.Errorf("%s links to %s, which has no such heading", path, found[1])
			}
		}
	}
}

func TestEveryErrorIsDocumented(t *testing.T) {
	documented := page(t, "docs/errors.md")
	for _, kind := range httpapi.ErrorKinds() {
		if !strings.Contains(documented, "| `"+string(kind.Code)+"` | ") {
			t.Errorf("docs/errors.md does not have %s", kind.Code)
		}
	}
}

// The guide's tables of requests name the permissions that the routes take.
func TestTheGuideNamesWhatARequestTakes(t *testing.T) {
	guide := page(t, "docs/api-guide.md")
	rows := regexp.MustCompile("(?m)^\\| `((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)` \\| (.*?) \\|").FindAllStringSubmatch(guide, -1)
	told := make(map[string]string, len(rows))
	for _, row := range rows {
		told[row[1]] = row[2]
	}
	for _, route := range httpapi.RouteAccesses() {
		takes, ok := told[route.Route]
		if !ok {
			continue // It is told of in a sentence.
		}
		for _, permission := range route.OneOf {
			if !strings.Contains(takes, "`"+string(permission)+"`") {
				t.Errorf("%s takes %s, and the guide says %q", route.Route, permission, takes)
			}
		}
	}
	if len(told) < 40 {
		t.Errorf("the guide has %d rows of requests", len(told))
	}
}

// The command line's help is made by its parser: what it lists is what there is.
func TestEveryVariableIsDocumented(t *testing.T) {
	help, err := exec.CommandContext(t.Context(), program(t), "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(string(help)), " ")
	documented := page(t, "docs/configuration.md")
	variables := regexp.MustCompile(`\(\$([A-Z_]+)\)`).FindAllStringSubmatch(words, -1)
	if len(variables) == 0 {
		t.Fatalf("the help lists no variables:\n%s", help)
	}
	for _, variable := range variables {
		name := variable[1]
		if !strings.Contains(documented, "| `"+name+"` | ") {
			t.Errorf("docs/configuration.md does not have %s", name)
		}
		// The page says that this is how flags are named.
		if flag := "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-"); !strings.Contains(words, flag+"=") {
			t.Errorf("%s has no flag %s", name, flag)
		}
	}
}

func TestLoadScriptsAreDocumented(t *testing.T) {
	documented := page(t, "docs/load-testing.md")
	// All ways to read a variable; the functions are in load/lib/config.js.
	reads := regexp.MustCompile(`\b(?:given|required|key|flag|integer|decimal|duration|baseURL|runID|directory|shares)\('([A-Z0-9_]+)'`)
	variables := make(map[string]bool)
	for _, directory := range []string{"load", "load/lib"} {
		scripts, err := filepath.Glob(filepath.Join(root, directory, "*.js"))
		if err != nil || len(scripts) == 0 {
			t.Fatalf("%s has no scripts (%v)", directory, err)
		}
		for _, script := range scripts {
			name := strings.TrimSuffix(filepath.Base(script), ".js")
			if directory == "load" && !strings.Contains(documented, "| `"+name+"` | ") {
				t.Errorf("docs/load-testing.md does not have the script %s", name)
			}
			for _, read := range reads.FindAllStringSubmatch(page(t, directory+"/"+name+".js"), -1) {
				variables[read[1]] = true
			}
		}
	}
	for name := range variables {
		if !strings.Contains(documented, "| `"+name+"`") {
			t.Errorf("docs/load-testing.md does not have the variable %s", name)
		}
	}
	for _, found := range regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)`").FindAllStringSubmatch(documented, -1) {
		if !variables[found[1]] {
			t.Errorf("docs/load-testing.md has %s, which no script reads", found[1])
		}
	}
}

func TestDependenciesAreDocumented(t *testing.T) {
	modules := []string{"go.mod", "load/k6.mod"}

	for _, pattern := range []string{"tools/*/go.mod", "e2e/*/go.mod", "e2e/*/testdata/*/go.mod"} {
		found, err := fs.Glob(os.DirFS(root), pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("there is no %s (%v)", pattern, err)
		}
		modules = append(modules, found...)
	}

	var direct []string
	for _, path := range []string{
		"tools/openapi/package.json", "e2e/clients/testdata/typescript/package.json", "e2e/login/provider/package.json",
	} {
		direct = append(direct, directPackages(t, path)...)
	}
	for _, path := range modules {
		direct = append(direct, directModules(t, path)...)
	}
	direct = slices.DeleteFunc(direct, func(name string) bool { return name == "github.com/escrowgrid/escrowgrid" })
	var documented []string
	for _, found := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(page(t, "docs/dependencies.md"), -1) {
		documented = append(documented, found[1])
	}
	for _, name := range direct {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/dependencies.md does not have %s", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(direct, name) {
			t.Errorf("docs/dependencies.md has %s, which is not a direct dependency", name)
		}
	}
}

// directModules lists the modules that a go.mod requires by itself, and those of
// its tools.
func directModules(t *testing.T, path string) []string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", filepath.Join(root, path)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(text, &module); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, required := range module.Require {
		isTool := slices.ContainsFunc(module.Tool, func(tool struct{ Path string }) bool {
			return tool.Path == required.Path || strings.HasPrefix(tool.Path, required.Path+"/")
		})
		if !required.Indirect || isTool {
			names = append(names, required.Path)
		}
	}
	if len(names) == 0 {
		t.Errorf("%s has no direct dependency", path)
	}
	return names
}

func directPackages(t *testing.T, path string) []string {
	t.Helper()
	var packages struct{ Dependencies, DevDependencies map[string]string }
	if err := json.Unmarshal([]byte(page(t, path)), &packages); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, group := range []map[string]string{packages.Dependencies, packages.DevDependencies} {
		for name := range group {
			names = append(names, name)
		}
	}
	return names
}

// The documentation is about the project, wherever it is cloned to.
func TestPagesNameNoPlaceOfTheirMaking(t *testing.T) {
	foreign := regexp.MustCompile(`(^|[\s"'(=:` + "`" + `])/(root|work|home|Users)/` +
		`|(?i)proxy\.golang\.org|registry\.npm|goproxy=`)
	var paths []string
	for _, directory := range []string{"docs", "load"} {
		err := fs.WalkDir(os.DirFS(root), directory, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && filepath.Ext(path) != ".sum" {
				paths = append(paths, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for _, path := range append(paths, "README.md") {
		for i, line := range strings.Split(page(t, path), "\n") {
			if found := foreign.FindString(line); found != "" {
				t.Errorf("%s:%d has %q", path, i+1, strings.TrimSpace(found))
			}
		}
	}
}
