package login

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// installed is a copy of the directory provider with the packages that it needs.
var installed string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if installed, err = os.MkdirTemp("", "escrowgrid-login"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(installed) }() // It is in a temporary place.

	if err := install(installed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return programtest.Run(m)
}

// install copies the provider's program to a directory, and installs what it needs there.
func install(directory string) error {
	for _, name := range []string{"package.json", "package-lock.json", "provider.js"} {
		content, err := os.ReadFile("provider/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(directory+"/"+name, content, 0o600); err != nil {
			return err
		}
	}

	npm := exec.Command("npm", "ci", "--silent", "--prefer-offline", "--no-audit") //nolint:noctx // It ends by itself.
	npm.Dir = directory
	if output, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", npm, err, output)
	}
	return nil
}
