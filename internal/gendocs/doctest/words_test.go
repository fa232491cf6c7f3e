package doctest

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A reader looks a term up by the alphabet, and finds it once.
func TestGlossaryHasEachTermOnceInOrder(t *testing.T) {
	const path = "docs/glossary.md"
	rows := regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \|$`).FindAllStringSubmatch(page(t, path), -1)
	if len(rows) < 3 || rows[1][1] != "---" {
		t.Fatalf("%s has no table of terms", path)
	}

	var before string
	for _, row := range rows[2:] {
		term := row[1]
		if order := cmp.Compare(strings.ToLower(before), strings.ToLower(term)); order == 0 {
			t.Errorf("%s has %q twice", path, term)
		} else if order > 0 {
			t.Errorf("%s has %q behind %q", path, term, before)
		}
		if strings.HasSuffix(row[2], ".") {
			t.Errorf("%s: the meaning of %q is more than a line", path, term)
		}
		before = term
	}
}

// maxFirstScreen is how many lines of the README can be seen without scrolling.
const maxFirstScreen = 40

// Whoever opens the repository sees what it is and the two commands to try, without
// scrolling.
func TestREADMESaysItAllOnItsFirstScreen(t *testing.T) {
	screen, _, found := strings.Cut(page(t, "README.md"), "\n## ")
	if !found {
		t.Fatal("README.md has no heading below its title")
	}
	if lines := strings.Count(screen, "\n"); lines > maxFirstScreen {
		t.Errorf("README.md has %d lines before its first heading, at most %d can be seen at once", lines, maxFirstScreen)
	}
	shown, _ := blocks("README.md", screen+"\n")
	for _, command := range []string{"go run ./cmd/escrowgrid demo\n", "scripts/test\n"} {
		if !slices.ContainsFunc(shown, func(b block) bool { return b.kind == "sh" && b.content == command }) {
			t.Errorf("README.md does not show the command %q before its first heading", command)
		}
	}
}

// The table of folders is where newcomers look first.
func TestREADMEListsEveryFolder(t *testing.T) {
	listsFolders(t, "README.md", "Where things are", ".", "")
}

// The table of layers says what each package is.
func TestArchitectureListsEveryPackage(t *testing.T) {
	listsFolders(t, "docs/architecture.md", "Layers", "internal", "../")
	listsFolders(t, "docs/architecture.md", "Layers", "cmd", "../")
}

// listsFolders checks that a section of a page links to every folder in a parent, with
// links that begin with a prefix.
func listsFolders(t *testing.T, of, heading, parent, prefix string) {
	t.Helper()
	_, section, found := strings.Cut(page(t, of), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no section %q", of, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")

	entries, err := os.ReadDir(filepath.Join(root, parent))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		path := filepath.Join(parent, entry.Name())
		isHidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci"
		if entry.IsDir() && !isHidden && !strings.Contains(section, "["+path+"]("+prefix+path+")") {
			t.Errorf("%s does not say what is in %s", of, path)
		}
	}
}

// Phrases that a native reader stumbles over, each with what to write instead.
var stumbles = []struct{ phrase, better string }{
	{`at the most`, "at most"},
	{`at the least`, "at least"},
	{`(?:characters|days|hours|minutes|seconds) at least`, "at least, before the number"},
	{`leads each`, "moves each, or takes each through"},
	{`(?:is|are|was|were|be|been) led`, "a transition: moves to"},
	{`led (?:through|to)`, "a transition: moves to"},
	{`whose it is`, "its owner, by name"},
	{`(?:is|are) not to`, "must not, or should not"},
	{`security log|log of refus\w+|log of refused attempts`, "security events"},
}

func TestPagesAreInPlainEnglish(t *testing.T) {
	generated := regexp.MustCompile(`(?s)<!-- begin generated: .*?<!-- end generated: .*? -->`)
	for _, path := range pages(t) {
		_, prose := blocks(path, page(t, path))
		// What is generated is written in the code.
		prose = strings.Join(strings.Fields(generated.ReplaceAllString(prose, "")), " ")
		for _, stumble := range stumbles {
			if found := regexp.MustCompile(`(?i).{0,40}\b(?:` + stumble.phrase + `)\b`).FindString(prose); found != "" {
				t.Errorf("%s says %q: write %s", path, found, stumble.better)
			}
		}
	}
}

// A recipe lists the files of a change as numbered paths in backticks.
func TestRecipesNameFilesThatAreThere(t *testing.T) {
	const path = "docs/development.md"
	_, recipes, found := strings.Cut(page(t, path), "\n## Recipes\n")
	if !found {
		t.Fatalf("%s has no recipes", path)
	}
	recipes, _, _ = strings.Cut(recipes, "\n## ")

	steps := regexp.MustCompile("(?m)^\\d+\\. `([^`]+)`: ")
	named := strings.Split(recipes, "\n### ")[1:]
	if len(named) != 6 {
		t.Errorf("%s has %d recipes, want six", path, len(named))
	}
	for _, recipe := range named {
		title, text, _ := strings.Cut(recipe, "\n")
		files := steps.FindAllStringSubmatch(text, -1)
		if len(files) == 0 {
			t.Errorf("%s: the recipe %q names no file", path, title)
		}
		for _, file := range files {
			if _, err := os.Stat(filepath.Join(root, file[1])); errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the recipe %q names %s, which is not there", path, title, file[1])
			} else if err != nil {
				t.Error(err)
			}
		}
	}
}
