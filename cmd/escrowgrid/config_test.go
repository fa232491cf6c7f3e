package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// A wrong value stops the start with one line that names the variable, the value
// and what it takes, and leaves nothing behind.
func TestAWrongValueIsNamedByItsVariable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 32)
	for _, test := range []struct{ variable, value, shown, takes string }{
		{"PORT", "http", "http", "0 to 65535"},
		{"PORT", "65536", "65536", "0 to 65535"},
		{"PORT", "-1", "-1", "0 to 65535"},
		{"ROOT_API_KEY_ALLOWED_IPS", ",", "(list)", "without empty elements"},
		{"TRUSTED_PROXIES", "10.0.0.1,,10.0.0.2", "(list)", "without empty elements"},
		{"CORS_ALLOWED_ORIGINS", ", ", "(list)", "without empty elements"},
		{"CLIENT_ADDRESS_HEADER", "X-Real-IP", "X-Real-IP", "X-Forwarded-For or Forwarded"},
		{"DATABASE_URL", "sqlite://rel.db", "sqlite:…", "; for that file, sqlite:rel.db"},
		{"DATABASE_URL", "sqlite:///data/q.db", "sqlite:…", "sqlite:PATH"},
		{"DATABASE_URL", "sqlite:q.db?mode=ro", "sqlite:…", "sqlite:PATH"},
		{"DATABASE_URL", "sqlite:file:q.db", "sqlite:…", "sqlite:PATH"},
		{"DATABASE_URL", "mysql://user:hidden@host/name", "mysql:…", "sqlite:PATH"},
		{"DATABASE_URL", "host=db user=me password=hidden", "(not shown)", "sqlite:PATH"},
		{"DATABASE_URL", "me:hidden@host/name", "me:…", "sqlite:PATH"},
		{"DATABASE_URL", "password=hidden:x", "(not shown)", "sqlite:PATH"},
		{"DATABASE_URL", "escrowgrid.db", "(not shown)", "; for that file, sqlite:escrowgrid.db"},
		{"DATABASE_URL", "/data/q.sqlite", "(not shown)", "sqlite:/data/q.sqlite"},
		{"DATABASE_URL", "sqlite:", "sqlite:…", "sqlite:PATH"},
		{"DATABASE_URL", "postgres://me:hidden@%zz/name", "postgres:…", "postgres://"},
		{"DATABASE_URL", "postgresql://me:hidden@host/name?sslmode=hidden", "postgresql:…", "postgres://"},
		{"DATABASE_CONNECTIONS", "-1", "-1", "0 to 1000"},
		{"ROOT_API_KEY", "hidden", "(secret)", "32 characters"},
		{"ROOT_API_KEY", "hidden" + long + "\n", "(secret)", "visible ASCII"},
		{"ROOT_API_KEY", "hidden" + long + "é", "(secret)", "visible ASCII"},
		{"ROOT_API_KEY_PREVIOUS", "hidden", "(secret)", "32 characters"},
		{"KEY_DERIVATION_SECRET", testRootKey + ",hidden", "(secret)", "32 characters"},
		{"ENCRYPTION_KEY", "hidden", "(secret)", "64 hexadecimal digits"},
		{"EGRESS_ALLOWED_NETWORKS", "office", "office", "networks"},
		{"PUBLIC_URL", "http://escrow.example.com", "http://escrow.example.com", "an origin like"},
		{"PUBLIC_URL", "https://escrow.example.com/console", "https://escrow.example.com/console", "an origin like"},
		{"OPERATOR_OIDC_ISSUER", "login.example.com", "login.example.com", "a URL like"},
		{"ROOT_API_KEY_DISABLED", "yes", "yes", "true or false"},
		{"METRICS_API_KEY", "hidden", "(secret)", "32 characters"},
		{"METRICS_API_KEY", "hidden " + long, "(secret)", "visible ASCII"},
		{"ROOT_API_KEY_ALLOWED_IPS", "10.0.0.0/33", "10.0.0.0/33", "networks"},
		{"ROOT_API_KEY_ALLOWED_IPS", "10.0.0.0/8,office", "10.0.0.0/8,office", "networks"},
		{"TRUSTED_PROXIES", "localhost", "localhost", "networks"},
		{"TRUSTED_PROXIES", "::ffff:10.0.0.0/90", "::ffff:10.0.0.0/90", "networks"},
		{"PUBLIC_DOCS_ENABLED", "yes", "yes", "true or false"},
		{"CORS_ALLOWED_ORIGINS", "console.example.com", "console.example.com", "origins"},
		{"CORS_ALLOWED_ORIGINS", "https://a.example.com/", "https://a.example.com/", "origins"},
		{"CORS_ALLOWED_ORIGINS", "https://a.example.com,*.example.com", "https://a.example.com,*.example.com", "origins"},
		{"RATE_LIMIT_ENABLED", "1", "1", "true or false"},
		{"RATE_LIMIT_RPS", "0", "0", "1 to 1000000"},
		{"RATE_LIMIT_BURST", "many", "many", "1 to 1000000"},
		{"RATE_LIMIT_INSTITUTION_RPS", "0", "0", "1 to 1000000"},
		{"RATE_LIMIT_INSTITUTION_BURST", "many", "many", "1 to 1000000"},
		{"REQUEST_TIMEOUT", "15", "15", "duration"},
		{"REQUEST_TIMEOUT", "1ms", "1ms", "duration"},
		{"SHUTDOWN_DELAY", "-1s", "-1s", "duration"},
		{"SHUTDOWN_TIMEOUT", "-1s", "-1s", "duration"},
		{"QUEUE_SIZE", "0", "0", "whole number"},
		{"OTEL_TRACES_EXPORTER", "console", "console", "none or otlp"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "localhost:4318", "a URL like"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hidden@collector:4318", "(not shown)", "a URL like"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "hidden", "(secret)", "percent-encoded"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization=%zz-hidden", "(secret)", "percent-encoded"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "grpc", "http/protobuf"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "sometimes", "traceidratio"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN", "NaN", "from 0 to 1"},
		{"GROUP_SIZE", "10001", "10001", "whole number"},
		{"EXPIRY_INTERVAL", "never", "never", "duration"},
		{"CHECKPOINT_INTERVAL", "1ms", "1ms", "duration"},
		{"VERIFY_INTERVAL", "1ms", "1ms", "duration"},
		{"VERIFY_INTERVAL", "never", "never", "duration"},
		{"CHECKPOINT_ORIGIN", "Meridian Bank", "Meridian Bank", "a name"},
		{"CHECKPOINT_SIGNING_KEY", "PRIVATE+KEY+hidden", "(secret)", "escrowgrid signing-key"},
		{"CHECKPOINT_SIGNING_KEY", "PRIVATE+KEY+hidden.example.com+06f581ef+AeFhbxZpl6nhDEJlvZuCNGzDTUaKOwqmLMtv6xJI8SCU", "(secret)", "escrowgrid signing-key"},
		{"LOG_LEVEL", "loud", "loud", "debug, info, warn or error"},
		{"LOG_LEVEL", "info+2", "info+2", "debug, info, warn or error"},
		{"LOG_FORMAT", "xml", "xml", "json or text"},
	} {
		t.Run(test.variable+" "+test.value, func(t *testing.T) {
			t.Parallel()
			flag := "--" + strings.ReplaceAll(strings.ToLower(test.variable), "_", "-") + "=" + test.value
			testWrongValue(t, test.variable, test.shown, test.takes, []string{test.variable + "=" + test.value}, "serve")
			if strings.Contains(test.value, "hidden") {
				return // No flag takes a secret.
			}
			testWrongValue(t, test.variable, test.shown, test.takes, nil, "serve", flag)
			testWrongValue(t, test.variable, test.shown, test.takes, nil, "demo", flag)
			if strings.HasPrefix(test.variable, "DATABASE_") {
				testWrongValue(t, test.variable, test.shown, test.takes, nil, "migrate", flag)
			}
		})
	}
}

