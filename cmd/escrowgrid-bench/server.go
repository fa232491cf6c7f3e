package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// serverName is the name of the server's program.
const serverName = "escrowgrid"

// findServer returns the path of the server to measure when no flag names one: the one beside this
// program, which was probably built with it, or else the one on PATH.
func findServer(program string) (string, error) {
	beside := filepath.Join(filepath.Dir(program), serverName)
	if path, err := exec.LookPath(beside); err == nil {
		return path, nil
	}

	path, err := exec.LookPath(serverName)
	if err != nil {
		return "", fmt.Errorf("there is no server to measure: no program %s, and none on PATH (%w); "+
			"build it with go build ./cmd/escrowgrid, or name it with --server", beside, err)
	}
	return path, nil
}
