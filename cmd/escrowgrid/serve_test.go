package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
)

// onEachStore runs a test on an empty database of each kind.
func onEachStore(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "e.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Shared(t).NewDatabase(t)) })
}

// serveWithKept starts a server on an SQLite file without telling it a root key,
// and returns the one that is kept beside the file.
func serveWithKept(t *testing.T, path string) (p *process, key string) {
	t.Helper()
	p = launch(t, []string{"PORT=0", "DATABASE_URL=sqlite:" + path}, "serve")
	served := p.servedURL(t)
	kept, err := os.ReadFile(path + ".root-key")
	if err != nil {
		t.Fatal(err)
	}
	key = strings.TrimSpace(string(kept))
	p.Client = clientOf(t, served, key)
	p.Get(t, "/institutions").Want(t, 200)
	return p, key
}

func TestTheRootKeyIsKeptBesideTheSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	first, made := serveWithKept(t, path)
	if told := strings.Count(first.stderr.String(), made); told != 1 || strings.Contains(first.stdout.String(), made) {
		t.Errorf("the key is told %d times: %s", told, first.stderr.String())
	}
	for line := range strings.Lines(first.stderr.String()) {
		if json.Valid([]byte(line)) && strings.Contains(line, made) {
			t.Errorf("the log tells the key: %s", line)
		}
	}
	file, err := os.Stat(path + ".root-key")
	if err != nil {
		t.Fatal(err)
	}
	if file.Mode().Perm() != 0o600 {
		t.Errorf("the file of the key is %v", file.Mode())
	}
	first.end(t, syscall.SIGTERM)

	second, kept := serveWithKept(t, path)
	if kept != made || strings.Contains(second.stderr.String(), made) {
		t.Errorf("at the second start the key is %s, and told: %s", kept, second.stderr.String())
	}
	second.end(t, syscall.SIGTERM)

	if err := os.WriteFile(path+".root-key", []byte(testRootKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, kept := serveWithKept(t, path)
	if kept != testRootKey {
		t.Errorf("the operator's key became %s", kept)
	}
	third.As(made).Get(t, "/institutions").Want(t, 401)
}

func TestTheRootKeyOfADatabaseInMemoryIsTold(t *testing.T) {
	p := launch(t, []string{"PORT=0", "DATABASE_URL=sqlite::memory:"}, "serve")
	served := p.servedURL(t)
	_, told, _ := strings.Cut(p.stderr.String(), "The root key is ")
	key, _, _ := strings.Cut(told, ".")
	clientOf(t, served, key).Get(t, "/institutions").Want(t, 200)
	if left, err := os.ReadDir(p.cmd.Dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

func TestASecondProcessOnAnSQLiteFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	env := []string{"PORT=0", "DATABASE_URL=sqlite:" + path}
	first := serve(t, env)
	for _, command := range []string{"serve", "migrate", "demo"} {
		if code, _, stderr := call(t, env, command); code != 1 || !strings.Contains(stderr, "in use by another EscrowGrid process") {
			t.Errorf("%s ends with %d: %s", command, code, stderr)
		}
	}
	first.Get(t, "/institutions").Want(t, 200)
	// What keeps them out is no file that somebody could remove.
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("there is a lock beside the file")
	}

	first.end(t, syscall.SIGKILL)
	serve(t, env).Get(t, "/institutions").Want(t, 200)
}

// A start that fails, wherever it does, leaves nothing running: whoever calls start has
// nothing in hand that could be closed.
func TestAStartThatFailsLeavesNothingRunning(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	for name, attributes := range map[string]string{"at its address": "", "at its traces": "no list of attributes"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", attributes)
			_, err := start(t.Context(), serverConfig{
				databaseURL:        "sqlite:" + filepath.Join(t.TempDir(), "e.db"),
				logger:             slog.New(slog.DiscardHandler),
				address:            listener.Addr().String(),
				rootKey:            testRootKey,
				stderr:             io.Discard,
				queueSize:          1,
				groupSize:          1,
				checkpointOrigin:   "escrowgrid",
				checkpointInterval: time.Hour,
				verifyInterval:     time.Hour,
				expiryInterval:     time.Hour,
				shutdownTimeout:    time.Hour,
				traces:             &otlp.Config{Endpoint: "http://127.0.0.1:1", Sampler: trace.AlwaysSample()},
			}, true)
			if err == nil {
				t.Fatal("it starts")
			}

			// A goroutine may be seen for a moment after it was waited for.
			late := overdue(t)
			for running := ours(); running != ""; running = ours() {
				select {
				case <-late:
					t.Fatalf("still running:\n%s", running)
				default:
					runtime.Gosched()
				}
			}
		})
	}
}