// A variable that another was to fill is no wish for the default.
func TestAVariableThatIsSetButEmptyIsRefused(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{
		"PORT", "HOST", "DATABASE_URL", "ROOT_API_KEY_ALLOWED_IPS", "TRUSTED_PROXIES", "SIGNED_CHECKPOINTS_PATH", "OTEL_SERVICE_NAME",
		"CHECKPOINT_ORIGIN",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			flag := "--" + strings.ReplaceAll(strings.ToLower(variable), "_", "-")
			for _, value := range []string{"", " "} {
				testWrongValue(t, variable, value, "is set, but empty", []string{variable + "=" + value}, "serve")
			}
			testWrongValue(t, variable, "", "is set, but empty", nil, "serve", flag+"=")
		})
	}
	for _, env := range []string{"ROOT_API_KEY=", "METRICS_API_KEY=", "CHECKPOINT_SIGNING_KEY= ", "ROOT_API_KEY_FILE=", "DATABASE_URL_FILE="} {
		code, _, stderr := call(t, []string{nowhere, env}, "serve")
		if variable, _, _ := strings.Cut(env, "="); code != exitUsage || !strings.Contains(stderr, "is set, but empty") || !strings.Contains(stderr, variable+": ") {
			t.Errorf("%q ends with %d: %s", env, code, stderr)
		}
	}
}

