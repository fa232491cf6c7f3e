// Package load holds the k6 scripts of the load tests, for the program to carry
// with it, and the module file that pins the k6 they were written for.
package load

import (
	"embed"
	"errors"
	"regexp"
)

// Files are the scripts, and k6.mod and k6.sum.
//
//go:embed *.js k6.mod k6.sum
var Files embed.FS

// K6Version is the version of k6 that k6.mod names, like v2.2.0.
func K6Version() (string, error) {
	module, err := Files.ReadFile("k6.mod")
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)go\.k6\.io/k6/v2 (v\S+)`).FindSubmatch(module)
	if found == nil {
		return "", errors.New("load/k6.mod does not name a version of k6")
	}
	return string(found[1]), nil
}
