package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// What was acknowledged is there after kill -9, and what was repeated after it was
// done once.
func TestAcknowledgedWritesOutliveKill9(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		env := []string{"DATABASE_URL=" + databaseURL}
		p := serve(t, env, "--migrate")
		l := startLoad(t, []bank{openBank(t, p.Client), openBank(t, p.Client), openBank(t, p.Client)}, p.Client)
		for range 20 {
			// Not always at the same moment of a batch.
			l.awaitMore(t, p, 20+rand.Int64N(40))
			p.end(t, syscall.SIGKILL)
			p = serve(t, env)
			l.moveTo(p.Client)
		}
		l.awaitMore(t, p, 20)
		l.stop(t, p.Client)
	})
}

// Two servers on one database write to one institution at once, and when one is
// killed the other goes on.
func TestTwoServersShareAnInstitution(t *testing.T) {
	env := []string{"DATABASE_URL=" + pgtest.Shared(t).NewDatabase(t)}
	one, other := serve(t, env, "--migrate"), serve(t, env)
	l := startLoad(t, []bank{openBank(t, one.Client)}, one.Client, other.Client)
	l.awaitMore(t, one, 500)
	other.end(t, syscall.SIGKILL)
	l.awaitMore(t, one, 500)
	l.stop(t, one.Client)
}

func TestAKeyRevokedOnOneServerIsRefusedByTheOther(t *testing.T) {
	env := []string{"DATABASE_URL=" + pgtest.Shared(t).NewDatabase(t)}
	one, other := serve(t, env, "--migrate"), serve(t, env)
	b := openBank(t, one.Client)
	keys := "/institutions/" + b.id + "/api-keys"
	for range 10 {
		key := one.Post(t, keys, `{"label": "short-lived", "role": "admin"}`).Want(t, 201)
		there := other.As(key.Text("apiKey"))
		there.Get(t, "/positions").Want(t, 200)
		there.Post(t, "/positions", b.claim("before")).Want(t, 201)
		one.Post(t, keys+"/"+key.Text("id")+"/revoke", "").Want(t, 200)
		there.Post(t, "/positions", b.claim("after")).Refused(t, 401, "invalid_api_key")
		there.Get(t, "/positions").Refused(t, 401, "invalid_api_key")
	}
	if after := other.As(b.key).Walk(t, "/positions?externalReference=after", "id"); len(after) > 0 {
		t.Errorf("%v were made with revoked keys", after)
	}
}

// PostgreSQL crashes under load, comes back at once or after a while, and the
// server goes on by itself.
func TestTheServerOutlivesCrashesOfPostgres(t *testing.T) {
	database := pgtest.Start(t, pgcluster.WithDurability())
	p := serve(t, []string{"DATABASE_URL=" + database.NewDatabase(t)}, "--migrate")
	l := startLoad(t, []bank{openBank(t, p.Client), openBank(t, p.Client), openBank(t, p.Client)}, p.Client)
	for range 3 {
		l.awaitMore(t, p, 100)
		database.Restart(t)
	}
	l.awaitMore(t, p, 100)
	database.Stop(t)
	failed := l.failed.Load()
	p.eventually(t, "requests are refused", func() bool { return l.failed.Load() > failed })
	p.try(t, "/ready").Want(t, http.StatusServiceUnavailable)
	database.Restart(t)
	p.eventually(t, "the server is ready", func() bool { return p.try(t, "/ready").Status == http.StatusOK })
	l.awaitMore(t, p, 100)
	l.stop(t, p.Client)
}

// A server that is frozen keeps no duty: another takes it over, and both go on when the
// first one wakes.
func TestAFrozenServerLeavesItsDuties(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	env := []string{"DATABASE_URL=" + databaseURL, "EXPIRY_INTERVAL=10ms", "CHECKPOINT_INTERVAL=100ms"}
	frozen := serve(t, env, "--migrate")
	b := openBank(t, frozen.Client)
	admin := frozen.As(b.key)

	database, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = database.Close(t.Context()) }()
	frozen.eventually(t, "the server is frozen in the middle of its duty", func() bool {
		frozen.signal(t, syscall.SIGSTOP)
		var held bool
		err := database.QueryRow(t.Context(), "SELECT ends_at > clock_timestamp() FROM duty_leases WHERE duty = 3").Scan(&held)
		if err != nil {
			t.Fatal(err)
		}
		if !held {
			frozen.signal(t, syscall.SIGCONT)
		}
		return held
	})
	other := serve(t, env)
	there := other.As(b.key)
	claim := strings.TrimSuffix(b.claim("due"), "}") + `, "expiresAt": "` + time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano) + `"}`
	position := there.Post(t, "/positions", claim).Want(t, 201).Text("id")
	other.eventually(t, "the other server expires a position", func() bool {
		return there.Get(t, "/positions/"+position).Want(t, 200).Text("state") == "EXPIRED"
	})
	entries := len(there.Walk(t, "/audit-events?limit=1000", "sequence"))
	other.eventually(t, "the other server signs a checkpoint of all of it", func() bool {
		checkpoint := there.Get(t, "/institutions/"+b.id+"/journal/checkpoint")
		return checkpoint.Status == http.StatusOK && checkpoint.Text("size") == fmt.Sprint(entries)
	})

	frozen.signal(t, syscall.SIGCONT)
	admin.Post(t, "/positions", b.claim("after")).Want(t, 201)
	for _, p := range []*process{frozen, other} {
		if code := p.end(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("a server ends with %d", code)
		}
	}
}
