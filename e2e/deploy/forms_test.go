package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// issueForm is an issue form as GitHub takes it: a member that it does not know hides the
// whole form. See "Syntax for issue forms" and "Syntax for GitHub's form schema" there.
type issueForm struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Title       string        `json:"title"`
	Labels      []string      `json:"labels"`
	Body        []formElement `json:"body"`
}

type formElement struct {
	Type       string `json:"type"`
	ID         string `json:"id"`
	Attributes struct {
		Label       string          `json:"label"`
		Description string          `json:"description"`
		Placeholder string          `json:"placeholder"`
		Value       string          `json:"value"`
		Render      string          `json:"render"`
		Multiple    bool            `json:"multiple"`
		Options     json.RawMessage `json:"options"`
	} `json:"attributes"`
	Validations struct {
		Required bool `json:"required"`
	} `json:"validations"`
}

// readForm reads a YAML file strictly. What YAML takes for a boolean or a number is no text,
// for GitHub as for JSON.
func readForm(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	document, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}

	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestIssueFormsAreWhatGitHubTakes(t *testing.T) {
	paths, err := filepath.Glob("../../.github/ISSUE_TEMPLATE/*.yml")
	if err != nil {
		t.Fatal(err)
	}

	forms := 0
	for _, path := range paths {
		if filepath.Base(path) == "config.yml" {
			continue
		}
		forms++
		t.Run(filepath.Base(path), func(t *testing.T) {
			var form issueForm
			readForm(t, path, &form)
			checkForm(t, form)
		})
	}
	if forms != 2 {
		t.Errorf("there are %d forms, want one for bugs and one for features", forms)
	}
}

func checkForm(t *testing.T, form issueForm) {
	t.Helper()
	if len(form.Name) <= 3 || strings.TrimSpace(form.Description) == "" {
		t.Errorf("the form is named %q and described as %q", form.Name, form.Description)
	}
	if !slices.ContainsFunc(form.Body, func(e formElement) bool { return e.Type != "markdown" }) {
		t.Error("nothing can be filled in")
	}

	ids, labels := make(map[string]bool), make(map[string]bool)
	for _, element := range form.Body {
		checkElement(t, element)
		if element.Type == "markdown" {
			continue
		}
		if ids[element.ID] || labels[element.Attributes.Label] {
			t.Errorf("there are two elements %q or %q", element.ID, element.Attributes.Label)
		}
		ids[element.ID], labels[element.Attributes.Label] = true, true
	}
}

var formID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkElement(t *testing.T, element formElement) {
	t.Helper()
	attributes := element.Attributes
	hasOptions := len(attributes.Options) > 0
	var correct bool
	switch element.Type {
	case "markdown":
		correct = attributes.Value != "" && attributes.Label == "" && element.ID == "" && !hasOptions
	case "input":
		correct = attributes.Label != "" && attributes.Render == "" && !hasOptions
	case "textarea":
		correct = attributes.Label != "" && !hasOptions
	case "dropdown":
		correct = attributes.Label != "" && hasOptions && areChoices(attributes.Options)
	}
	if !correct {
		t.Errorf("%+v is not what an element of its type takes", element)
	}

	if element.Type != "markdown" && !formID.MatchString(element.ID) {
		t.Errorf("%q is no id", element.ID)
	}
	// GitHub refuses labels that ask for secrets.
	if strings.Contains(strings.ToLower(attributes.Label), "password") {
		t.Errorf("%q asks for a password", attributes.Label)
	}
}

// areChoices reports whether there are choices, all different. "None" is GitHub's own.
func areChoices(options json.RawMessage) bool {
	var choices []string
	if err := json.Unmarshal(options, &choices); err != nil {
		return false
	}
	slices.Sort(choices)
	return len(choices) > 0 && len(slices.Compact(slices.Clone(choices))) == len(choices) &&
		!slices.ContainsFunc(choices, func(choice string) bool { return strings.EqualFold(choice, "none") })
}

func TestNewIssuesLeadToPrivateReports(t *testing.T) {
	var chooser struct {
		BlankIssues bool `json:"blank_issues_enabled"`
		Links       []struct {
			Name  string `json:"name"`
			URL   string `json:"url"`
			About string `json:"about"`
		} `json:"contact_links"`
	}
	readForm(t, "../../.github/ISSUE_TEMPLATE/config.yml", &chooser)
	for _, link := range chooser.Links {
		if link.Name == "" || link.About == "" || !strings.HasPrefix(link.URL, "https://") {
			t.Errorf("%+v is not complete", link)
		}
	}

	policy, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(chooser.Links) == 0 || !strings.Contains(string(policy), "("+chooser.Links[0].URL+")") {
		t.Errorf("SECURITY.md and the chooser, %+v, name different places for reports", chooser.Links)
	}
}
