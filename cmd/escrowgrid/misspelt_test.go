package main

import (
	"strings"
	"syscall"
	"testing"
)

// Who mistypes a variable is told; variables of others are none of our business.
func TestMisspeltVariablesAreNamed(t *testing.T) {
	t.Parallel()
	wrong := map[string]string{
		"PROT": "PORT", "HSOT": "HOST", "DATABSE_URL": "DATABASE_URL", "DATABASE_URI": "DATABASE_URL", "LOGLEVEL": "LOG_LEVEL",
		"root_api_key_file": "ROOT_API_KEY_FILE", "ROOT_API_KEY_FLIE": "ROOT_API_KEY_FILE", "QUEUE-SIZE": "QUEUE_SIZE", "RATE_LIMITS_RPS": "RATE_LIMIT_RPS",
	}
	others := []string{
		"PATH", "POST", "PORTS", "SORT", "HOSTS", "HOSTNAME", "COST", "PWD", "LANG", "LOGNAME", "SHELL", "DATABASE_HOST", "DATABASE_PORT", "API_KEYS",
		"ESCROWGRID_PORT", "ESCROWGRID_SERVICE_HOST", "ESCROWGRID_PORT_4000_TCP_PORT", "POSTGRES_HOST", "PGHOST", "PGPASSWORD", "GOGC_", "GODEBUGS",
		"OTEL_SERVICE_VERSION", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "LOG_DIR", "REQUEST_ID", "API_URL", "DATABASE_NAME", "KUBERNETES_PORT", "TARGET_OPS",
	}
	env := []string{"DATABASE_URL=sqlite::memory:"}
	for name := range wrong {
		env = append(env, name+"=x")
	}
	for _, name := range others {
		env = append(env, name+"=x")
	}
	server := serve(t, env)
	server.end(t, syscall.SIGTERM)
	code, _, stderr := call(t, append(env, nowhere), "serve", "--log-format=text")
	_, _, other := call(t, env, "verify")
	for name, meant := range wrong {
		if !strings.Contains(server.stderr.String(), `"variable":"`+name+`","read":"`+meant+`"`) || !strings.Contains(stderr, "variable="+name+" read="+meant) {
			t.Errorf("the server does not say that %s is not %s:\n%s", name, meant, stderr)
		}
	}
	if warned := strings.Count(stderr, "read="); code != exitFailure || warned != len(wrong) {
		t.Errorf("%d variables are told of, not %d:\n%s", warned, len(wrong), stderr)
	}
	if !strings.HasPrefix(other, `escrowgrid: warning: "DATABASE_URI" is not read: is DATABASE_URL meant?`+"\n") || strings.Count(other, "warning") != 2 {
		t.Errorf("verify says %s", other)
	}

	// What is missing may be what was mistyped.
	_, _, missing := call(t, []string{"DATABASE_URL=postgres://me@127.0.0.1:1/name", "ROOT_API_KYE=" + testRootKey}, "serve")
	if !strings.Contains(missing, `"ROOT_API_KYE","read":"ROOT_API_KEY"`) || strings.Contains(missing, testRootKey) {
		t.Errorf("without the root key the server says %s", missing)
	}
}
