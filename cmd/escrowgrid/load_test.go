package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// load is clients that make and fund positions of some banks. Each step is under an
// idempotency key of its own and is repeated until it is answered, whatever becomes
// of the servers meanwhile.
type load struct {
	banks []bank
	// servers are those that the clients turn to.
	servers atomic.Pointer[[]apitest.Client]
	// acknowledged counts the steps that were answered, failed the attempts that were
	// not, and replayed the answers to steps that an attempt had done that failed.
	acknowledged, failed, replayed atomic.Int64
	stopping                       chan struct{}
	writing                        sync.WaitGroup

	mu sync.Mutex
	// funded are the ids of each bank's positions whose steps were both acknowledged,
	// by their references.
	funded []map[string]string
	// faults are the answers that a client gave up for.
	faults []string
}

// startLoad puts a load on banks until it is stopped, or the test ends.
func startLoad(t *testing.T, banks []bank, servers ...apitest.Client) *load {
	t.Helper()
	const clients = 12
	l := &load{banks: banks, stopping: make(chan struct{})}
	l.servers.Store(&servers)
	for range banks {
		l.funded = append(l.funded, make(map[string]string))
	}
	for client := range clients {
		l.writing.Go(func() { l.write(t.Context(), client) })
	}
	t.Cleanup(func() {
		l.writing.Wait() // The test's context has ended.
		for _, fault := range l.faults {
			t.Error(fault)
		}
	})
	return l
}

// moveTo sends the requests from now on to other servers.
func (l *load) moveTo(servers ...apitest.Client) { l.servers.Store(&servers) }

// write makes one position after the other, and funds them.
func (l *load) write(ctx context.Context, client int) {
	of := client % len(l.banks)
	for turn := client; ; turn++ {
		select {
		case <-l.stopping:
			return
		default:
		}
		reference := fmt.Sprintf("%d-%d", client, turn)
		made, ok := l.send(ctx, of, turn, "/positions", l.banks[of].claim(reference), "make-"+reference)
		if !ok {
			return
		}
		if _, ok := l.send(ctx, of, turn+1, "/positions/"+made.Text("id")+"/transition", `{"toState": "FUNDED"}`, "fund-"+reference); !ok {
			return
		}
		l.mu.Lock()
		l.funded[of][reference] = made.Text("id")
		l.mu.Unlock()
	}
}

// send repeats a request, with each server in turn, until it is accepted.
func (l *load) send(ctx context.Context, of, turn int, path, body, key string) (apitest.Answer, bool) {
	r := apitest.Request{Method: http.MethodPost, Path: path, Body: body, Headers: []string{"Idempotency-Key: " + key}, Unreliable: true}
	for ; ctx.Err() == nil; turn++ {
		servers := *l.servers.Load()
		answer, err := servers[turn%len(servers)].As(l.banks[of].key).Try(ctx, r)
		switch {
		case err == nil && answer.Status < http.StatusBadRequest:
			l.acknowledged.Add(1)
			if answer.Header.Get("Idempotent-Replayed") != "" {
				l.replayed.Add(1)
			}
			return answer, true
		case answer.Status != 0 && (err != nil || answer.Status != http.StatusServiceUnavailable):
			l.mu.Lock()
			l.faults = append(l.faults, fmt.Sprintf("%s %s is answered with %s, %v", path, body, answer, err))
			l.mu.Unlock()
			return answer, false
		}
		l.failed.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond): // As a client would, it does not call without a pause.
		}
	}
	return apitest.Answer{}, false
}

// awaitMore waits until so many more steps are acknowledged.
func (l *load) awaitMore(t *testing.T, p *process, steps int64) {
	t.Helper()
	enough := l.acknowledged.Load() + steps
	p.eventually(t, "the load goes on", func() bool { return l.acknowledged.Load() >= enough || l.faulty() })
	if l.faulty() {
		t.Fatal("a client has given up")
	}
}

func (l *load) faulty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.faults) > 0
}

// stop lets every client finish what it has begun, and checks on a server that all
// of it is there, once, and nothing else.
func (l *load) stop(t *testing.T, server apitest.Client) {
	t.Helper()
	close(l.stopping)
	l.writing.Wait()
	t.Logf("%d steps; %d attempts failed, %d of them were done nevertheless", l.acknowledged.Load(), l.failed.Load(), l.replayed.Load())
	for i, b := range l.banks {
		admin := server.As(b.key)
		references, ids := slices.Sorted(maps.Keys(l.funded[i])), slices.Sorted(maps.Values(l.funded[i]))
		for _, list := range []struct {
			path, value string
			want        []string
		}{
			{"/positions?limit=1000", "externalReference", references},
			{"/positions?limit=1000", "id", ids},
			{"/positions?limit=1000&state=FUNDED", "id", ids},
			{"/positions?limit=1000", "held", slices.Repeat([]string{"1000.00"}, len(ids))},
			{"/ledger-events?limit=1000&kind=POSITION_CREATED", "positionId", ids},
			{"/ledger-events?limit=1000&kind=POSITION_STATE_CHANGED", "positionId", ids},
		} {
			got := slices.Sorted(slices.Values(admin.Walk(t, list.path, list.value)))
			if diff := cmp.Diff(list.want, got); diff != "" {
				t.Errorf("%s: what was acknowledged (-) and the %s that there are (+) differ:\n%s", list.path, list.value, diff)
			}
		}
		checkJournal(t, admin, entriesOfABank+2*len(ids))
	}
}
