package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"

	"github.com/escrowgrid/escrowgrid/internal/subprocess"
)

// The answers of the floor: what the server answers to the same requests, with as many bytes.
const (
	floorPosition = "pos_01jd8m3q5yf7wbt0x4a2k9r6ce"
	floorAnswer   = `{"id":"pos_01jd8m3q5yf7wbt0x4a2k9r6ce","institutionId":"inst_01jd8m3q5yf7wbt0x4a2k9r6ce",` +
		`"assetId":"ast_01jd8m3q5yf7wbt0x4a2k9r6ce","holderReference":"ACME-4711","currency":"USD","amount":"1000.00",` +
		`"funded":"1000.00","released":"0.00","refunded":"0.00","held":"1000.00","state":"FUNDED","version":2,` +
		`"createdAt":"2026-01-01T00:00:00.000000Z","updatedAt":"2026-01-01T00:00:00.000001Z","events":[` +
		`{"id":"entry_01jd8m3q5yf7wbt0x4a2k9r6cf","sequence":6,"fromState":"CREATED","toState":"FUNDED","amount":"1000.00",` +
		`"actor":"key_01jd8m3q5yf7wbt0x4a2k9r6ce","at":"2026-01-01T00:00:00.000001Z"}]}` + "\n"
)

// FloorCommand is the hidden command of a program that runs ServeFloor.
const FloorCommand = "bench-floor"

// ServeFloor runs a server that parses and keeps nothing, but answers: it is as fast as a
// server can be with Go's HTTP on this machine. It writes its address to out, as a line, and
// serves until the context ends.
func ServeFloor(ctx context.Context, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: floorRoutes()} //nolint:gosec // Its only client is this benchmark.
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()

	// Clients can connect already: the listener queues them.
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// floorRoutes answers the requests that the benchmarks send, without looking at them.
func floorRoutes() http.Handler {
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			if status == http.StatusCreated {
				w.Header().Set("Location", "/positions/"+floorPosition)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, floorAnswer)
		}
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /positions", answer(http.StatusCreated))
	routes.HandleFunc("POST /positions/{id}/transition", answer(http.StatusOK))
	routes.HandleFunc("GET /positions/{id}", answer(http.StatusOK))

	// As a collector of traces, it answers that it has taken all spans.
	routes.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	return routes
}

// floor is a running floor of HTTP. It has a process of its own, as servers have.
type floor struct {
	addresses []string
	program   *exec.Cmd
	ended     <-chan struct{}
}

// startFloor starts a program that runs ServeFloor, and waits until it listens.
func startFloor(executable string) (*floor, error) {
	f := &floor{program: exec.Command(executable, FloorCommand)} //nolint:noctx // close ends it.
	out, err := f.program.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if f.ended, err = subprocess.Start(f.program, syscall.SIGTERM); err != nil {
		return nil, err
	}

	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		f.close()
		return nil, fmt.Errorf("start the floor server: %w", err)
	}
	f.addresses = []string{strings.TrimSpace(line)}
	return f, nil
}

// close ends the program.
func (f *floor) close() {
	_ = f.program.Process.Kill() // It may have ended.
	<-f.ended
}

// inLoop is a contender that does work as often as it can. Its figure is in pieces of work per
// second.
func (f *floor) inLoop(connections int, do work) contender {
	return inLoop("net/http floor", f.addresses, connections, nil, do)
}

// floorCreation is the body of a request that creates a position.
var floorCreation = []byte(`{"assetId":"ast_01jd8m3q5yf7wbt0x4a2k9r6ce","holderReference":"ACME-4711",` +
	`"currency":"USD","amount":"1000.00"}`)

// createAndFund sends the two requests of a pair.
func (f *floor) createAndFund(_ int, c *connection) error {
	created, err := c.expect(http.StatusCreated, request{
		method:         http.MethodPost,
		path:           "/positions",
		apiKey:         "egk_none",
		idempotencyKey: "none",
		body:           floorCreation,
	})
	if err != nil {
		return err
	}

	_, err = c.expect(http.StatusOK, request{
		method:         http.MethodPost,
		path:           created.location + "/transition",
		apiKey:         "egk_none",
		idempotencyKey: "none",
		body:           funding,
	})
	return err
}

// get reads a position.
func (f *floor) get(_ int, c *connection) error {
	_, err := c.expect(http.StatusOK, request{
		method: http.MethodGet,
		path:   "/positions/" + floorPosition,
		apiKey: "egk_none",
	})
	return err
}
