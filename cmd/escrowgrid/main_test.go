package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// testRootKey is the operator's, where a test chooses it.
const testRootKey = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"

// testRelease is the version of the program that is tested.
const testRelease = "1.2.3-test"

// binary is the program, built once: what is tested here is what is shipped.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	directory, err := os.MkdirTemp("", "escrowgrid-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	binary = filepath.Join(directory, "escrowgrid")
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program:", err)
		return 1
	}
	return pgtest.Run(m)
}

// build builds the program as a release is built. Where go test measures coverage,
// it sets GOCOVERDIR and adds up what the program writes there when it ends.
func build() error {
	args := []string{"build", "-o", binary, "-buildvcs=false", "-ldflags", "-X main.release=" + testRelease}
	if testing.CoverMode() != "" {
		args = append(args, "-cover", "-coverpkg=github.com/escrowgrid/escrowgrid/...")
	}
	command := exec.CommandContext(context.Background(), "go", append(args, ".")...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	return command.Run()
}

// variables are those that a server reads.
var variables = []string{
	"PORT", "HOST", "DATABASE_URL", "DATABASE_CONNECTIONS", "ROOT_API_KEY", "ROOT_API_KEY_PREVIOUS", "ROOT_API_KEY_ALLOWED_IPS", "TRUSTED_PROXIES", "KEY_DERIVATION_SECRET", "METRICS_API_KEY", "PUBLIC_DOCS_ENABLED",
	"CORS_ALLOWED_ORIGINS", "RATE_LIMIT_ENABLED", "RATE_LIMIT_RPS", "RATE_LIMIT_BURST", "RATE_LIMIT_INSTITUTION_RPS", "RATE_LIMIT_INSTITUTION_BURST", "REQUEST_TIMEOUT", "SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT", "QUEUE_SIZE", "GROUP_SIZE",
	"CHECKPOINT_ORIGIN", "CHECKPOINT_SIGNING_KEY", "CHECKPOINT_INTERVAL", "VERIFY_INTERVAL", "EXPIRY_INTERVAL", "LOG_LEVEL", "LOG_FORMAT",
	"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_TRACES_SAMPLER",
	"OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME",
}

// secretVariables have no flags.
var secretVariables = []string{
	"ROOT_API_KEY", "ROOT_API_KEY_PREVIOUS", "KEY_DERIVATION_SECRET", "METRICS_API_KEY", "CHECKPOINT_SIGNING_KEY", "OTEL_EXPORTER_OTLP_HEADERS",
}

func TestHelpTellsHowToUseTheProgram(t *testing.T) {
	overview := []string{
		"Usage: escrowgrid <command>", "\n  serve ", "\n  migrate ", "\n  demo ", "\n  openapi ", "\n  version ",
		"DATABASE_URL=postgres://", "Exit codes: 0 success, 1 failure, 2 wrong", "escrowgrid demo\n",
	}
	ofServer := []string{"Usage: escrowgrid serve [flags]", "--migrate ", "--print-config "}
	ofDemo := []string{"Usage: escrowgrid demo [flags]"}
	for _, name := range variables {
		shown := "($" + name + ")"
		if slices.Contains(secretVariables, name) {
			shown = "$" + name + ": "
		}
		ofServer, ofDemo = append(ofServer, shown), append(ofDemo, shown)
	}
	secrets := []string{"ROOT_API_KEY_PREVIOUS=" + testRootKey, "API_KEY=" + testRootKey, "ROOT_API_KEY=" + testRootKey, "METRICS_API_KEY=" + testRootKey, "DATABASE_URL=postgres://u:hidden@h/d", "CHECKPOINT_SIGNING_KEY=PRIVATE+KEY+hidden"}
	for args, tells := range map[string][]string{
		"":                   overview,
		"-h":                 overview,
		"--help":             overview,
		"serve --help":       ofServer,
		"demo --help":        ofDemo,
		"migrate --help":     {"Usage: escrowgrid migrate [flags]", "($DATABASE_URL)", "($DATABASE_CONNECTIONS)"},
		"verify --help":      {"Usage: escrowgrid verify [flags]", "($DATABASE_URL)", "$API_KEY: ", "--bundle=FILE", "--public-key=KEY", "Exit codes: 0 all is"},
		"export --help":      {"Usage: escrowgrid export --institution=ID --output=FILE", "($DATABASE_URL)", "$API_KEY: ", "--url=URL"},
		"backup --help":      {"Usage: escrowgrid backup --output=FILE", "($DATABASE_URL)", "while a server uses it"},
		"restore --help":     {"Usage: escrowgrid restore <backup>", "($DATABASE_URL)"},
		"copy --help":        {"Usage: escrowgrid copy --from=URL --to=URL", "($COPY_FROM)", "($DATABASE_URL)", "Exit codes: 0 copied"},
		"import --help":      {"Usage: escrowgrid import --from-prototype=URL", "($PROTOTYPE_URL)", "--dry-run", "Exit codes: 0 everything"},
		"signing-key --help": {"Usage: escrowgrid signing-key", "CHECKPOINT_ORIGIN"},
		"openapi --help":     {"Usage: escrowgrid openapi", "Print the OpenAPI 3.1 document"},
		"version --help":     {"Usage: escrowgrid version", "Print the version"},
	} {
		t.Run("escrowgrid "+args, func(t *testing.T) {
			code, stdout, stderr := call(t, secrets, strings.Fields(args)...)
			if code != 0 || stderr != "" {
				t.Errorf("it ends with %d and %q", code, stderr)
			}
			for _, part := range tells {
				if !strings.Contains(stdout, part) {
					t.Errorf("%q is not in:\n%s", part, stdout)
				}
			}
			if strings.Contains(stdout, testRootKey) || strings.Contains(stdout, "hidden") {
				t.Errorf("it tells a secret:\n%s", stdout)
			}
		})
	}
}

func TestVersionIsThatOfTheRelease(t *testing.T) {
	if code, asFlag, _ := call(t, nil, "--version"); code != exitOK || !strings.HasPrefix(asFlag, "escrowgrid ") {
		t.Errorf("--version ends with %d and %q", code, asFlag)
	}
	code, stdout, stderr := call(t, nil, "version")
	if code != 0 || stdout != "escrowgrid "+testRelease+"\n" || stderr != "" {
		t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
	}
}

func TestOpenAPIPrintsTheDocument(t *testing.T) {
	want, err := httpapi.Specification()
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, nil, "openapi")
	if code != 0 || stdout != string(want)+"\n" || stderr != "" {
		t.Errorf("it ends with %d, %q and %.200q", code, stderr, stdout)
	}
}

