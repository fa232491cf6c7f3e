package httpapi

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const (
	// DefaultAnswerMemory is enough for 64 of the largest pages at the same time.
	DefaultAnswerMemory = 64 * escrow.MaxPageBytes
	// smallAnswer is what is not counted, in bytes: most answers are smaller, and there can
	// be thousands of them.
	smallAnswer = 64 << 10
	// tenantShare is the part of the memory that one institution can have, so that clients
	// of one that read slowly leave room for all others.
	tenantShare = 2
)

// answerMemory bounds what large answers take at the same time, in bytes of their rows: those
// beyond it wait for their turn before they read anything.
type answerMemory struct {
	whole *semaphore.Weighted
	// share is the part of it that one institution can have.
	share int64

	mu      sync.Mutex
	tenants map[escrow.InstitutionID]*tenantMemory
}

// tenantMemory is an institution's share, as long as answers use it.
type tenantMemory struct {
	*semaphore.Weighted
	users int
}

func newAnswerMemory(bytes int64) *answerMemory {
	if bytes == 0 {
		bytes = DefaultAnswerMemory
	}
	// However little there is, one page at a time can be read.
	share := max(bytes/tenantShare, escrow.MaxPageBytes)
	return &answerMemory{
		whole:   semaphore.NewWeighted(max(bytes, share)),
		share:   share,
		tenants: make(map[escrow.InstitutionID]*tenantMemory),
	}
}

// reserve waits for room for an answer of so many bytes to an institution, the zero one being
// the operator. Release gives it back.
func (m *answerMemory) reserve(
	ctx context.Context, of escrow.InstitutionID, bytes int64,
) (release func(), err error) {
	bytes = min(bytes, m.share)
	tenant := m.join(of)
	if err := tenant.Acquire(ctx, bytes); err != nil {
		m.leave(of, tenant)
		return nil, err
	}
	if err := m.whole.Acquire(ctx, bytes); err != nil {
		tenant.Release(bytes)
		m.leave(of, tenant)
		return nil, err
	}

	return func() {
		m.whole.Release(bytes)
		tenant.Release(bytes)
		m.leave(of, tenant)
	}, nil
}

func (m *answerMemory) join(of escrow.InstitutionID) *tenantMemory {
	m.mu.Lock()
	defer m.mu.Unlock()

	tenant := m.tenants[of]
	if tenant == nil {
		tenant = &tenantMemory{Weighted: semaphore.NewWeighted(m.share)}
		m.tenants[of] = tenant
	}
	tenant.users++
	return tenant
}

func (m *answerMemory) leave(of escrow.InstitutionID, tenant *tenantMemory) {
	m.mu.Lock()
	defer m.mu.Unlock()

	tenant.users--
	if tenant.users == 0 {
		delete(m.tenants, of)
	}
}

// eventOverhead is what an event takes beside its metadata and its reason, in bytes.
const eventOverhead = 512

// historySize is about what a position takes with all of its events, in bytes.
func historySize(p escrow.Position) int64 { return p.HistoryBytes + p.Version*eventOverhead }

// reserveMemory waits for room for the answer, of so many bytes, until the request's time ends.
// It is to be called before they are read, once.
func (c *call) reserveMemory(bytes int64) (err error) {
	if bytes <= smallAnswer {
		return nil
	}

	c.server.metrics.memoryWaits.Inc()
	defer c.server.metrics.memoryWaits.Dec()
	c.release, err = c.server.memory.reserve(c.context(), c.caller.institution, bytes)
	if err != nil {
		return escrow.Wrap(escrow.CodeRequestTimeout, err,
			"Other large answers take the memory there is for them; nothing was read.")
	}
	return nil
}

// releaseMemory gives back what was reserved, when the answer was sent.
func (c *call) releaseMemory() {
	if c.release != nil {
		c.release()
	}
}
