// Package k6test gives tests the k6 that this repository pins, with which its load
// scripts are written.
package k6test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const (
	module = "go.k6.io/k6/v2"
	pinned = "tools/k6/go.mod"
)

// Path returns the path of k6: what the variable K6 says, k6 on PATH where that has
// the pinned version, or one that is built, which takes minutes the first time. Tests
// fail, and are never skipped, when there is none.
func Path(tb testing.TB) string {
	tb.Helper()
	path, err := find()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

var find = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("K6"); path != "" {
		return path, nil
	}
	ctx := context.Background()
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}"))
	if err != nil {
		return "", err
	}
	modfile := "-modfile=" + filepath.Join(root, pinned)
	version, err := output(exec.CommandContext(ctx, "go", "list", modfile, "-m", "-f", "{{.Version}}", module))
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath("k6"); err == nil {
		if said, err := output(exec.CommandContext(ctx, path, "version")); err == nil && strings.Contains(said, " "+version+" ") {
			return path, nil
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "escrowgrid", "k6-"+version)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	// Go builds nothing where the file is what it would build.
	build := exec.CommandContext(ctx, "go", "build", modfile, "-o", path, module)
	build.Dir = root
	_, err = output(build)
	return path, err
})

func output(command *exec.Cmd) (string, error) {
	said, err := command.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", command, err, exit.Stderr)
	}
	return strings.TrimSpace(string(said)), err
}
