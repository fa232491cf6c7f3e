package engine_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

func TestMain(m *testing.M) {
	// Runs of a property take a real database each; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	os.Exit(pgtest.Run(m))
}

// database is a migrated database for the engines of one test.
type database struct {
	name, url string
	// raw reaches it past the store.
	raw *sql.DB
}

// eachDatabase runs a test on both databases. That of PostgreSQL is the same for
// all tests: each works in institutions of its own.
func eachDatabase(t *testing.T, test func(*testing.T, database)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, newSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, sharedPostgres(t)) })
}

// eachOwnDatabase is for tests that change the schema, or look at all
// institutions.
func eachOwnDatabase(t *testing.T, test func(*testing.T, database)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, newSQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, newPostgres(t, pgtest.Shared(t))) })
}

func newSQLite(t *testing.T) database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "e.db")
	raw, err := driver.Open("file:" + path)
	return newDatabase(t, database{"sqlite", "sqlite:" + path, raw}, err)
}

// shared is the PostgreSQL database of most tests: to make one for each would
// take longer than the tests.
var shared struct {
	once sync.Once
	url  string
	err  error
}

func sharedPostgres(t *testing.T) database {
	t.Helper()
	shared.once.Do(func() { shared.url, shared.err = createShared(t) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	raw, err := sql.Open("pgx", shared.url)
	return newDatabase(t, database{"postgres", shared.url, raw}, err)
}

// createShared creates a database that goes with its server: those of the server
// itself go with the test that asked for them.
func createShared(t *testing.T) (string, error) {
	t.Helper()
	parsed, err := url.Parse(pgtest.Shared(t).NewDatabase(t))
	if err != nil {
		return "", err
	}
	db, err := sql.Open("pgx", parsed.String())
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(t.Context(), "CREATE DATABASE shared TEMPLATE template0")
	parsed.Path = "/shared"
	return parsed.String(), errors.Join(err, db.Close())
}

func newPostgres(t *testing.T, server *pgtest.Server) database {
	t.Helper()
	databaseURL := server.NewDatabase(t)
	raw, err := sql.Open("pgx", databaseURL)
	return newDatabase(t, database{"postgres", databaseURL, raw}, err)
}

func newDatabase(t *testing.T, d database, err error) database {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.raw.Close() })
	s, err := store.Open(t.Context(), d.url, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Migrate(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// exec runs statements past the store: the first on SQLite, the others on
// PostgreSQL.
func (d database) exec(t *testing.T, sqlite string, postgres ...string) {
	t.Helper()
	statements := postgres
	if d.name == "sqlite" {
		statements = []string{sqlite}
	}
	for _, statement := range statements {
		if _, err := d.raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// poison has the database refuse each new row of a table whose column says "poison".
func (d database) poison(t *testing.T, table, column string) {
	t.Helper()
	d.exec(t,
		fmt.Sprintf("CREATE TRIGGER poison BEFORE INSERT ON %s WHEN NEW.%s = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END", table, column),
		"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$",
		fmt.Sprintf("CREATE TRIGGER poison BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.%s = 'poison') EXECUTE FUNCTION poison()", table, column))
}

// block holds the lock that a batch on an institution needs, until it is released.
func (d database) block(t *testing.T, institution escrow.InstitutionID) (release func()) {
	t.Helper()
	if d.name == "sqlite" {
		return d.hold(t, "BEGIN IMMEDIATE")
	}
	return d.hold(t, "BEGIN", fmt.Sprintf("SELECT 1 FROM journal_heads WHERE institution_id = '%x' FOR UPDATE", institution[:]))
}

// hold runs statements and keeps their locks, until they are released.
func (d database) hold(t *testing.T, statements ...string) (release func()) {
	t.Helper()
	conn, err := d.raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	released := false
	release = func() {
		if released {
			return
		}
		released = true
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Errorf("release: %v", err)
		}
		_ = conn.Close()
	}
	t.Cleanup(release)
	return release
}

// holdInserts has rows of a table wait that are inserted, until release is called. A lock of the table
// would have a connection wait already that prepares the statement, before anything else of its transaction
// is sent.
func (d database) holdInserts(t *testing.T, table string) (release func()) {
	t.Helper()
	const wait = `CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$`
	trigger := "CREATE OR REPLACE TRIGGER wait BEFORE INSERT ON " + table + " FOR EACH ROW EXECUTE FUNCTION wait()"
	return d.hold(t, wait, trigger, "BEGIN", "SELECT pg_advisory_xact_lock(1)")
}

// clock is what the engines of a test take for the time.
type clock struct{ micros atomic.Int64 }

// days counts the clocks: no test begins before the end of another, whose
// database it may share.
var days atomic.Int64

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2027, time.March, int(days.Add(1)), 9, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time           { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) advance(by time.Duration) { c.micros.Add(by.Microseconds()) }

// server is an engine with what a test sees of it.
type server struct {
	*engine.Engine
	t        rapid.TB
	store    *store.Store
	clock    *clock
	registry *prometheus.Registry
	// asking has the metric for which the database is asked whenever it is read: tests read
	// the others while connections are in the state that they need.
	asking *prometheus.Registry
	// closeStore closes the store, once.
	closeStore func() error
}

// option changes the configuration of a server's engine.
type option = func(*engine.Config)

// patient is an engine that does not give up on a database while a test has it
// blocked, and looks for nothing by itself.
func patient(c *engine.Config) {
	c.RetryFor, c.AttemptTimeout = 10*time.Minute, 10*time.Minute
	c.ExpiryInterval, c.HistoryInterval, c.AbandonedAfter = time.Hour, time.Hour, time.Hour
}

// start starts an engine on the database, which is closed when the test ends.
func (d database) start(t *testing.T, clock *clock, options ...option) *server {
	t.Helper()
	s, err := store.Open(t.Context(), d.url, 0)
	if err != nil {
		t.Fatal(err)
	}
	registry, asking := prometheus.NewRegistry(), prometheus.NewRegistry()
	config := engine.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Now: clock.now, Random: rand.Reader, Metrics: registries{registry, asking},
		QueueSize: 16384, GroupSize: 512,
	}
	patient(&config)
	for _, change := range options {
		change(&config)
	}
	e, err := engine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	closeStore := sync.OnceValue(s.Close)
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close the engine: %v", err)
		}
		if err := closeStore(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return &server{e, t, s, clock, registry, asking, closeStore}
}

// registries put what asks the database apart.
type registries struct {
	*prometheus.Registry
	asking *prometheus.Registry
}

func (r registries) MustRegister(all ...prometheus.Collector) {
	for _, collector := range all {
		descriptions := make(chan *prometheus.Desc, 1)
		collector.Describe(descriptions)
		if strings.Contains((<-descriptions).String(), `"escrowgrid_store_ready"`) {
			r.asking.MustRegister(collector)
		} else {
			r.Registry.MustRegister(collector)
		}
	}
}

// eachPair runs a test with two engines: two servers that share PostgreSQL, and
// SQLite's only one in both places.
func eachPair(t *testing.T, test func(t *testing.T, servers [2]*server), options ...option) {
	t.Helper()
	eachDatabase(t, func(t *testing.T, d database) { test(t, d.pair(t, options...)) })
}

// institutions lists all institutions.
func (s *server) institutions() []escrow.InstitutionID {
	s.t.Helper()
	var ids []escrow.InstitutionID
	for _, institution := range wholeList(s, func(i escrow.Institution) escrow.Cursor { return escrow.IDCursor(i.ID) },
		func(page escrow.PageRequest) (escrow.Page[escrow.Institution], error) {
			return s.Institutions(context.Background(), escrow.Period{}, page)
		}) {
		ids = append(ids, institution.ID)
	}
	return ids
}

func (d database) pair(t *testing.T, options ...option) [2]*server {
	t.Helper()
	clock := newClock()
	first := d.start(t, clock, options...)
	second := first
	if d.name == "postgres" {
		second = d.start(t, clock, options...)
	}
	return [2]*server{first, second}
}

// total sums a metric over the servers of a pair.
func total(servers [2]*server, name string) int {
	sum := servers[0].metric(name)
	if servers[1] != servers[0] {
		sum += servers[1].metric(name)
	}
	return sum
}

// metric returns the sum of a metric over its labels; of a histogram, how often
// something was observed.
func (s *server) metric(name string) int { return int(s.measure(name)) }

// measure is metric where it is no whole number.
func (s *server) measure(name string) float64 {
	s.t.Helper()
	registry := s.registry
	if name == "store_ready" {
		registry = s.asking
	}
	families, err := registry.Gather()
	if err != nil {
		s.t.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() != "escrowgrid_"+name {
			continue
		}
		sum := 0.0
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		return sum
	}
	return 0
}

// root is a request of the operator's.
func root(institution escrow.InstitutionID, command escrow.Command) escrow.Request {
	return escrow.Request{Institution: institution, Actor: escrow.ActorRoot(), RequestID: "req-1", Command: command}
}

// by is a request of a key's.
func by(key escrow.APIKey, command escrow.Command) escrow.Request {
	r := root(key.InstitutionID, command)
	r.Actor, r.OwnRole = escrow.ActorKey(key.ID), key.HasOwnRole()
	return r
}

// under gives a request an idempotency key; what is the content of the request.
func under(key, what string, r escrow.Request) escrow.Request {
	r.Idempotency = &escrow.Idempotency{Key: key, Fingerprint: sha256.Sum256([]byte(what)), Nonce: []byte(key)}
	return r
}

// accept carries out a request that must be accepted.
func accept[T any](s *server, r escrow.Request) T {
	s.t.Helper()
	answer, err := s.Do(context.Background(), r)
	if err != nil {
		s.t.Fatalf("%T: %v", r.Command, err)
	}
	return resource[T](answer)
}

// resource is what an answer is about.
func resource[T any](a engine.Answer) T {
	return a.Resource.(T)
}

// refuse carries out a request that must be refused with a code.
func refuse(s *server, r escrow.Request, want escrow.Code) {
	s.t.Helper()
	if answer, err := s.Do(context.Background(), r); err == nil || escrow.ErrorCode(err) != want {
		s.t.Errorf("%T: answer %+v, error %v; want the code %s", r.Command, answer, err, want)
	}
}

// attempt is a request that is carried out beside the test.
type attempt struct {
	answer engine.Answer
	err    error
	done   chan struct{}
}

// begin carries out a request beside the test.
func (s *server) begin(ctx context.Context, r escrow.Request) *attempt {
	a := &attempt{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.answer, a.err = s.Do(ctx, r)
	}()
	return a
}

// code waits for an attempt's end and returns its code, "" for success.
func (a *attempt) code() escrow.Code {
	<-a.done
	if a.err == nil {
		return ""
	}
	return escrow.ErrorCode(a.err)
}

// beginInOrder carries out requests beside the test, each put into the queue
// after the one before it. The first is alone in a batch that waits for a lock;
// the others wait for their batch behind it.
func (s *server) beginInOrder(ctx context.Context, requests ...escrow.Request) []*attempt {
	s.t.Helper()
	attempts := make([]*attempt, len(requests))
	waiting := 0
	for i, r := range requests {
		attempts[i] = s.begin(ctx, r)
		if i > 0 {
			waiting += r.Weight()
		}
		eventually(s.t, "the command is in its place", func() bool {
			return s.metric("queue_commands") == waiting && s.metric("store_connections_used") > 0
		})
	}
	return attempts
}

// eventually waits until something is so.
func eventually(t rapid.TB, what string, is func() bool) {
	t.Helper()
	const patience = 10 * time.Minute // The machine may be busy.
	deadline := time.After(patience)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("it is not so after %s: %s", patience, what)
		case <-ticker.C:
		}
	}
}

// The commands that tests begin with.

func createInstitution() escrow.Command {
	return valid(escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name: "Meridian Bank", Regions: []string{"US", "EU_UK", "SG", "UAE"},
	}))
}

