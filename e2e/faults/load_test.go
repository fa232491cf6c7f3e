package faults

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// clients is how many write at the same time, as many to each server and each institution.
const clients = 4 * servers * institutions / 2

// write is a write that was acknowledged.
type write struct {
	tenant     testbed.Tenant
	holder, id string
	server     int
}

// load is clients that write without a pause. Each repeats a write under its idempotency key
// until it is acknowledged.
type load struct {
	service *service
	stop    context.CancelFunc
	busy    sync.WaitGroup

	mu sync.Mutex
	// acknowledged are the writes of each server, in the order in which they were.
	acknowledged [servers][]write
	// halted counts the answers 503 history_lost of each server.
	halted [servers]int
	// longest is the longest time in which a server acknowledged nothing, and last when it
	// acknowledged last.
	longest [servers]time.Duration
	last    [servers]time.Time
}

// begin starts clients, whose holders have names that begin with a word.
func (s *service) begin(word string) *load {
	ctx, stop := context.WithCancel(s.t.Context())
	l := &load{service: s, stop: stop}
	for i := range l.last {
		l.last[i] = time.Now()
	}
	for client := range clients {
		l.busy.Go(func() { l.client(ctx, word, client) })
	}
	return l
}

func (l *load) client(ctx context.Context, word string, number int) {
	server, tenant := number%servers, l.service.tenants[number/servers%institutions]
	for i := 0; ctx.Err() == nil; i++ {
		w := write{tenant: tenant, holder: fmt.Sprintf("%s-%d-%d", word, number, i), server: server}
		if !l.until(ctx, &w) {
			return
		}
		l.note(w)
		// Servers also know of a journal what they have read of it.
		if i%8 == 0 {
			get := request{method: http.MethodGet, path: "/positions/" + w.id}
			l.service.ask(ctx, (server+number/2)%servers, tenant, get)
		}
	}
}

// until repeats a write until it is acknowledged, or the load ends.
func (l *load) until(ctx context.Context, w *write) (acknowledged bool) {
	for pause := 10 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 200*time.Millisecond) {
		a := l.service.ask(ctx, w.server, w.tenant, claim(w.tenant, w.holder))
		switch {
		case a.status == http.StatusCreated:
			w.id = a.id
			return true
		case a.code == "history_lost":
			l.mu.Lock()
			l.halted[w.server]++
			l.mu.Unlock()
		case a.status != 0 && a.status < 500, a.code == "internal":
			l.service.t.Error(refusal(w.server, w.holder, a))
			return false
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return false
}

func (l *load) note(w write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.longest[w.server] = max(l.longest[w.server], now.Sub(l.last[w.server]))
	l.last[w.server] = now
	l.acknowledged[w.server] = append(l.acknowledged[w.server], w)
}

// count is how many writes a server has acknowledged.
func (l *load) count(server int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged[server])
}

// counts is how many each has.
func (l *load) counts() (counts [servers]int) {
	for server := range counts {
		counts[server] = l.count(server)
	}
	return counts
}

// lastWrites are the last that a server has acknowledged to each institution, of those after
// the first so many.
func (l *load) lastWrites(server, after int) []write {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := make(map[string]write)
	for _, w := range l.acknowledged[server][after:] {
		last[w.tenant.InstitutionID] = w
	}
	return slices.Collect(maps.Values(last))
}

// goesOn waits until each of some servers has acknowledged so many writes more to clients.
func (l *load) goesOn(more int, of ...int) {
	l.service.t.Helper()
	before := l.counts()
	programtest.Eventually(l.service.t, fmt.Sprintf("servers %v acknowledge writes", of), func() bool {
		return !slices.ContainsFunc(of, func(server int) bool { return l.count(server) < before[server]+more }) ||
			l.service.t.Failed()
	})
}

// end ends the clients and returns what was acknowledged.
func (l *load) end() (acknowledged []write) {
	l.stop()
	l.busy.Wait()
	return slices.Concat(l.acknowledged[:]...)
}

// all are the servers.
func all() []int { return []int{0, 1} }