// isOurs finds a package of a server's in a stack. Those of the tests run as well.
var isOurs = regexp.MustCompile(`\n(github\.com/escrowgrid/escrowgrid/internal/(engine|journallog|verify|store)|go\.opentelemetry\.io/otel)\b`)

// ours are the stacks of the goroutines that run a server's packages.
func ours() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if isOurs.MatchString(stack) {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

func TestAPortInUseIsAFailure(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "demo"} {
		code, _, stderr := call(t, []string{"PORT=" + port, "DATABASE_URL=sqlite::memory:"}, command)
		if code != 1 || !strings.Contains(stderr, "127.0.0.1:"+port) || !strings.Contains(stderr, "in use") {
			t.Errorf("%s ends with %d: %s", command, code, stderr)
		}
	}
}

// The server runs, serves nothing, says why, and serves once the schema is there.
func TestPostgresThatIsNotMigrated(t *testing.T) {
	env := []string{"DATABASE_URL=" + pgtest.Shared(t).NewDatabase(t)}
	p := serve(t, env)
	if detail := p.try(t, "/ready").Refused(t, 503, "store_unavailable").Problem(t).Detail; !strings.Contains(detail, "not migrated") {
		t.Errorf("/ready does not say why: %s", detail)
	}
	p.try(t, "/institutions").Refused(t, 503, "store_unavailable")
	p.try(t, "/health").Want(t, 200)

	if code, _, stderr := call(t, env, "migrate"); code != 0 {
		t.Fatalf("migrate ends with %d: %s", code, stderr)
	}
	p.try(t, "/ready").Want(t, 200)
	p.Post(t, "/institutions", `{"name": "M", "regions": ["US"]}`).Want(t, 201)
}

func TestMigrateCanBeRepeatedAndTellsNoPassword(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		parsed, err := url.Parse(databaseURL)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			code, stdout, stderr := call(t, []string{"DATABASE_URL=" + databaseURL}, "migrate")
			if code != 0 || !strings.Contains(stdout, fmt.Sprintf(" is at schema level %d.\n", store.SchemaLevel)) || stderr != "" {
				t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
			}
			if password, given := parsed.User.Password(); given && strings.Contains(stdout, password) {
				t.Errorf("it tells the password: %s", stdout)
			}
		}
	})
}

func TestServeMigratesWhenItIsTold(t *testing.T) {
	env := []string{"DATABASE_URL=" + pgtest.Shared(t).NewDatabase(t)}
	serve(t, env, "--migrate").Get(t, "/ready").Want(t, 200)
}

// A server starts without its database, and finds it when it comes.
func TestPostgresThatComesLater(t *testing.T) {
	database := pgtest.Start(t)
	env := []string{"DATABASE_URL=" + database.NewDatabase(t)}
	if code, _, stderr := call(t, env, "migrate"); code != 0 {
		t.Fatalf("migrate ends with %d: %s", code, stderr)
	}
	database.Stop(t)
	p := serve(t, env)
	p.try(t, "/ready").Refused(t, 503, "store_unavailable")
	database.Restart(t)
	p.eventually(t, "the server is ready", func() bool { return p.try(t, "/ready").Status == 200 })
	p.Post(t, "/institutions", `{"name": "M", "regions": ["US"]}`).Want(t, 201)
}

// connection is one to a server, for requests that no client would send.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

func (p *process) dial(t *testing.T) connection {
	t.Helper()
	dialled, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close() })
	if until, bounded := patience(t); bounded {
		if err := dialled.SetDeadline(until); err != nil {
			t.Fatal(err)
		}
	}
	return connection{dialled, bufio.NewReader(dialled)}
}