func (s *server) institution() escrow.InstitutionID {
	s.t.Helper()
	return accept[escrow.Institution](s, root(escrow.InstitutionID{}, createInstitution())).ID
}

// key makes a key and returns it with its secret.
func (s *server) key(of escrow.InstitutionID, role escrow.RoleName, expiresAt *time.Time) (escrow.APIKey, string) {
	s.t.Helper()
	in := escrow.KeyInput{Label: "A key", Role: string(role)}
	if expiresAt != nil {
		in.ExpiresAt = new(escrow.FormatTime(*expiresAt))
	}
	return s.keyWith(of, in)
}

func (s *server) keyWith(of escrow.InstitutionID, in escrow.KeyInput) (escrow.APIKey, string) {
	s.t.Helper()
	var random [32]byte
	_, _ = rand.Read(random[:])
	secret := escrow.NewSecret(random)
	command := valid(escrow.NewCreateKey(in, escrow.HashSecret(secret)))
	return accept[escrow.APIKey](s, root(of, command)), secret
}

// asset makes an asset on which any amount of US dollars can be placed.
func (s *server) asset(of escrow.InstitutionID) escrow.AssetID {
	s.t.Helper()
	return s.assetOf(of, "US", "CONSTR_ESCROW", `{"currency":"USD"}`)
}

func (s *server) assetOf(of escrow.InstitutionID, region, code, config string) escrow.AssetID {
	s.t.Helper()
	template := accept[escrow.AssetTemplate](s, root(of, valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: code, Name: "A template", Vertical: string(escrow.TemplateCode(code).Vertical()), Region: region, Config: []byte(config),
	})))).ID
	return accept[escrow.Asset](s, root(of, valid(escrow.NewCreateAsset(
		escrow.AssetInput{TemplateID: template.String(), Label: "An asset"},
	)))).ID
}

func createPosition(asset escrow.AssetID, holder, amount string) escrow.Command {
	return valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: money.Digits(amount),
	}))
}

// transition makes the command that leads a position to a state; an empty amount
// gives none.
func transition(position escrow.PositionID, to escrow.State, amount string) escrow.Command {
	in := escrow.TransitionInput{ToState: string(to)}
	if amount != "" {
		in.Amount = new(money.Digits(amount))
	}
	return valid(escrow.NewTransitionPosition(position, in, nil))
}

// must returns a value that a test could not do without.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// valid returns a command whose input a test knows to be valid.
func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}
