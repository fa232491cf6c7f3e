package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

// A release has the program for each platform, its further files, a list of its components
// and the checksums. GoReleaser refuses unknown fields.
func TestAReleaseHasAllPlatforms(t *testing.T) {
	release, err := config.Load("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(release.Builds) != 1 || len(release.Archives) != 1 || len(release.SBOMs) != 1 ||
		release.Checksum.NameTemplate == "" {
		t.Fatalf("a release is %d programs, %d archives, %d lists of components and the checksums %q",
			len(release.Builds), len(release.Archives), len(release.SBOMs), release.Checksum.NameTemplate)
	}

	build := release.Builds[0]
	if !slices.Equal(build.Goos, []string{"linux", "darwin"}) || !slices.Equal(build.Goarch, []string{"amd64", "arm64"}) ||
		!slices.Contains(build.Env, "CGO_ENABLED=0") {
		t.Errorf("programs are built for %v on %v with %v", build.Goos, build.Goarch, build.Env)
	}

	// The linker does not report a variable that does not exist.
	program := filepath.Join(t.TempDir(), "escrowgrid")
	flags := strings.ReplaceAll(strings.Join(build.Ldflags, " "), "{{ .Version }}", "1.2.3")
	link := exec.CommandContext(t.Context(), "go", "build", "-o", program, "-ldflags", flags, build.Main)
	link.Dir = "../.."
	if output, err := link.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	output, err := exec.CommandContext(t.Context(), program, "version").CombinedOutput()
	if err != nil || string(output) != "escrowgrid 1.2.3\n" {
		t.Errorf("the version is %q, %v", output, err)
	}

	for _, file := range release.Archives[0].Files {
		if _, err := os.Stat("../../" + file.Source); err != nil {
			t.Error(err)
		}
	}
}
