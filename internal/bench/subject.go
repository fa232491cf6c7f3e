package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
	// program is the path of the servers' program, database their URL, and environment their
	// other variables, as NAME=VALUE.
	program, database string
	environment       []string
	servers           []*testbed.Server
	tenants           []tenant
	// keyPrefix begins the idempotency keys. The number of a request, in requests, ends its own.
	keyPrefix string
	requests  atomic.Int64
}

// tenant is an institution, with what a server has acknowledged to its clients.
type tenant struct {
	testbed.Tenant
	// since is from when on its ledger is checked; zero is from the first entry on.
	since time.Time
	// creation is the body of a request that creates a position.
	creation []byte

	mu sync.Mutex
	// created and funded hold the positions whose creation and funding were
	// acknowledged.
	created, funded map[string]bool
}

// setup says what a subject consists of.
type setup struct {
	// name is the subject's in figures; "" is EscrowGrid on its store.
	name string
	// program is the path of the server's program; "" is the one that is measured.
	program string
	store   string
	// servers and tenants are how many there are; 0 is one.
	servers, tenants int
	// environment has further variables of the servers, as NAME=VALUE.
	environment []string
}

// open starts a subject on a database of its own, until the end of the experiment.
func (b *bench) open(ctx context.Context, of setup) (*subject, error) {
	b.databases++
	database := "sqlite:" + filepath.Join(b.scratch, fmt.Sprintf("%d.db", b.databases))
	if of.store == onPostgreSQL {
		var err error
		if database, err = b.database(ctx); err != nil {
			return nil, err
		}
	}

	of.name = cmp.Or(of.name, "EscrowGrid, "+of.store)
	of.program = cmp.Or(of.program, b.config.Server)
	of.servers, of.tenants = cmp.Or(of.servers, 1), cmp.Or(of.tenants, 1)
	s, err := b.startSubject(ctx, database, of)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, s.close)
	return s, nil
}

// startSubject starts servers on a database, and creates institutions on them.
func (b *bench) startSubject(ctx context.Context, database string, of setup) (_ *subject, err error) {
	s := &subject{
		name:        of.name,
		program:     of.program,
		database:    database,
		environment: slices.Concat(of.environment, []string{"RATE_LIMIT_ENABLED=false", "VERIFY_INTERVAL=0s"}),
		keyPrefix:   rand.Text()[:12] + "-",
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
	if err := s.addTenants(ctx, of.tenants); err != nil {
		return nil, err
	}
	return s, nil
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

// addTenants creates so many institutions.
func (s *subject) addTenants(ctx context.Context, count int) error {
	created, err := s.servers[0].MakeTenants(ctx, "benchmark", count)
	if err != nil {
		return err
	}

	s.tenants = make([]tenant, len(created))
	for i := range created {
		t := &s.tenants[i]
		t.Tenant, t.created, t.funded = created[i], make(map[string]bool), make(map[string]bool)
		t.creation, err = json.Marshal(map[string]string{
			"assetId":         created[i].AssetID,
			"holderReference": "ACME-4711",
			"currency":        "USD",
			"amount":          "1000.00",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// close ends the servers.
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
func (s *subject) idempotencyKey() string {
	return s.keyPrefix + strconv.FormatInt(s.requests.Add(1), 10)
}

// tenantOf spreads workers evenly over the institutions.
func (s *subject) tenantOf(worker int) *tenant { return &s.tenants[worker%len(s.tenants)] }

// inLoop is a contender that has the servers do work as often as they can. Its figure is in
// pieces of work per second.
func (s *subject) inLoop(connections int, do work) contender {
	return inLoop(s.name, s.addresses(), connections, s, do)
}

// create creates a position, and returns its id.
func (s *subject) create(worker int, c *connection) (id string, err error) {
	t := s.tenantOf(worker)
	created, err := c.expect(http.StatusCreated, request{
		method:         http.MethodPost,
		path:           "/positions",
		apiKey:         t.APIKey,
		idempotencyKey: s.idempotencyKey(),
		body:           t.creation,
	})
	if err != nil {
		return "", err
	}

	id = strings.TrimPrefix(created.location, "/positions/")
	t.mu.Lock()
	t.created[id] = true
	t.mu.Unlock()
	return id, nil
}

// funding is the body of a request that funds a position.
var funding = []byte(`{"toState":"FUNDED"}`)

// fund funds a position.
func (s *subject) fund(worker int, c *connection, id string) error {
	t := s.tenantOf(worker)
	_, err := c.expect(http.StatusOK, request{
		method:         http.MethodPost,
		path:           "/positions/" + id + "/transition",
		apiKey:         t.APIKey,
		idempotencyKey: s.idempotencyKey(),
		body:           funding,
	})
	if err != nil {
		return err
	}

	t.mu.Lock()
	t.funded[id] = true
	t.mu.Unlock()
	return nil
}

// createAndFund creates a position and then funds it: a pair.
func (s *subject) createAndFund(worker int, c *connection) error {
	id, err := s.create(worker, c)
	if err != nil {
		return err
	}
	return s.fund(worker, c, id)
}

// checkLedger reads the ledgers and returns an error unless every acknowledged write is
// in them exactly once. Writes that were not acknowledged may be in them, too.
func (s *subject) checkLedger(ctx context.Context) error {
	for i := range s.tenants {
		if err := s.tenants[i].checkLedger(ctx, s.servers[0].Client); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// checkLedger is the check of one institution's ledger.
func (t *tenant) checkLedger(ctx context.Context, client apiclient.Client) error {
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

	err := apiclient.List(ctx, client, t.APIKey, "/ledger-events", query, math.MaxInt64, func(e event) error {
		// After the first page, the cursor says where to begin, and the server need not search.
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

	if err := checkOnce("creations", t.created, created); err != nil {
		return fmt.Errorf("%w; the ledger ends at %d", err, last)
	}
	if err := checkOnce("fundings", t.funded, funded); err != nil {
		return fmt.Errorf("%w; the ledger ends at %d", err, last)
	}
	return nil
}

// checkOnce returns an error unless each acknowledged write was found once.
func checkOnce(kind string, acknowledged map[string]bool, found map[string]int) error {
	for id := range acknowledged {
		if found[id] != 1 {
			return fmt.Errorf("the ledger has %d %s of %s, which was acknowledged", found[id], kind, id)
		}
	}
	return nil
}

// usage is what the servers of a subject have used of the machine since their start.
type usage struct {
	cpu, memory float64 // seconds, bytes
}

// usage asks the servers what they have used.
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
