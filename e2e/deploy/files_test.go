package deploy

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// dockerStages parses the Dockerfile. The test fails if the linter reports something.
func dockerStages(t *testing.T) []instructions.Stage {
	t.Helper()
	content, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}

	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		t.Errorf("%s: %s", rule, message)
	}})
	stages, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

func TestTheImageContainsOnlyTheServer(t *testing.T) {
	stages := dockerStages(t)
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the base of the image is %s", last.BaseName)
	}

	var user, health string
	for _, command := range last.Commands {
		switch command := command.(type) {
		case *instructions.UserCommand:
			user = command.User
		case *instructions.HealthCheckCommand:
			health = strings.Join(command.Health.Test, " ")
		}
	}
	if user != "65532:65532" || health != "CMD /escrowgrid healthcheck" {
		t.Errorf("its user is %q, its health check %q", user, health)
	}
}

// imageVariables returns the variables that the server's image sets.
func imageVariables(t *testing.T) map[string]string {
	t.Helper()
	variables := make(map[string]string)
	stages := dockerStages(t)
	for _, command := range stages[len(stages)-1].Commands {
		if env, ok := command.(*instructions.EnvCommand); ok {
			for _, pair := range env.Env {
				variables[pair.Key] = pair.Value
			}
		}
	}
	return variables
}

// checkVariables checks that the program accepts a container's variables together with
// those of the image.
func checkVariables(t *testing.T, container string, given map[string]string) {
	t.Helper()
	all := imageVariables(t)
	maps.Copy(all, given)
	for name := range all {
		if all[name] != "" && all[name+"_FILE"] != "" {
			t.Errorf("%s has both %s and %s_FILE", container, name, name)
		}
	}
}

func composeProject(t *testing.T, files ...string) *types.Project {
	t.Helper()
	for i := range files {
		files[i] = "../../" + files[i]
	}
	options, err := cli.NewProjectOptions(files, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFileLoadsWithAllProfiles(t *testing.T) {
	project := composeProject(t, "deploy/compose/compose.yaml")
	for name, service := range project.Services {
		if strings.HasSuffix(service.Image, ":latest") || !strings.Contains(service.Image, ":") {
			t.Errorf("%s has the image %s without a version", name, service.Image)
		}
		if len(service.CapDrop) != 1 || service.CapDrop[0] != "ALL" || len(service.SecurityOpt) == 0 {
			t.Errorf("%s keeps privileges", name)
		}
		if strings.HasPrefix(service.Image, "escrowgrid:") {
			checkVariables(t, name, service.Environment.ToMapping())
		}
		if !service.ReadOnly && name != "postgres" {
			t.Errorf("%s can write to its root file system", name)
		}
	}
	if servers := project.Services["escrowgrid"]; servers.GetScale() != 2 {
		t.Errorf("there are %d servers", servers.GetScale())
	}
}

// The file at the root is there to be tried: nobody beyond the machine can call what it starts.
func TestComposeFileToTryLoads(t *testing.T) {
	project := composeProject(t, "compose.yaml")
	published := 0
	for name, service := range project.Services {
		if strings.HasSuffix(service.Image, ":latest") || !strings.Contains(service.Image, ":") {
			t.Errorf("%s has the image %s without a version", name, service.Image)
		}
		if strings.HasPrefix(service.Image, "escrowgrid:") {
			checkVariables(t, name, service.Environment.ToMapping())
		}
		for _, port := range service.Ports {
			if published++; port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes the port %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
	if published != 1 {
		t.Errorf("%d ports are published", published)
	}
}

func TestComposeFileForDevelopmentLoads(t *testing.T) {
	project := composeProject(t, "deploy/compose/compose.yaml", "deploy/compose/compose.dev.yaml")
	servers := project.Services["escrowgrid"]
	level := servers.Environment["LOG_LEVEL"]
	if servers.GetScale() != 1 || servers.Build == nil || level == nil || *level != "debug" {
		t.Errorf("there are %d servers, built by %v", servers.GetScale(), servers.Build)
	}
	if servers.Environment["DATABASE_URL_FILE"] == nil || !servers.ReadOnly {
		t.Error("the servers are not those of compose.yaml")
	}
	if ports := project.Services["postgres"].Ports; len(ports) != 1 || ports[0].HostIP != "127.0.0.1" {
		t.Errorf("PostgreSQL's ports are %v", ports)
	}
}

// The types of Kubernetes decode each resource and know all of its fields.
func TestKubernetesResourcesAreValid(t *testing.T) {
	for _, folder := range []string{"base", "example"} {
		t.Run(folder, func(t *testing.T) {
			kustomizer := krusty.MakeKustomizer(krusty.MakeDefaultOptions())
			resources, err := kustomizer.Run(filesys.MakeFsOnDisk(), "../../deploy/kubernetes/"+folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, resource := range resources.Resources() {
				types := map[string]any{
					"Deployment":          &appsv1.Deployment{},
					"Job":                 &batchv1.Job{},
					"Service":             &corev1.Service{},
					"ServiceAccount":      &corev1.ServiceAccount{},
					"NetworkPolicy":       &networkingv1.NetworkPolicy{},
					"PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
				}
				into, known := types[resource.GetKind()]
				if !known {
					t.Errorf("the kind of %s is not expected", resource.CurId())
					continue
				}

				text, err := resource.AsYAML()
				if err != nil {
					t.Fatal(err)
				}
				content, err := yaml.YAMLToJSONStrict(text)
				if err != nil {
					t.Fatal(err)
				}
				// Like Kubernetes, this distinguishes upper and lower case in names of fields.
				unknown, err := json.UnmarshalStrict(content, into)
				if err != nil || len(unknown) > 0 {
					t.Errorf("%s: %v, %v", resource.CurId(), err, unknown)
				}

				for _, container := range containersOf(into) {
					given := make(map[string]string)
					for _, variable := range container.Env {
						given[variable.Name] = variable.Value
					}
					checkVariables(t, resource.CurId().String(), given)
				}
			}
		})
	}
}

func containersOf(resource any) []corev1.Container {
	switch resource := resource.(type) {
	case *appsv1.Deployment:
		return resource.Spec.Template.Spec.Containers
	case *batchv1.Job:
		return resource.Spec.Template.Spec.Containers
	}
	return nil
}
