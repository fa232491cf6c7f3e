package pgcluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// wellKnownPlaces are where packages put the server programs. Most keep them
// off PATH so that several major versions can be installed side by side.
// scripts/lib/packages.sh looks in the same places.
var wellKnownPlaces = []string{
	"/usr/lib/postgresql/*/bin",                      // Debian, Ubuntu
	"/usr/lib/postgresql*/bin",                       // openSUSE
	"/usr/pgsql-*/bin",                               // PGDG packages for Fedora and RHEL
	"/usr/libexec/postgresql*",                       // Alpine
	"/usr/local/pgsql/bin",                           // built from source
	"/opt/homebrew/opt/postgresql*/bin",              // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",                 // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", // Homebrew on Linux
}

// errNotFound says what to do, because it is what a newcomer without PostgreSQL sees.
var errNotFound = errors.New("no PostgreSQL server programs (initdb, postgres) found: " +
	"run the tests with scripts/test, as the README says, which installs them, " +
	"or set POSTGRES_BIN to the directory that holds them")

// Find returns the directory of the PostgreSQL server programs. POSTGRES_BIN
// wins over PATH, and PATH over the places where packages put them, newest
// version first.
func Find() (binDir string, err error) {
	return find(os.Getenv("POSTGRES_BIN"), wellKnownPlaces)
}

// find returns the explicit directory, unless it is "", or the first one of PATH and of
// places that has the server programs.
func find(explicit string, places []string) (string, error) {
	if explicit != "" {
		// Falling back here would test against another version than asked for.
		if !hasServer(explicit) {
			return "", fmt.Errorf("POSTGRES_BIN=%s holds no initdb and postgres; "+
				"correct or unset it and run the tests with scripts/test", explicit)
		}
		return explicit, nil
	}

	if postgres, err := exec.LookPath("postgres"); err == nil {
		if dir := filepath.Dir(postgres); hasServer(dir) {
			return dir, nil
		}
		// A link on PATH may lead to a directory that has all the programs.
		if target, err := filepath.EvalSymlinks(postgres); err == nil {
			if dir := filepath.Dir(target); hasServer(dir) {
				return dir, nil
			}
		}
	}

	dirs, err := newestFirst(places)
	for _, dir := range dirs {
		if hasServer(dir) {
			return dir, nil
		}
	}
	return "", cmp.Or(err, errNotFound)
}

// newestFirst lists the existing directories that match a list of patterns, the newest
// version of PostgreSQL first.
func newestFirst(places []string) ([]string, error) {
	var dirs []string
	for _, pattern := range places {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("search for PostgreSQL in %s: %w", pattern, err)
		}
		dirs = append(dirs, matches...)
	}

	slices.SortStableFunc(dirs, func(a, b string) int {
		return cmp.Compare(versionIn(b), versionIn(a))
	})
	return dirs, nil
}

// FindProgram returns the path of another program of PostgreSQL, such as pgbench. It looks
// in POSTGRES_BIN, on PATH, and where packages put them, in that order.
func FindProgram(name string) (string, error) {
	if explicit := os.Getenv("POSTGRES_BIN"); explicit != "" {
		if path, err := exec.LookPath(filepath.Join(explicit, name)); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}

	dirs, err := newestFirst(wellKnownPlaces)
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", cmp.Or(err, fmt.Errorf("%s, which comes with PostgreSQL, is not installed", name))
}

// versionPattern finds the version in the name of a directory, like postgresql/17/bin or
// pgsql-17.
var versionPattern = regexp.MustCompile(`(?:postgresql|pgsql)[-@/]?(\d+(?:\.\d+)?)`)

// versionIn returns the version in a directory's name, 0 if it has none.
func versionIn(dir string) float64 {
	match := versionPattern.FindStringSubmatch(dir)
	if match == nil {
		return 0
	}
	version, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return 0
	}
	return version
}

// hasServer reports whether a directory has the programs that a cluster needs.
func hasServer(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, program))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}
