package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // The real identity provider logs every refusal.
	os.Exit(pgtest.Run(m))
}

// The operator's keys. They hold no word that an answer may hold.
const (
	rootKey    = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"
	metricsKey = "metrics-key-0123456789abcdefghijklmnopqrstuvw"
)

// service is a server on a real socket and a real store. As a client it acts with
// the root key, and compares every exchange with the OpenAPI document.
type service struct {
	apitest.Client
	clock *clock
	logs  *logs
	// engine is what the server asks.
	engine *engine.Engine
	// signCheckpoints brings the transparency log up to date.
	signCheckpoints func()
}

// patience is what a test waits for anything at most: the machine may be busy.
const patience = 10 * time.Minute

// eachStore runs a test on both stores.
func eachStore(t *testing.T, test func(*testing.T, *service)) {
	t.Run("sqlite", func(t *testing.T) { test(t, serve(t, onSQLite(t), nil)) })
	t.Run("postgres", func(t *testing.T) { test(t, serve(t, pgtest.Shared(t).NewDatabase(t), nil)) })
}

func onSQLite(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "escrowgrid.db")
}

// settings are what a test can change about its server.
type settings struct {
	httpapi.Config
	server *http.Server
	clock  *clock
	// mayFail says that the test takes the database away.
	mayFail bool
}

