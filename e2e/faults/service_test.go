package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

const (
	// institutions is how many journals are written to, each through every server.
	institutions = 3
	// interval is how often the servers sign.
	interval = 250 * time.Millisecond
)

// service is the servers on a cluster, and what clients were told by them.
type service struct {
	*cluster

	servers  []*testbed.Server
	logs     []*programtest.Server
	signed   []string // the files in which the servers remember what they have signed
	tenants  []testbed.Tenant
	watching sync.WaitGroup

	mu    sync.Mutex
	roots map[checkpointID]string
}

// checkpointID is what no two checkpoints may have different roots of.
type checkpointID struct {
	institution string
	size        int64
}

// checkpoint is one as the API shows it.
type checkpoint struct {
	Size     int64  `json:"size"`
	RootHash string `json:"rootHash"`
}

// serve starts servers on a cluster.
func serve(t *testing.T, c *cluster) *service {
	t.Helper()
	s := &service{cluster: c, roots: make(map[checkpointID]string)}
	for i := range servers {
		s.signed = append(s.signed, filepath.Join(t.TempDir(), "signed"))
		program := programtest.Serve(t, c.databaseURL(i),
			"CHECKPOINT_INTERVAL="+interval.String(), "SIGNED_CHECKPOINTS_PATH="+s.signed[i],
			"DATABASE_CONNECTIONS=16")
		server, err := testbed.Attach(t.Context(),
			apiclient.Client{URL: program.URL, HTTP: &http.Client{Timeout: time.Minute}}, programtest.RootKey)
		if err != nil {
			t.Fatal(err)
		}
		s.servers, s.logs = append(s.servers, server), append(s.logs, program)
	}

	var err error
	if s.tenants, err = s.servers[0].MakeTenants(t.Context(), t.Name(), institutions); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	for server := range s.servers {
		s.watching.Go(func() { s.watchCheckpoints(ctx, server) })
	}
	t.Cleanup(func() { stop(); s.watching.Wait() })
	return s
}

// watchCheckpoints notes the checkpoints that a server shows.
func (s *service) watchCheckpoints(ctx context.Context, server int) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		for _, tenant := range s.tenants {
			var shown checkpoint
			path := "/institutions/" + tenant.InstitutionID + "/journal/checkpoint"
			if err := s.servers[server].GetOnce(ctx, tenant.APIKey, path, &shown); err == nil {
				s.noteCheckpoint(tenant, shown)
			}
		}
	}
}

// noteCheckpoint notes one that was signed; that there is no other of its size is what a
// transparency log promises.
func (s *service) noteCheckpoint(tenant testbed.Tenant, shown checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := checkpointID{tenant.InstitutionID, shown.Size}
	if other, ok := s.roots[id]; ok && other != shown.RootHash {
		s.t.Errorf("two roots are signed of %v: %s and %s", id, other, shown.RootHash)
	}
	s.roots[id] = shown.RootHash
}

// largest is the size of the largest checkpoint that was seen of an institution.
func (s *service) largest(tenant testbed.Tenant) (size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.roots {
		if id.institution == tenant.InstitutionID {
			size = max(size, id.size)
		}
	}
	return size
}

// answer is what a server has answered: a status, 0 where it has not, the code of an error, and
// the id of a position.
type answer struct {
	status   int
	code, id string
}

// ask sends a request to a server.
func (s *service) ask(ctx context.Context, server int, tenant testbed.Tenant, r request) (a answer) {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			s.t.Error(err)
			return a
		}
	}
	ctx, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	request, err := http.NewRequestWithContext(ctx, r.method, s.servers[server].URL+r.path, bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return a
	}

	request.Header.Set("X-API-KEY", tenant.APIKey)
	request.Header.Set("Content-Type", "application/json")
	if r.idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", r.idempotencyKey)
	}
	response, err := s.servers[server].HTTP.Do(request)
	if err != nil {
		return a
	}
	defer response.Body.Close()
	var shown struct{ ID, Code string }
	if err := json.NewDecoder(response.Body).Decode(&shown); err != nil {
		return a
	}
	return answer{response.StatusCode, shown.Code, shown.ID}
}

type request struct {
	method, path, idempotencyKey string
	body                         object
}

// claim is a request for a position of a holder, under an idempotency key.
func claim(tenant testbed.Tenant, holder string) request {
	return request{http.MethodPost, "/positions", holder, object{
		"assetId": tenant.AssetID, "holderReference": holder, "currency": "USD", "amount": "10",
	}}
}

// held reads every position of an institution, by holder.
func (s *service) held(tenant testbed.Tenant) map[string]string {
	s.t.Helper()
	held := make(map[string]string)
	type position struct{ ID, HolderReference string }
	err := apiclient.List(s.t.Context(), s.servers[0].Client, tenant.APIKey, "/positions", make(map[string][]string),
		1<<40, func(p position) error {
			if other, twice := held[p.HolderReference]; twice {
				s.t.Errorf("%s has two positions: %s and %s", p.HolderReference, other, p.ID)
			}
			held[p.HolderReference] = p.ID
			return nil
		})
	if err != nil {
		s.t.Fatal(err)
	}
	return held
}

// keepCheckpoints keeps the last checkpoint of each institution, and returns the files.
func (s *service) keepCheckpoints() (files []string) {
	s.t.Helper()
	for _, tenant := range s.tenants {
		var last struct{ Note string }
		path := "/institutions/" + tenant.InstitutionID + "/journal/checkpoint"
		if err := s.servers[0].Call(s.t.Context(), tenant.APIKey, http.MethodGet, path, nil, &last); err != nil {
			s.t.Fatal(err)
		}
		file := filepath.Join(s.t.TempDir(), "checkpoint")
		if err := os.WriteFile(file, []byte(last.Note), 0o600); err != nil {
			s.t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// verify verifies the database, also against checkpoints in files, and compares all checkpoints
// in it with those that were seen.
func (s *service) verify(kept ...string) {
	s.t.Helper()
	for _, tenant := range s.tenants {
		path := "/institutions/" + tenant.InstitutionID + "/journal/checkpoints"
		err := apiclient.List(s.t.Context(), s.servers[0].Client, tenant.APIKey, path, make(map[string][]string), 1<<40,
			func(c checkpoint) error { s.noteCheckpoint(tenant, c); return nil })
		if err != nil {
			s.t.Fatal(err)
		}
	}
	arguments := []string{"verify"}
	for _, file := range kept {
		arguments = append(arguments, "--checkpoint", file)
	}
	output, err := s.run(arguments...)
	if err != nil {
		s.t.Errorf("the database does not verify: %v\n%s", err, output)
	}
	s.t.Logf("%s", lastLines(output, 4))
}

// run runs a command of the program on the database.
func (s *service) run(arguments ...string) (string, error) {
	command := exec.CommandContext(s.t.Context(), programtest.Program(), arguments...)
	command.Env = []string{"DATABASE_URL=" + s.databaseURL(0), "SIGNED_CHECKPOINTS_PATH=" + s.signed[0]}
	output, err := command.CombinedOutput()
	return string(output), err
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// lost counts the institutions that a server takes for halted; -1 where it does not say.
func (s *service) lost(server int) int {
	metrics, err := s.servers[server].Metrics(s.t.Context())
	if err != nil {
		return -1
	}
	return int(metrics.Value("escrowgrid_history_lost_institutions"))
}

// errRefused says that a write was refused for good, which none should be.
var errRefused = errors.New("a write was refused")

func refusal(server int, holder string, a answer) error {
	return fmt.Errorf("%w: server %d answers %s with %d %s", errRefused, server, holder, a.status, a.code)
}