// A server that would be another than the prototype's was is not started.
func TestVariablesOfThePrototype(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"STORE_BACKEND=postgres":      "name the database in DATABASE_URL",
		"STORE_BACKEND=memory":        "DATABASE_URL=sqlite::memory:",
		"ONCHAIN_LEDGER_ENABLED=true": "records nothing on a chain",
	} {
		code, _, stderr := call(t, []string{nowhere, env}, "serve")
		if variable, _, _ := strings.Cut(env, "="); code != exitUsage || !strings.Contains(stderr, "escrowgrid: "+variable+": ") || !strings.Contains(stderr, want) {
			t.Errorf("%q ends with %d: %s", env, code, stderr)
		}
	}

	// A database that is not meant is not made either.
	file := filepath.Join(t.TempDir(), "empty.db")
	code, _, stderr := call(t, []string{"DATABASE_URL=sqlite:" + file, "STORE_BACKEND=postgres"}, "migrate")
	if _, err := os.Stat(file); code != exitUsage || !strings.Contains(stderr, "STORE_BACKEND") || !os.IsNotExist(err) {
		t.Errorf("migrate ends with %d: %s, the file: %v", code, stderr, err)
	}

	p := serve(t, []string{
		"DATABASE_URL=sqlite::memory:", "STORE_BACKEND=memory", "RATE_LIMIT_WINDOW_MS=60000", "ONCHAIN_LEDGER_ENABLED=false", "METRICS_ENABLED=true",
	})
	p.end(t, syscall.SIGTERM)
	for _, variable := range []string{"STORE_BACKEND", "RATE_LIMIT_WINDOW_MS", "ONCHAIN_LEDGER_ENABLED", "METRICS_ENABLED"} {
		if !strings.Contains(p.stderr.String(), variable) {
			t.Errorf("nothing is said of %s:\n%s", variable, p.stderr.String())
		}
	}
	if strings.Contains(p.stderr.String(), "RATE_LIMIT_MAX_REQUESTS") {
		t.Errorf("a variable is named that is not set:\n%s", p.stderr.String())
	}
}

// nowhere is an address of another machine: a server that starts nevertheless does
// not serve, but fails.
const nowhere = "HOST=192.0.2.1"

func testWrongValue(t *testing.T, variable, shown, takes string, env []string, args ...string) {
	t.Helper()
	p := launch(t, append([]string{"ROOT_API_KEY=" + testRootKey, nowhere}, env...), args...)
	code, line := p.wait(t), p.stderr.String()
	if code != 2 || p.stdout.String() != "" || strings.Count(line, "\n") != 1 {
		t.Errorf("%s ends with %d, %q and %q", args, code, p.stdout.String(), line)
	}
	for _, part := range []string{"escrowgrid: " + variable + ":", fmt.Sprintf("%q", shown), takes} {
		if !strings.Contains(line, part) {
			t.Errorf("%s: %q is not in %q", args, part, line)
		}
	}
	if strings.Contains(line, "hidden") {
		t.Errorf("%s: the line tells a secret: %q", args, line)
	}
	if left, err := os.ReadDir(p.cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("%s leaves %v, %v", args, left, err)
	}
}

