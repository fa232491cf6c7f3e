package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgtest"
)

// program is the server's, built for the tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "escrowgrid-deploy")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	program = filepath.Join(directory, "escrowgrid")
	build := exec.Command("go", "build", "-o", program, "./cmd/escrowgrid")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, output)
		return 1
	}
	return pgtest.Run(m)
}

const balancerFile = "../../deploy/compose/haproxy.cfg"

func TestHAProxyTakesItsConfiguration(t *testing.T) {
	if output, err := exec.CommandContext(t.Context(), "haproxy", "-c", "-f", balancerFile).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

// A server is stopped and started anew while clients write, as an upgrade does it: none
// of them notices.
func TestServersAreReplacedWithoutAFailedRequest(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	settings := serverSettings(t)
	a, b := serve(t, database, "0", settings), serve(t, database, "0", settings)
	c := write(t, balance(t, a.port, b.port))
	for _, s := range []*server{a, b} {
		c.until(t, "each server has requests", func() bool { return s.requests() > 50 })
	}

	a.signal(t, syscall.SIGTERM)
	c.until(t, "the server has ended", a.hasEnded)
	if code := a.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ends with %d", code)
	}
	alone := c.answered.Load()
	c.until(t, "the other one serves", func() bool { return c.answered.Load() > alone+200 })
	again := serve(t, database, a.port, settings)
	c.until(t, "the new one has requests", func() bool { return again.requests() > 50 })

	c.stop()
	for _, s := range []*server{a, b, again} {
		if strings.Contains(s.log.String(), forged) {
			t.Error("a server believes what a client says of its address")
		}
	}
}

// serverSettings are those of Compose that the replacement of a server depends on.
func serverSettings(t *testing.T) []string {
	t.Helper()
	given := composeProject(t, "compose.yaml").Services["escrowgrid"].Environment.ToMapping()
	var settings []string
	for _, name := range []string{"SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT"} {
		if given[name] == "" {
			t.Fatalf("Compose sets no %s", name)
		}
		settings = append(settings, name+"="+given[name])
	}
	return settings
}

const rootKey = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"

// text keeps what a program writes.
type text struct {
	mu      sync.Mutex
	written bytes.Buffer
}

// Write implements io.Writer.
func (w *text) Write(content []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.Write(content)
}

func (w *text) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.String()
}

// process is a program that ends with the test at the latest.
type process struct {
	cmd   *exec.Cmd
	log   text
	ended chan struct{}
}

func (p *process) start(t *testing.T, name string, args, env []string) {
	t.Helper()
	p.cmd, p.ended = exec.Command(name, args...), make(chan struct{})
	p.cmd.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells how it ended.
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // It may have ended.
		<-p.ended
		if t.Failed() {
			log := p.log.String()
			t.Logf("%s wrote\n%s", name, log[max(0, len(log)-2000):])
		}
	})
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// The test fails when something does not happen within this time.
const patience = time.Minute

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// server is the program, serving on a port.
type server struct {
	process
	port string
}

var servesAt = regexp.MustCompile(`"url":"http://127\.0\.0\.1:([0-9]+)"`)

func serve(t *testing.T, database, port string, settings []string) *server {
	t.Helper()
	var s server
	env := append([]string{"DATABASE_URL=" + database, "ROOT_API_KEY=" + rootKey, "PORT=" + port, "TRUSTED_PROXIES=127.0.0.1", "RATE_LIMIT_ENABLED=false"}, settings...)
	s.start(t, program, []string{"serve", "--migrate"}, env)
	eventually(t, "the server serves", func() bool { return servesAt.MatchString(s.log.String()) })
	s.port = servesAt.FindStringSubmatch(s.log.String())[1]
	return &s
}

// requests counts those of clients that the server has answered.
func (s *server) requests() int { return strings.Count(s.log.String(), `"route":"/institutions"`) }

// balance runs HAProxy with the configuration that is shipped, but for its addresses, and
// returns its own.
func balance(t *testing.T, ports ...string) (url string) {
	t.Helper()
	content, err := os.ReadFile(balancerFile)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
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
	var p process
	p.start(t, "haproxy", []string{"-db", "-f", path}, nil)
	url = "http://" + address
	eventually(t, "the balancer serves", func() bool {
		response, err := http.Get(url + "/ready")
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
	return url
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// clients write one institution after the other, and repeat nothing.
type clients struct {
	http     http.Client
	url      string
	answered atomic.Int64
	failed   chan error
	stop     context.CancelFunc
}

// forged is an address that clients pretend to have.
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
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/institutions", strings.NewReader(`{"name": "Meridian Bank", "regions": ["US"]}`))
	if err != nil {
		return err
	}
	// Without a way to get the body anew, Go's client repeats nothing by itself.
	request.GetBody = nil
	request.Header.Set("X-API-KEY", rootKey)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Forwarded-For", forged)
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusCreated {
		err = fmt.Errorf("answered with %s: %s", response.Status, body)
	}
	if err == nil {
		c.answered.Add(1)
	}
	return err
}

// until waits for a condition, as long as no request fails.
func (c *clients) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		select {
		case err := <-c.failed:
			t.Fatalf("before %s: %v", what, err)
		default:
		}
		return holds()
	})
}
