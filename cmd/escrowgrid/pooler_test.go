package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// Two servers share a database behind pgbouncer. Neither its end under load nor that of a server
// loses or doubles anything, duties are done, and the whole verifies.
func TestServersBehindAPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "session"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pooler := pgtest.Shared(t).Pooler(t, mode)
			env := []string{
				"DATABASE_URL=" + pooler.Through(t, pgtest.Shared(t).NewDatabase(t)), "DATABASE_CONNECTIONS=8",
				"EXPIRY_INTERVAL=10ms", "CHECKPOINT_INTERVAL=100ms",
			}
			one, other := serve(t, env, "--migrate"), serve(t, env)
			b := openBank(t, one.Client)
			l := startLoad(t, []bank{b}, one.Client, other.Client)
			l.awaitMore(t, one, 100)
			pooler.Restart(t)
			l.awaitMore(t, one, 100)
			other.end(t, syscall.SIGKILL)
			other = serve(t, env)
			l.moveTo(one.Client, other.Client)
			l.awaitMore(t, one, 100)
			l.stop(t, other.Client)

			admin := one.As(b.key)
			claim := strings.TrimSuffix(b.claim("due"), "}") + `, "expiresAt": "` +
				time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"}`
			position := admin.Post(t, "/positions", claim).Want(t, 201).Text("id")
			other.eventually(t, "the position expires", func() bool {
				return other.As(b.key).Get(t, "/positions/"+position).Want(t, 200).Text("state") == "EXPIRED"
			})
			one.awaitSigned(t, b, len(admin.Walk(t, "/audit-events?limit=1000", "sequence")))
			for _, p := range []*process{one, other} {
				if code := p.end(t, syscall.SIGTERM); code != exitOK {
					t.Errorf("a server ends with %d", code)
				}
			}
			if code, stdout, stderr := call(t, env, "verify"); code != exitOK {
				t.Errorf("verify ends with %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

func TestAServerRefusesAParameterThatAPoolerDoesNotPassOn(t *testing.T) {
	t.Parallel()
	through := pgtest.Shared(t).Pooler(t, "transaction").Through(t, pgtest.Shared(t).NewDatabase(t))
	env := []string{"DATABASE_URL=" + through + "&search_path=elsewhere", "ROOT_API_KEY=" + testRootKey}
	if code, _, stderr := call(t, env, "serve"); code != exitFailure || !strings.Contains(stderr, "search_path; give it to the role") {
		t.Errorf("it ends with %d: %s", code, stderr)
	}
}
