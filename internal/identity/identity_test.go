package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // The real provider logs every refusal.
	goleak.VerifyTestMain(m)
}

// clock is a verifier's, which a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// fixture is a verifier with what it shows to its operator.
type fixture struct {
	*Verifier
	*clock
	registry *prometheus.Registry
	logged   *bytes.Buffer
}

// start starts a verifier until the end of the test. Without a client it takes one for plain
// HTTP.
func start(tb testing.TB, client *http.Client) fixture {
	tb.Helper()
	if client == nil {
		client = &http.Client{Transport: &http.Transport{}}
		tb.Cleanup(client.CloseIdleConnections)
	}
	f := fixture{
		clock:    &clock{at: time.Now().Truncate(time.Second)},
		registry: prometheus.NewRegistry(),
		logged:   &bytes.Buffer{},
	}
	f.Verifier = New(Config{
		Client:  client,
		Now:     f.now,
		Logger:  slog.New(slog.NewJSONHandler(f.logged, nil)),
		Metrics: f.registry,
	})
	tb.Cleanup(f.Close)
	return f
}

// now of a fixture is the clock's; the verifier's field has the same name.
func (f fixture) now() time.Time { return f.clock.now() }

// metric returns the sum of a metric, of the series with a label's value where one is given.
func (f fixture) metric(t *testing.T, name, label string) (sum float64) {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() != name || label != "" && metric.GetLabel()[0].GetValue() != label {
				continue
			}
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func forged(f *identitytest.Forge) Provider {
	return Provider{Issuer: f.Issuer, ClientID: identitytest.Client}
}

// es256 is a key for tests that do not care which.
func es256(tb testing.TB) identitytest.Key {
	tb.Helper()
	return identitytest.NewKey(tb, "k1", jose.ES256)
}

// wantError fails unless an error is of a kind and gives a reason.
func wantError(t *testing.T, err, kind error, reason string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), reason) {
		t.Errorf("error %v, want %q because of %q", err, kind, reason)
	}
}

// RSA keys take long to make, so tests share two of them.
var (
	rsaOnce            sync.Once
	sharedRSA, foreign identitytest.Key
)

func makeRSAKeys(tb testing.TB) {
	tb.Helper()
	rsaOnce.Do(func() {
		sharedRSA = identitytest.NewKey(tb, "rsa", jose.RS256)
		foreign = identitytest.NewKey(tb, "foreign", jose.RS256)
	})
}

// rsaKey is an RSA key named rsa.
func rsaKey(tb testing.TB) identitytest.Key {
	tb.Helper()
	makeRSAKeys(tb)
	return sharedRSA
}

// otherRSAKey is an RSA key that no provider has published.
func otherRSAKey(tb testing.TB) identitytest.Key {
	tb.Helper()
	makeRSAKeys(tb)
	return foreign
}

// smallRSA is a key of 1024 bits, which go refuses to make unless it is asked to.
func smallRSA(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	tb.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
