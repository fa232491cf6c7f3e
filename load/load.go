// Package load embeds the k6 scripts of the load tests and builds the version of k6 for
// which they are written.
package load

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// Files holds the scripts, k6.mod and k6.sum.
//
//go:embed *.js lib/*.js k6.mod k6.sum
var Files embed.FS

// k6Module is the module that k6.mod pins.
const k6Module = "go.k6.io/k6/v2"

// PinnedK6 returns the path of k6 in the version that k6.mod names. If the user's cache
// does not have it, PinnedK6 builds it there, which needs Go and takes minutes, and says so
// on progress.
func PinnedK6(ctx context.Context, progress io.Writer) (string, error) {
	version, err := k6Version()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}

	path := filepath.Join(cache, "escrowgrid", "k6-"+version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("neither k6 nor Go, which can build it, is on PATH: install one of them, or use --k6")
	}
	fmt.Fprintf(progress, "building k6 %s for the first time, which takes some minutes: %s\n", version, path)
	return path, buildK6(ctx, path)
}

func k6Version() (string, error) {
	module, err := Files.ReadFile("k6.mod")
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)` + regexp.QuoteMeta(k6Module) + ` (v\S+)`).FindSubmatch(module)
	if found == nil {
		return "", errors.New("load/k6.mod does not name a version of k6")
	}
	return string(found[1]), nil
}

// buildK6 builds k6 in a module of its own and then renames it to path, so that there is
// never an incomplete program at path.
func buildK6(ctx context.Context, path string) (err error) {
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return err
	}
	work, err := os.MkdirTemp(directory, "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	for _, name := range []string{"mod", "sum"} {
		content, err := Files.ReadFile("k6." + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, "go."+name), content, 0o600); err != nil {
			return err
		}
	}

	build := exec.CommandContext(ctx, "go", "build", "-o", "k6", k6Module)
	build.Dir = work
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build k6: %w: %s", err, output)
	}
	return os.Rename(filepath.Join(work, "k6"), path)
}
