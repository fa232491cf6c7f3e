package secretflag

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// maxFile bounds a file with a secret, in bytes. It is far more than any secret has, and
// keeps a wrong path, such as a device's, from filling the memory.
const maxFile = 64 << 10

// fromFile reads what is tagged as secret from the file that the variable NAME_FILE names:
// container platforms and systemd hand secrets over in files.
func fromFile(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.Tag.Has(secretTag) {
		return nil, nil //nolint:nilnil // It is how a resolver says that it has nothing.
	}

	for _, name := range flag.Envs {
		path, isSet := os.LookupEnv(name + "_FILE")
		if !isSet {
			continue
		}
		if path == "" {
			return nil, wrong("%s_FILE: is set, but empty", name)
		}

		// Nobody can know which of the two is meant, and the wrong key is worse than none.
		if os.Getenv(name) != "" {
			return nil, wrong("%s and %s_FILE: only one of them can be given", name, name)
		}

		secret, err := read(path)
		if err != nil {
			return nil, wrong("%s_FILE: %s", name, err)
		}
		return secret, nil
	}
	return nil, nil //nolint:nilnil // See above.
}

// read reads a file without the line end after its content. It returns an error for an empty
// file and for one of more than maxFile bytes. No error holds any of the content.
func read(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // The operator says where.
	if err != nil {
		return "", err
	}

	// One byte beyond the bound tells a file that is too long from one that just fits.
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}

	secret := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case len(content) > maxFile:
		return "", fmt.Errorf("%s has more than %d bytes", path, maxFile)
	case secret == "":
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}
