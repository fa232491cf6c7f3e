package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// subject is what is measured: a server, or several on one database, with
// institutions on it.
type subject struct {
	name string
	// program is the servers', database the URL that they have, environment what else they are
	// told.
	program, database string
	environment       []string
	servers           []*testbed.Server
	tenants           []tenant
	// keys begins the idempotency keys, of which each request has its own.
	keys     string
	requests atomic.Int64
}

// tenant is an institution with what its clients were told.
type tenant struct {
	testbed.Tenant
	// since is when what is to be accounted for began; zero is from the first entry.
	since    time.Time
	creation []byte

	mu sync.Mutex
	// created and funded hold the positions whose creation and funding were
	// acknowledged.
	created, funded map[string]bool
}

func (s *subject) addTenants(ctx context.Context, count int) error {
	s.keys = rand.Text()[:12] + "-"
	made, err := s.servers[0].MakeTenants(ctx, "benchmark", count)
	if err != nil {
		return err
	}
	s.tenants = make([]tenant, len(made))
	for i := range made {
		t := &s.tenants[i]
		t.Tenant, t.created, t.funded = made[i], make(map[string]bool), make(map[string]bool)
		t.creation, err = json.Marshal(map[string]string{
			"assetId": made[i].AssetID, "holderReference": "ACME-4711", "currency": "USD", "amount": "1000.00",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *subject) close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// addresses are the hosts and ports of the servers.
func (s *subject) addresses() []string {
	addresses := make([]string, len(s.servers))
	for i, server := range s.servers {
		addresses[i] = strings.TrimPrefix(server.URL, "http://")
	}
	return addresses
}

// idempotencyKey returns a key that no request has had.
func (s *subject) idempotencyKey() string { return s.keys + strconv.FormatInt(s.requests.Add(1), 10) }

func (s *subject) tenantOf(worker int) *tenant { return &s.tenants[worker%len(s.tenants)] }

var funding = []byte(`{"toState":"FUNDED"}`)

// create makes a position.
func (s *subject) create(worker int, c *connection) (id string, err error) {
	t := s.tenantOf(worker)
	made, err := c.expect(http.StatusCreated, request{
		method: http.MethodPost, path: "/positions", apiKey: t.APIKey, idempotencyKey: s.idempotencyKey(), body: t.creation,
	})
	if err != nil {
		return "", err
	}
	id = strings.TrimPrefix(made.location, "/positions/")
	t.mu.Lock()
	t.created[id] = true
	t.mu.Unlock()
	return id, nil
}

// fund funds a position.
func (s *subject) fund(worker int, c *connection, id string) error {
	t := s.tenantOf(worker)
	_, err := c.expect(http.StatusOK, request{
		method: http.MethodPost, path: "/positions/" + id + "/transition", apiKey: t.APIKey, idempotencyKey: s.idempotencyKey(), body: funding,
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.funded[id] = true
	t.mu.Unlock()
	return nil
}

// pair makes a position and funds it.
func (s *subject) pair(worker int, c *connection) error {
	id, err := s.create(worker, c)
	if err != nil {
		return err
	}
	return s.fund(worker, c, id)
}

// account reads the ledgers and returns an error unless every acknowledged write is
// in them once. Writes that were not acknowledged may be there too, as extra.
func (s *subject) account(ctx context.Context) error {
	for i := range s.tenants {
		if err := s.tenants[i].account(ctx, s.servers[0].Client); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (t *tenant) account(ctx context.Context, client apiclient.Client) error {
	type event struct {
		PositionID string `json:"positionId"`
		Kind       string `json:"kind"`
		Sequence   int64  `json:"sequence"`
	}
	created, funded := make(map[string]int, len(t.created)), make(map[string]int, len(t.funded))
	last := int64(0)
	query := make(url.Values)
	if !t.since.IsZero() {
		query.Set("createdFrom", t.since.UTC().Format(time.RFC3339))
	}
	err := apiclient.List(ctx, client, t.APIKey, "/ledger-events", query, func(e event) error {
		// After the first page the cursor says as much, and need not be looked for.
		query.Del("createdFrom")
		if e.Kind == "POSITION_CREATED" {
			created[e.PositionID]++
		} else {
			funded[e.PositionID]++
		}
		last = e.Sequence
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	for kind, check := range map[string]struct {
		acknowledged map[string]bool
		found        map[string]int
	}{"creations": {t.created, created}, "fundings": {t.funded, funded}} {
		for id := range check.acknowledged {
			if found := check.found[id]; found != 1 {
				return fmt.Errorf("the ledger has %d %s of %s, which was acknowledged; it ends at %d", found, kind, id, last)
			}
		}
	}
	return nil
}

// usage is what the servers of a subject have taken of the machine so far.
type usage struct {
	cpu, memory float64 // seconds, bytes
}

func (s *subject) usage(ctx context.Context) (u usage, err error) {
	for _, server := range s.servers {
		metrics, err := server.Metrics(ctx)
		if err != nil {
			return u, err
		}
		u.cpu += metrics.Value("process_cpu_seconds_total")
		u.memory += metrics.Value("process_resident_memory_bytes")
	}
	return u, nil
}

// startSubject starts servers on one database, and makes institutions on them.
func (b *bench) startSubject(ctx context.Context, database string, of setup) (_ *subject, err error) {
	s := &subject{
		name:        of.name,
		program:     of.program,
		database:    database,
		environment: slices.Concat(of.environment, []string{"RATE_LIMIT_ENABLED=false", "VERIFY_INTERVAL=0s"}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()

	for range of.servers {
		if err := b.addServer(ctx, s); err != nil {
			return nil, err
		}
	}
	err = s.addTenants(ctx, of.tenants)
	return s, err
}

// addServer starts one more server on a subject's database.
func (b *bench) addServer(ctx context.Context, s *subject) error {
	b.servers++
	server, err := testbed.Start(ctx, testbed.Options{
		Executable:  s.program,
		Database:    s.database,
		Environment: s.environment,
		Log:         filepath.Join(b.scratch, fmt.Sprintf("server-%d.log", b.servers)),
	})
	if err == nil {
		s.servers = append(s.servers, server)
	}
	return err
}