func TestAFlagWinsOverItsVariable(t *testing.T) {
	code, _, stderr := call(t, []string{nowhere, "LOG_FORMAT=json"}, "serve", "--log-format=xml")
	if code != 2 || !strings.Contains(stderr, `"xml"`) {
		t.Errorf("it ends with %d: %s", code, stderr)
	}
}

// What is printed is the configuration that counts, as an environment file has it, and no
// secret is in it.
func TestTheConfigurationIsPrintedWithoutSecrets(t *testing.T) {
	code, stdout, stderr := call(t, []string{
		"ROOT_API_KEY=hidden" + testRootKey, "DATABASE_URL=postgres://me:hidden@db/name?password=hidden", "QUEUE_SIZE=77",
	}, "serve", "--print-config", "--group-size=99")
	if code != exitOK || stderr != "" || strings.Contains(stdout, "hidden") {
		t.Fatalf("it ends with %d, %q and %q", code, stdout, stderr)
	}
	printed := make(map[string]string)
	for line := range strings.Lines(stdout) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if comment, isComment := strings.CutPrefix(name, "# "); isComment {
			name = comment
		} else if value == "" {
			t.Errorf("%s is printed as set, but empty, which is refused", name)
		}
		printed[name] = value
	}
	for _, name := range variables {
		if _, ok := printed[name]; !ok {
			t.Errorf("%s is not printed", name)
		}
	}
	for name, want := range map[string]string{
		"ROOT_API_KEY": "(set)", "METRICS_API_KEY": "", "DATABASE_URL": "postgres://me:xxxxx@db/name", "QUEUE_SIZE": "77", "GROUP_SIZE": "99",
		"PUBLIC_DOCS_ENABLED": "true", "LOG_LEVEL": "info", "REQUEST_TIMEOUT": "15s",
	} {
		if printed[name] != want {
			t.Errorf("%s is printed as %q, want %q", name, printed[name], want)
		}
	}
	if code, stdout, _ := call(t, nil, "serve", "--print-config", "--queue-size=0"); code != exitUsage || stdout != "" {
		t.Errorf("a wrong one ends with %d and %q", code, stdout)
	}
}

// The root key is changed while the server, and whoever uses the old key, go on.
func TestTwoRootKeysAreValidAtOnce(t *testing.T) {
	old := "old-" + testRootKey
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "ROOT_API_KEY_PREVIOUS=" + old})
	for _, key := range []string{testRootKey, old} {
		p.As(key).Post(t, "/institutions", `{"name": "M", "regions": ["US"]}`).Want(t, 201)
		p.As(key).Get(t, "/metrics").Want(t, 200)
	}
	p.As(old+"x").Get(t, "/institutions").Want(t, 401)
}

func TestPostgresNeedsARootKey(t *testing.T) {
	// No database is there: it is not even asked.
	env := []string{nowhere, "DATABASE_URL=postgres://me:hidden@127.0.0.1:1/name"}
	code, _, stderr := call(t, env, "serve", "--migrate")
	if code != 2 || !strings.HasPrefix(stderr, "escrowgrid: ROOT_API_KEY:") || !strings.Contains(stderr, "32 characters") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("it ends with %d: %s", code, stderr)
	}
}