func (c connection) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// status is that of the next answer, 0 where the connection is closed instead.
func (c connection) status() int {
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestHeadersHaveABound(t *testing.T) {
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:"})
	for size, want := range map[int]int{16 << 10: 200, 40 << 10: 431} {
		c := p.dial(t)
		c.write(t, "GET /health HTTP/1.1\r\nHost: x\r\nX-Much: "+strings.Repeat("x", size)+"\r\n\r\n")
		if got := c.status(); got != want {
			t.Errorf("%d bytes are answered with %d, want %d", size, got, want)
		}
	}
}

// creation is the head of a request that makes an institution, but for its length.
const creation = "POST /institutions HTTP/1.1\r\nHost: x\r\nX-API-KEY: " + testRootKey + "\r\nContent-Type: application/json\r\n"

// Whoever sends as slowly as they can is cut off.
func TestSlowClientsAreCutOff(t *testing.T) {
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:"})
	headers, body := p.dial(t), p.dial(t)
	headers.write(t, "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow:")
	body.write(t, creation+"Content-Length: 100\r\n\r\n{")
	if got := headers.status(); got != 0 {
		t.Errorf("half a head is answered with %d", got)
	}
	if got := body.status(); got != http.StatusRequestTimeout {
		t.Errorf("half a body is answered with %d", got)
	}
}

// beginRequest sends a request but for its body, and returns when a handler waits
// for that.
func (p *process) beginRequest(t *testing.T, body string) connection {
	t.Helper()
	c := p.dial(t)
	c.write(t, fmt.Sprintf("%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", creation, len(body)))
	if got := c.status(); got != http.StatusContinue {
		t.Fatalf("the request is answered with %d", got)
	}
	return c
}

// A server on PostgreSQL needs no more than migrate --grant-to gives its role.
func TestAServerServesWithARoleThatOwnsNothing(t *testing.T) {
	owner := pgtest.Shared(t).NewDatabase(t)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE ROLE server_of_test LOGIN PASSWORD 'serving'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), owner)
		if err == nil {
			_, err = conn.Exec(context.Background(), "DROP OWNED BY server_of_test; DROP ROLE server_of_test")
		}
		if err != nil {
			t.Error(err)
		}
		_ = conn.Close(context.Background())
	})
	code, stdout, stderr := call(t, []string{"DATABASE_URL=" + owner}, "migrate", "--grant-to", "server_of_test")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "The role server_of_test has what a server needs.") {
		t.Fatalf("it ends with %d, %q and %q", code, stdout, stderr)
	}
	parsed, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User = url.UserPassword("server_of_test", "serving")
	v := serveVerified(t, parsed.String())
	v.end(t, syscall.SIGTERM)
	if strings.Contains(v.stderr.String(), `"level":"ERROR"`) || strings.Contains(v.stderr.String(), `"level":"WARN"`) {
		t.Errorf("it says %s", v.stderr.String())
	}

	if code, _, stderr := call(t, []string{"DATABASE_URL=" + owner}, "migrate", "--grant-to", "nobody"); code != exitFailure || !strings.Contains(stderr, `role "nobody" does not exist`) {
		t.Errorf("a role that is none ends with %d: %s", code, stderr)
	}
	if code, _, stderr := call(t, nil, "migrate", "--grant-to", "server"); code != exitUsage || !strings.Contains(stderr, "SQLite has no roles") {
		t.Errorf("on SQLite it ends with %d: %s", code, stderr)
	}
}

// Load balancers are told before the server stops: it says that it is not ready, and
// serves on.
func TestAServerThatIsToldToStopServesOnForAWhile(t *testing.T) {
	const body = `{"name": "M", "regions": ["US"]}`
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "SHUTDOWN_DELAY=10m"})
	p.Get(t, "/ready").Want(t, 200)
	p.signal(t, syscall.SIGTERM)
	p.eventually(t, "the server is not ready", func() bool { return p.try(t, "/ready").Text("code") == "shutting_down" })
	p.Get(t, "/health").Want(t, 200)
	p.Post(t, "/institutions", body).Want(t, 201)

	p = serve(t, []string{"DATABASE_URL=sqlite::memory:", "SHUTDOWN_DELAY=50ms"})
	if code := p.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("after the delay it ends with %d", code)
	}
}

func TestShutdownWaitsForWhatIsUnderWay(t *testing.T) {
	const body = `{"name": "M", "regions": ["US"]}`
	t.Run("and answers it", func(t *testing.T) {
		p := serve(t, []string{"DATABASE_URL=sqlite::memory:"})
		c := p.beginRequest(t, body)
		p.signal(t, syscall.SIGTERM)
		p.eventually(t, "the server shuts down", func() bool { return strings.Contains(p.stderr.String(), `"msg":"shutting down"`) })
		c.write(t, body)
		if got := c.status(); got != http.StatusCreated {
			t.Errorf("the request is answered with %d", got)
		}
		if code := p.wait(t); code != 0 || !strings.Contains(p.stderr.String(), `"msg":"stopped"`) {
			t.Errorf("the server ends with %d", code)
		}
	})
	t.Run("but not for ever", func(t *testing.T) {
		p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "SHUTDOWN_TIMEOUT=50ms"})
		c := p.beginRequest(t, body)
		if code := p.end(t, syscall.SIGTERM); code != 1 || !strings.Contains(p.stderr.String(), "not all was finished within 50ms") {
			t.Errorf("the server ends with %d", code)
		}
		if got := c.status(); got != 0 {
			t.Errorf("the request is answered with %d", got)
		}
	})
}

