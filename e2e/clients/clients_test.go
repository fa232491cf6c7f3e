package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Run(m)) }

// workshop is a directory in which a client is generated, with the story beside it, and what
// the story is told of a server of its own.
type workshop struct {
	directory string
	env       []string
}

// open copies the files of a story, and starts a server on the embedded store.
func open(t *testing.T, story string) workshop {
	t.Helper()
	w := workshop{directory: t.TempDir()}
	if err := os.CopyFS(w.directory, os.DirFS(filepath.Join("testdata", story))); err != nil {
		t.Fatal(err)
	}
	server := programtest.Serve(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	w.env = append(os.Environ(), "API_URL="+server.URL, "ROOT_API_KEY="+programtest.RootKey)
	return w
}

// run runs a program in a directory. The test fails where it does.
func (w workshop) run(t *testing.T, directory, name string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...) //nolint:gosec // The test says what.
	command.Dir, command.Env = directory, w.env
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
}

// document is the path of the document of the API.
func document(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheClientOfOpenAPITypeScript(t *testing.T) {
	t.Parallel()
	w := open(t, "typescript")

	w.run(t, w.directory, "npm", "ci", "--silent", "--prefer-offline")
	w.run(t, w.directory, "npx", "--no-install", "openapi-typescript", document(t), "--output", "schema.d.ts")
	w.run(t, w.directory, "npx", "--no-install", "tsc")
	w.run(t, w.directory, "node", "story.js")
}

func TestTheClientOfOapiCodegen(t *testing.T) {
	t.Parallel()
	w := open(t, "go")

	generated := filepath.Join(w.directory, "api")
	if err := os.Mkdir(generated, 0o700); err != nil {
		t.Fatal(err)
	}
	w.run(t, "../../tools/oapi-codegen", "go", "tool", "oapi-codegen", "-package", "api", "-generate", "types,client",
		"-o", filepath.Join(generated, "client.go"), document(t))
	w.run(t, w.directory, "go", "run", ".")
}