// Each value reaches the part of the server that it is for.
func TestVariablesAreMinded(t *testing.T) {
	const metricsKey = "metrics-key-0123456789abcdefghijklmnopqrstuvw"
	type exchange struct {
		key, path, header string
		status            int
	}
	for variables, exchanges := range map[string][]exchange{
		"METRICS_API_KEY=" + metricsKey: {
			{metricsKey, "/metrics", "", 200}, {metricsKey, "/institutions", "", 401}, {testRootKey, "/metrics", "", 200},
		},
		"ROOT_API_KEY_ALLOWED_IPS=192.0.2.7,10.0.0.0/8 TRUSTED_PROXIES=127.0.0.1": {
			{testRootKey, "/institutions", "", 403},
			{testRootKey, "/institutions", "X-Forwarded-For: 192.0.2.7", 200},
			{testRootKey, "/institutions", "X-Forwarded-For: 192.0.2.8", 403},
			{testRootKey, "/institutions", "X-Forwarded-For: 10.9.8.7", 200},
		},
		// Networks and addresses are the same whether they are mapped into IPv6 or not.
		"ROOT_API_KEY_ALLOWED_IPS=::ffff:192.0.2.0/120,::ffff:198.51.100.1 TRUSTED_PROXIES=::ffff:127.0.0.1": {
			{testRootKey, "/institutions", "X-Forwarded-For: 192.0.2.7", 200},
			{testRootKey, "/institutions", "X-Forwarded-For: ::ffff:192.0.2.7", 200},
			{testRootKey, "/institutions", "X-Forwarded-For: 198.51.100.1", 200},
			{testRootKey, "/institutions", "X-Forwarded-For: 198.51.100.2", 403},
			{testRootKey, "/institutions", "X-Forwarded-For: 203.0.113.1", 403},
		},
		"ROOT_API_KEY_ALLOWED_IPS=127.0.0.0/8": {
			{testRootKey, "/institutions", "X-Forwarded-For: 192.0.2.8", 200},
		},
		"HOST=127.0.0.1":                           {{"", "/docs", "", 200}},
		"HOST=0.0.0.0":                             {{"", "/docs", "", 401}, {testRootKey, "/docs", "", 200}},
		"HOST=0.0.0.0 PUBLIC_DOCS_ENABLED=true":    {{"", "/docs", "", 200}},
		"HOST=localhost PUBLIC_DOCS_ENABLED=false": {{"", "/docs", "", 401}},
	} {
		t.Run(variables, func(t *testing.T) {
			p := serve(t, append(strings.Fields(variables), "DATABASE_URL=sqlite::memory:"))
			for _, e := range exchanges {
				r := apitest.Request{Method: http.MethodGet, Path: e.path}
				if e.header != "" {
					r.Headers = []string{e.header}
				}
				if answer := p.As(e.key).Send(t, r); answer.Status != e.status {
					t.Errorf("%+v is answered with %s", e, answer)
				}
			}
		})
	}
	t.Run("CORS_ALLOWED_ORIGINS", func(t *testing.T) {
		p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "CORS_ALLOWED_ORIGINS=https://a.example.com, https://b.example.com"})
		allowed := p.Get(t, "/institutions", "Origin: https://b.example.com").Header.Get("Access-Control-Allow-Origin")
		other := p.Get(t, "/institutions", "Origin: https://c.example.com").Header.Get("Access-Control-Allow-Origin")
		if allowed != "https://b.example.com" || other != "" {
			t.Errorf("the answers allow %q and %q", allowed, other)
		}
	})
	t.Run("RATE_LIMIT_RPS and RATE_LIMIT_BURST", func(t *testing.T) {
		p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "RATE_LIMIT_RPS=1", "RATE_LIMIT_BURST=1"})
		p.eventually(t, "a request is one too many", func() bool { return p.Get(t, "/institutions").Status == http.StatusTooManyRequests })
	})
	t.Run("RATE_LIMIT_ENABLED", func(t *testing.T) {
		p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "RATE_LIMIT_RPS=1", "RATE_LIMIT_BURST=1", "RATE_LIMIT_ENABLED=false"})
		for range 20 {
			p.Get(t, "/institutions").Want(t, 200)
		}
	})
	t.Run("LOG_FORMAT and LOG_LEVEL", func(t *testing.T) {
		p := launch(t, []string{"DATABASE_URL=sqlite::memory:", "PORT=0", "LOG_FORMAT=text", "LOG_LEVEL=info"}, "serve")
		p.eventually(t, "the server listens", func() bool { return strings.Contains(p.stderr.String(), "level=INFO msg=serving ") })
	})
}