// serve starts a server until the test ends; change, where it is not nil, makes
// it another than the usual.
func serve(tb testing.TB, databaseURL string, change func(*settings)) *service {
	tb.Helper()
	database, err := store.Open(tb.Context(), databaseURL, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := database.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	s := &service{clock: &clock{}, logs: &logs{}}
	registry := prometheus.NewRegistry()
	logger := slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	keyring := newKeyring(tb)
	outside := &http.Client{Transport: &http.Transport{}}
	people := identity.New(identity.Config{Client: outside, Now: s.clock.now, Logger: logger, Metrics: registry})
	log := journallog.Start(journallog.Config{
		Store: database, Logger: logger, Now: s.clock.now, Metrics: registry, Origin: "escrowgrid.test", Interval: time.Hour,
	})
	s.signCheckpoints = func() {
		tb.Helper()
		if err := log.Round(tb.Context()); err != nil {
			tb.Error(err)
		}
	}
	listener := httptest.NewUnstartedServer(nil)
	changed := settings{server: listener.Config, clock: s.clock, Config: httpapi.Config{
		TransparencyLog: log, Logger: logger, Version: "1.2.3", Metrics: registry, Gatherer: registry,
		RootKey: rootKey, MetricsKey: metricsKey, RequestTimeout: patience, Identity: people, Keyring: keyring,
	}}
	if change != nil {
		change(&changed)
	}
	running, err := engine.New(engine.Config{
		Store: database, Logger: logger, Now: s.clock.now, Random: rand.Reader, Metrics: registry, Keyring: keyring,
		Operators: httpapi.EngineOperators(rootKeyOf(changed.Config), changed.Operators),
		QueueSize: 16384, GroupSize: 512, ExpiryInterval: 20 * time.Millisecond, AttemptTimeout: patience,
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.engine, changed.Engine = running, running
	api, err := httpapi.New(changed.Config)
	if err != nil {
		tb.Fatal(err)
	}
	listener.Config.Handler, listener.Listener = api, api.Listener(listener.Listener)
	listener.Config.DisableGeneralOptionsHandler = true
	listener.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	listener.Start()
	tb.Cleanup(func() {
		listener.Close()
		if log := s.logs.String(); !changed.mayFail && (strings.Contains(log, "panic") || strings.Contains(log, `"level":"ERROR"`)) {
			tb.Errorf("the server failed: %s", log)
		}
		// The test's own context has ended.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		log.Close()
		people.Close()
		outside.CloseIdleConnections()
		if err := running.Close(ctx); err != nil {
			tb.Errorf("close the engine: %v", err)
		}
		if err := database.Close(); err != nil {
			tb.Errorf("close the store: %v", err)
		}
	})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	tb.Cleanup(transport.CloseIdleConnections)
	s.Client = apitest.Client{
		URL: listener.URL, Key: rootKey, Check: contract().Check,
		HTTP: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return s
}

// rootKeyOf is the root key that sessions begin with.
func rootKeyOf(c httpapi.Config) string {
	if c.RootKeyDisabled {
		return ""
	}
	return c.RootKey
}

func newKeyring(tb testing.TB) *vault.Keyring {
	tb.Helper()
	key, err := vault.NewKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	keyring, err := vault.ParseKeyring(key)
	if err != nil {
		tb.Fatal(err)
	}
	return keyring
}

// contract is the OpenAPI document, read once.
var contract = sync.OnceValue(func() *Contract {
	document, err := httpapi.Specification()
	if err != nil {
		panic(err)
	}
	read, err := NewContract(document)
	if err != nil {
		panic(err)
	}
	return read
})

// clock is the time as it is, moved ahead as far as a test says.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// at is a moment from now on, as the API writes times.
func (c *clock) at(later time.Duration) string {
	return c.now().Add(later).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// logs keeps what a server logs.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// fields is a JSON object that a test puts together.
type fields map[string]any

// raw is JSON as it stands.
type raw = json.RawMessage

func (f fields) String() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// with returns the object with another value at a path, like "config.currency".
func (f fields) with(path string, value any) fields {
	changed := fields{}
	maps.Copy(changed, f)
	if first, rest, nested := strings.Cut(path, "."); nested {
		inner, _ := f[first].(fields)
		changed[first] = inner.with(rest, value)
		return changed
	}
	changed[path] = value
	return changed
}

// without returns the object without a member.
func (f fields) without(path string) fields {
	if first, rest, nested := strings.Cut(path, "."); nested {
		inner, _ := f[first].(fields)
		return f.with(first, inner.without(rest))
	}
	changed := f.with(path, nil)
	delete(changed, path)
	return changed
}

// bank is an institution with its keys, and an asset of a template that asks for
// dollars and nothing else.
type bank struct {
	ID       string
	Admin    apitest.Client
	ReadOnly apitest.Client
	Template string
	Asset    string
	// provider is the body of the identity provider that people come from; nil where they come from none.
	provider fields
	engine   *engine.Engine
}

// bank makes an institution that is active everywhere.
func (s *service) bank(tb testing.TB) bank {
	tb.Helper()
	b := bank{engine: s.engine, ID: s.Post(tb, "/institutions", `{"name": "Meridian Bank", "regions": ["US", "EU_UK", "SG", "UAE"]}`).Want(tb, 201).Text("id")}
	b.Admin = s.As(s.key(tb, b.ID, "admin"))
	b.ReadOnly = s.As(s.key(tb, b.ID, "read_only"))
	b.Template = b.template(tb, templateOf("CONSTR_ESCROW"))
	b.Asset = b.asset(tb, b.Template)
	return b
}

// key makes a key and returns its secret.
func (s *service) key(tb testing.TB, institution, role string) string {
	tb.Helper()
	return s.Post(tb, "/institutions/"+institution+"/api-keys", fields{"label": role, "role": role}.String()).Want(tb, 201).Text("apiKey")
}

// templateOf is a template of a code, in dollars.
func templateOf(code string) fields {
	template := fields{"code": code, "name": "A template", "vertical": "CONSTRUCTION", "region": "US"}
	switch code {
	case "CONSTR_ESCROW":
		return template.with("config", fields{"currency": "USD"})
	case "CONSTR_RETAINAGE":
		return template.with("config", fields{"currency": "USD", "retainagePercentage": 10})
	case "TF_INVOICE":
		return template.with("vertical", "TRADE_FINANCE").with("config", fields{"currency": "USD", "maxTenorDays": 90, "country": "DE"})
	case "TF_LC":
		return template.with("vertical", "TRADE_FINANCE").with("config", fields{"currency": "USD", "maxTenorDays": 90, "issuingBankCountry": "DE"})
	}
	panic(code)
}

func (b bank) template(tb testing.TB, template fields) string {
	tb.Helper()
	return b.Admin.Post(tb, "/asset-templates", template.String()).Want(tb, 201).Text("id")
}

func (b bank) asset(tb testing.TB, template string) string {
	tb.Helper()
	return b.Admin.Post(tb, "/assets", fields{"templateId": template, "label": "Harbour Tower"}.String()).Want(tb, 201).Text("id")
}

// claim is the body of a position of 1000 dollars.
func (b bank) claim() fields {
	return fields{"assetId": b.Asset, "holderReference": "ACME-4711", "currency": "USD", "amount": "1000.00"}
}

// position makes a position of 1000 dollars and moves it through states.
func (b bank) position(tb testing.TB, states ...string) apitest.Answer {
	tb.Helper()
	position := b.Admin.Post(tb, "/positions", b.claim().String()).Want(tb, 201)
	for _, state := range states {
		position = b.transition(tb, position.Text("id"), step(state)).Want(tb, 200)
	}
	return position
}

// step is the body of a transition; a partial release is of 10 dollars.
func step(state string) fields {
	if state == "PARTIALLY_RELEASED" {
		return fields{"toState": state, "amount": "10.00"}
	}
	return fields{"toState": state}
}

func (b bank) transition(tb testing.TB, position string, body fields, headers ...string) apitest.Answer {
	tb.Helper()
	return b.Admin.Post(tb, "/positions/"+position+"/transition", body.String(), headers...)
}

// eventually waits for a condition.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			tb.Fatalf("it never came about that %s", what)
		case <-tick.C:
		}
	}
}

func lines(list []string) string { return fmt.Sprintf("\n\t%s", strings.Join(list, "\n\t")) }

// try reads a path of a server that may not be able to answer.
func (s *service) try(t *testing.T, path string, headers ...string) apitest.Answer {
	t.Helper()
	return s.Send(t, apitest.Request{Method: http.MethodGet, Path: path, Headers: headers, Unreliable: true})
}