// What is not understood is exit code 2, and the message does not repeat secrets.
func TestWrongUsage(t *testing.T) {
	for args, says := range map[string]string{
		"nonsense":                              "nonsense",
		"--nonsense":                            "--nonsense",
		"serve nonsense":                        "nonsense",
		"serve --nonsense":                      "--nonsense",
		"serve --port":                          "--port",
		"version --port=1":                      "--port",
		"migrate --root-api-key=" + testRootKey: "--root-api-key",
		"serve --root-api-kye=" + testRootKey:   "--root-api-kye",
	} {
		t.Run("escrowgrid "+args, func(t *testing.T) {
			code, stdout, stderr := call(t, nil, strings.Fields(args)...)
			if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "escrowgrid: ") || !strings.Contains(stderr, says) || !strings.Contains(stderr, "--help") {
				t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
			}
			if strings.Contains(stderr, testRootKey) {
				t.Errorf("it tells a secret: %s", stderr)
			}
		})
	}
}

// What is understood and fails is exit code 1, and the message says why.
func TestFailures(t *testing.T) {
	directory := t.TempDir()
	cut, closed := filepath.Join(directory, "cut.db"), filepath.Join(directory, "closed.db")
	if err := os.WriteFile(cut+".root-key", []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(closed+".root-key", 0o700); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(directory, "missing", "e.db")
	for name, test := range map[string]struct {
		env     []string
		command string
		says    string
	}{
		"serve in a directory that is not there":   {[]string{"DATABASE_URL=sqlite:" + missing}, "serve", "no such file"},
		"migrate in a directory that is not there": {[]string{"DATABASE_URL=sqlite:" + missing}, "migrate", "no such file"},
		"migrate without a database":               {[]string{"DATABASE_URL=postgres://me:hidden@127.0.0.1:1/name"}, "migrate", "failed to connect to `user=me database=name`: 127.0.0.1:1: connect: connection refused\n"},
		"a root key that is cut":                   {[]string{"DATABASE_URL=sqlite:" + cut}, "serve", "fewer than 32 characters"},
		"a root key that cannot be read":           {[]string{"DATABASE_URL=sqlite:" + closed}, "serve", "read the root key"},
		"an address of another machine":            {[]string{"DATABASE_URL=sqlite::memory:", nowhere}, "serve", "listen on 192.0.2.1:4000: bind: cannot assign requested address: HOST takes an address"},
		"a host that is none":                      {[]string{"DATABASE_URL=sqlite::memory:", "HOST=no such host"}, "serve", "HOST takes an address or name of this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := call(t, test.env, test.command)
			if code != 1 || stdout != "" || !strings.Contains(stderr, "escrowgrid: ") || !strings.Contains(stderr, test.says) {
				t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
			}
			if strings.Contains(stderr, "hidden") {
				t.Errorf("it tells a secret: %s", stderr)
			}
		})
	}
}