// Whatever a server accepted is answered before it ends, and what it did not
// answer it did not do. Nothing is repeated here, so that each attempt counts.
func TestShutdownUnderLoadLosesNothing(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		env := []string{"DATABASE_URL=" + databaseURL}
		p := serve(t, env, "--migrate")
		b := openBank(t, p.Client)
		var mu sync.Mutex
		var acknowledged []string
		attempt := func(reference string) (served bool) {
			answer, err := p.As(b.key).Try(t.Context(), apitest.Request{Method: http.MethodPost, Path: "/positions", Body: b.claim(reference), Unreliable: true})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case answer.Status == 0: // The connection broke.
			case err == nil && answer.Status == http.StatusCreated:
				acknowledged = append(acknowledged, reference)
			case err != nil || answer.Text("code") != "shutting_down":
				t.Errorf("a position is answered with %s, %v", answer, err)
			}
			return answer.Status != 0
		}
		var writing sync.WaitGroup
		for worker := range 16 {
			writing.Go(func() {
				for i := 0; ; i++ {
					if !attempt(fmt.Sprintf("%d-%d", worker, i)) {
						return
					}
				}
			})
		}
		p.eventually(t, "the load is on", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) > 500
		})
		if code := p.end(t, syscall.SIGTERM); code != 0 || !strings.Contains(p.stderr.String(), `"msg":"stopped"`) {
			t.Errorf("the server ends with %d", code)
		}
		writing.Wait()

		admin := serve(t, env).As(b.key)
		slices.Sort(acknowledged)
		kept := slices.Sorted(slices.Values(admin.Walk(t, "/positions?limit=1000", "externalReference")))
		if diff := cmp.Diff(acknowledged, kept); diff != "" {
			t.Errorf("what was acknowledged (-) and what there is (+) differ:\n%s", diff)
		}
		checkJournal(t, admin, entriesOfABank+len(acknowledged))
	})
}

// Names that the database has no characters for would be refused, and verified as different.
func TestADatabaseOfAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	database := pgtest.Shared(t).NewDatabaseWith(t, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	env := []string{"DATABASE_URL=" + database, "ROOT_API_KEY=" + testRootKey, nowhere}
	for _, command := range []string{"migrate", "serve", "serve --migrate", "verify"} {
		code, _, stderr := call(t, env, strings.Fields(command)...)
		if code != exitFailure || !strings.Contains(stderr, "encoding is not UTF8, but LATIN1") {
			t.Errorf("%s ends with %d: %s", command, code, stderr)
		}
	}
}

// Whoever starts a second server is told what to do.
func TestATakenPortIsToldOnce(t *testing.T) {
	t.Parallel()
	address := strings.TrimPrefix(serve(t, []string{"DATABASE_URL=sqlite::memory:"}).URL, "http://")
	_, port, _ := strings.Cut(address, ":")
	code, _, stderr := call(t, []string{"DATABASE_URL=sqlite::memory:", "ROOT_API_KEY=" + testRootKey, "PORT=" + port}, "serve")
	if code != exitFailure || strings.Count(stderr, address) != 1 || !strings.Contains(stderr, "choose another PORT") {
		t.Errorf("it ends with %d: %s", code, stderr)
	}
}

// A cause that is told twice in a line looks like two of them.
func TestADatabaseThatIsAwayIsToldOnce(t *testing.T) {
	t.Parallel()
	p := serve(t, []string{"DATABASE_URL=postgres://me@127.0.0.1:1/name"})
	p.eventually(t, "a duty fails", func() bool { return strings.Contains(p.stderr.String(), "duty failed") })
	p.end(t, syscall.SIGTERM)
	log := p.stderr.String()
	if away := "the database is away: until it is there, requests and /ready are answered 503"; !strings.Contains(log, away) {
		t.Errorf("the log does not begin with %q:\n%s", away, log)
	}
	for line := range strings.Lines(log) {
		for _, part := range []string{"connection refused", "127.0.0.1:1:", "database is not available", `\t`} {
			if strings.Count(strings.ToLower(line), part) > 1 || strings.Contains(line, `\t`) {
				t.Errorf("%q is in a line more than once: %s", part, line)
			}
		}
	}
}

// The log tells the address that the server listens on, and one that can be called.
func TestTheAddressIsLoggedAsItIs(t *testing.T) {
	t.Parallel()
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "HOST=0.0.0.0"})
	p.end(t, syscall.SIGTERM)
	port := p.URL[strings.LastIndex(p.URL, ":"):]
	if log := p.stderr.String(); !strings.Contains(log, "http://127.0.0.1"+port) || !strings.Contains(log, "[::]"+port) && !strings.Contains(log, "0.0.0.0"+port) {
		t.Errorf("the log is\n%s", log)
	}
}

// A bare number would be one of nanoseconds, which nobody reads.
func TestTheLogTellsDurationsInMilliseconds(t *testing.T) {
	t.Parallel()
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "SHUTDOWN_TIMEOUT=7s"})
	p.end(t, syscall.SIGTERM)
	if log := p.stderr.String(); !strings.Contains(log, `"msg":"shutting down","timeout_ms":7000}`) {
		t.Errorf("the time is not there in milliseconds:\n%s", log)
	}
}
