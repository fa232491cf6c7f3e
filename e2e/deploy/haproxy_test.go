package deploy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Run(m)) }

const balancerFile = "../../deploy/compose/haproxy.cfg"

func TestHAProxyAcceptsItsConfiguration(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), "haproxy", "-c", "-f", balancerFile).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// A server stops and a new one starts while clients write, as in an upgrade. No client
// notices.
func TestServersAreReplacedWithoutAFailedRequest(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	settings := serverSettings(t)
	a, b := serve(t, database, "0", settings), serve(t, database, "0", settings)
	url, _ := balance(t, a.port(), b.port())
	c := write(t, url)
	for _, s := range []server{a, b} {
		c.until(t, "each server has requests", func() bool { return s.requests() > 50 })
	}

	a.Terminate()
	c.until(t, "the server has ended", a.Ended)
	if code := a.Stop(); code != 0 {
		t.Errorf("the server ends with %d", code)
	}

	alone := c.answered.Load()
	c.until(t, "the other one serves", func() bool { return c.answered.Load() > alone+200 })
	replacement := serve(t, database, a.port(), settings)
	c.until(t, "the new one has requests", func() bool { return replacement.requests() > 50 })

	c.stop()
	for _, s := range []server{a, b, replacement} {
		if strings.Contains(s.Log(), forged) {
			t.Error("a server believes a client's claim about its address")
		}
	}
}

// A log keeps what it has, whatever is erased.
func TestTheBalancerLogsNobodysName(t *testing.T) {
	s := serve(t, "sqlite::memory:", "0", nil)
	url, balancer := balance(t, s.port())
	for _, path := range []string{"/holders/Ada%2FLovelace/data?timeZone=Ada", "/positions?holderReference=Ada", "/holders/a/Ada", "/keys"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}

	programtest.Eventually(t, "the balancer has logged the last request", func() bool {
		return strings.Contains(balancer.Log(), `"GET /keys HTTP/1.1"`)
	})
	log := balancer.Log()
	if strings.Contains(log, "Ada") || strings.Count(log, `"GET /holders/- HTTP/1.1"`) != 2 || !strings.Contains(log, `"GET /positions HTTP/1.1"`) {
		t.Errorf("the balancer logs\n%s", log)
	}
}

// serverSettings returns the variables in Compose on which the replacement of a server
// depends.
func serverSettings(t *testing.T) []string {
	t.Helper()
	given := composeProject(t, "deploy/compose/compose.yaml").Services["escrowgrid"].Environment.ToMapping()
	var settings []string
	for _, name := range []string{"SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT"} {
		if given[name] == "" {
			t.Fatalf("Compose sets no %s", name)
		}
		settings = append(settings, name+"="+given[name])
	}
	return settings
}

// server is a running server.
type server struct{ *programtest.Server }

func serve(t *testing.T, database, port string, settings []string) server {
	t.Helper()
	return server{programtest.Serve(t, database, append([]string{
		"PORT=" + port,
		"TRUSTED_PROXIES=127.0.0.1",
		"RATE_LIMIT_ENABLED=false",
	}, settings...)...)}
}

func (s server) port() string { return s.URL[strings.LastIndex(s.URL, ":")+1:] }

// requests returns the number of clients' requests that the server has answered.
func (s server) requests() int { return strings.Count(s.Log(), `"route":"/institutions"`) }

// balance runs HAProxy with the shipped configuration, except for its addresses, and
// returns its URL.
func balance(t *testing.T, ports ...string) (url string, balancer *programtest.Process) {
	t.Helper()
	content, err := os.ReadFile(balancerFile)
	if err != nil {
		t.Fatal(err)
	}

	address := programtest.FreeAddress(t)
	var servers strings.Builder
	for i, port := range ports {
		fmt.Fprintf(&servers, "server replica%d 127.0.0.1:%s\n    ", i+1, port)
	}
	config := string(content)
	for shipped, here := range map[string]string{
		"bind :4000": "bind " + address,
		" resolvers docker init-addr last,libc,none": "",
		"server-template replica 2 escrowgrid:4000":  servers.String(),
	} {
		if strings.Count(config, shipped) != 1 {
			t.Fatalf("%s does not have %q once", balancerFile, shipped)
		}
		config = strings.Replace(config, shipped, here, 1)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	balancer = programtest.Start(t, nil, "haproxy", "-db", "-f", path)
	url = "http://" + address
	programtest.Answers(t, url+"/ready")
	return url, balancer
}

// clients create one institution after the other and retry nothing.
type clients struct {
	http     http.Client
	url      string
	answered atomic.Int64
	failed   chan error
	stop     context.CancelFunc
}

// forged is the address that clients claim to have.
const forged = "192.0.2.99"

func write(t *testing.T, url string) *clients {
	t.Helper()
	const count = 8
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{url: url, failed: make(chan error, count)}
	transport := &http.Transport{MaxIdleConnsPerHost: count}
	c.http.Transport = transport

	var writing sync.WaitGroup
	c.stop = func() {
		cancel()
		writing.Wait()
		transport.CloseIdleConnections()
	}
	t.Cleanup(func() {
		c.stop()
		close(c.failed)
		for err := range c.failed {
			t.Error(err)
		}
	})

	for range count {
		writing.Go(func() {
			for ctx.Err() == nil {
				if err := c.write(ctx); err != nil && ctx.Err() == nil {
					c.failed <- err
					return
				}
			}
		})
	}
	return c
}

func (c *clients) write(ctx context.Context) error {
	body := strings.NewReader(`{"name": "Meridian Bank", "regions": ["US"]}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/institutions", body)
	if err != nil {
		return err
	}
	// Without GetBody, Go's client retries nothing by itself.
	request.GetBody = nil
	request.Header.Set("X-API-KEY", programtest.RootKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", forged)

	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("answered with %s: %s", response.Status, answer)
	}
	if err == nil {
		c.answered.Add(1)
	}
	return err
}

// until waits until a condition holds. The test fails if a request fails first.
func (c *clients) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	programtest.Eventually(t, what, func() bool {
		select {
		case err := <-c.failed:
			t.Fatalf("before %s: %v", what, err)
		default:
		}
		return holds()
	})
}
