package engine

import (
	"context"
	"crypto/rand"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// maxRuledInstitutions bounds the institutions that are known to have approval rules, some 100 bytes each. For
// one that is forgotten a command is executed twice.
const maxRuledInstitutions = 100_000

// maxRounds bounds how often a request is executed because its books lacked rows: twice as often as it takes while
// nobody else changes what it is decided on.
const maxRounds = 2 * escrow.MaxAttempts

// noteRules notes whether commands on some books are held against approval rules, so that the next ones ask at
// once for what these are judged on.
func (e *Engine) noteRules(books *escrow.Books) {
	switch hint := books.RulesHint(); {
	case hint.Rules:
		e.ruled.Add(books.InstitutionID(), hint)
	case e.ruled.Len() > 0:
		e.ruled.Remove(books.InstitutionID())
	}
}

// splitLacking returns the requests of a group whose books lacked rows, which they name from now on, and answers
// those that have had too many rounds.
func splitLacking(group []*pending, outcomes []escrow.Outcome) (lacking []*pending) {
	for i, p := range group {
		if outcomes[i].Lacks == nil {
			continue
		}
		p.request = p.request.With(*outcomes[i].Lacks)
		p.rounds++
		if p.rounds < maxRounds {
			lacking = append(lacking, p)
			continue
		}
		p.done <- result{err: escrow.Errorf(escrow.CodeInternal,
			"What the command is decided on has changed %d times; nothing was done.", maxRounds)}
	}
	return lacking
}

const (
	// sievedAtOnce is how many pending approvals are read together, and maxSieved bounds those that are looked
	// at for a page: each is read whole, with its command.
	sievedAtOnce = 100
	maxSieved    = 1000
)

// ApprovalSieve chooses from approvals by what no index tells.
type ApprovalSieve struct {
	// ForActor takes those that wait and the actor of the request could approve now.
	ForActor bool
	// BreakGlass takes those that the operator has not waited for.
	BreakGlass bool
}

// SievedApprovals returns a page of the approvals of a filter that pass a sieve, in order of id. Through a sieve a
// page looks at maxSieved at most: it can be short or empty, and goes on behind them. It counts nothing then.
func (e *Engine) SievedApprovals(
	ctx context.Context, request escrow.Request, filter escrow.ApprovalFilter, sieve ApprovalSieve,
	page escrow.PageRequest,
) (escrow.Page[escrow.Approval], error) {
	if sieve == (ApprovalSieve{}) {
		return e.store.Approvals(ctx, request.Institution, filter, page)
	}

	ctx = WithSnapshot(ctx)
	passes := func(_ context.Context, a escrow.Approval) (bool, error) {
		asked, err := a.Asked()
		return asked.BreakGlass, err
	}

	if sieve.ForActor {
		people, err := e.newPeople(ctx, request)
		if err != nil {
			return escrow.Page[escrow.Approval]{}, err
		}
		filter.Statuses, passes = []escrow.ApprovalStatus{escrow.ApprovalPending}, people.canApprove
	}
	return e.sieve(ctx, request.Institution, filter, passes, page)
}

func (e *Engine) sieve(
	ctx context.Context, of escrow.InstitutionID, filter escrow.ApprovalFilter,
	passes func(context.Context, escrow.Approval) (bool, error), page escrow.PageRequest,
) (escrow.Page[escrow.Approval], error) {
	found := escrow.Page[escrow.Approval]{Items: []escrow.Approval{}}
	limit, size := page.Limit, 0
	page.Limit, page.Count = sievedAtOnce, false
	for left := maxSieved; ; {
		rows, err := e.store.Approvals(ctx, of, filter, page)
		if err != nil {
			return found, err
		}
		for _, a := range rows.Items {
			can, err := passes(ctx, a)
			if err != nil {
				return found, err
			}
			if can && (len(found.Items) == limit || size >= escrow.MaxPageBytes) {
				found.More = true
				return found, nil
			}
			if can {
				found.Items = append(found.Items, a)
				size += len(a.Request) + len(a.Private)
			}
			page.After = new(escrow.IDCursor(a.ID))
		}

		left -= len(rows.Items)
		if !rows.More || left <= 0 {
			if rows.More {
				found.More, found.Next = true, page.After
			}
			return found, nil
		}
	}
}

// people are those who have to do with approvals, as far as they were asked for.
type people struct {
	engine  *Engine
	request escrow.Request
	books   *escrow.Books
}

func (e *Engine) newPeople(ctx context.Context, request escrow.Request) (*people, error) {
	of := request.Institution
	books := escrow.NewBooks(of, escrow.Head{}, true)
	provider, err := e.store.IdentityProvider(ctx, of)
	if err != nil && escrow.ErrorCode(err) != escrow.CodeProviderNotFound {
		return nil, err
	}
	roles, err := e.store.Roles(ctx, of)
	if err != nil {
		return nil, err
	}

	books.Providers.Load(of, provider)
	for _, role := range roles {
		books.Roles.Load(role.Name, role)
	}
	return &people{engine: e, request: request, books: books}, nil
}

// canApprove reports whether the actor could approve an approval now.
func (p *people) canApprove(ctx context.Context, a escrow.Approval) (bool, error) {
	// Who made a key is known once it is read.
	for known := -1; known != p.books.Keys.Len(); {
		known = p.books.Keys.Len()
		needs, of := p.books.ApproverNeeds(p.request, a), p.request.Institution
		err := loadMissing(ctx, &p.books.Keys, needs.Keys, of, p.engine.store.Key, escrow.CodeKeyNotFound)
		if err != nil {
			return false, err
		}
		err = loadMissing(ctx, &p.books.Users, needs.Users, of, p.engine.store.User, escrow.CodeUserNotFound)
		if err != nil {
			return false, err
		}
	}
	return p.books.CanApprove(p.request, a, p.engine.config.Now()), nil
}

// loadMissing loads those of some rows that are not there yet, as far as the store has them.
func loadMissing[K comparable, V any](
	ctx context.Context, rows *escrow.Rows[K, V], ids []K, of escrow.InstitutionID,
	read func(context.Context, escrow.InstitutionID, K) (V, error), missing escrow.Code,
) error {
	for _, id := range ids {
		if _, there := rows.Get(id); there {
			continue
		}
		row, err := read(ctx, of, id)
		if err == nil {
			rows.Load(id, row)
		} else if escrow.ErrorCode(err) != missing {
			return err
		}
	}
	return nil
}

// expireApprovals expires approvals that have waited too long, as expirePositions does with positions, and tells
// how many wait.
func (e *Engine) expireApprovals(ctx context.Context) {
	e.every(ctx, e.config.ExpiryInterval, func(ctx context.Context) {
		expireAll(ctx, e, expiring[escrow.DueApproval]{
			lease: store.DutyApprovals, duty: dutyApprovals,
			find: e.store.DueApprovals, requests: approvalExpiriesOf,
			due: e.metrics.approvals.due, expired: e.metrics.approvals.expired,
		})
		e.dutyFailed(dutyApprovals, e.countApprovals(ctx))
	})
}

func approvalExpiriesOf(due []escrow.DueApproval) []escrow.Request {
	requestID := "approval-expiry-" + rand.Text()
	requests := make([]escrow.Request, len(due))
	for i, approval := range due {
		requests[i] = escrow.Request{
			Institution: approval.InstitutionID,
			Actor:       escrow.ActorSystem(),
			RequestID:   requestID,
			Command:     escrow.ExpireApproval{Approval: approval.ApprovalID},
		}
	}
	return requests
}

// countApprovals sets the metrics of the approvals that wait.
func (e *Engine) countApprovals(ctx context.Context) error {
	pending, err := e.store.PendingApprovals(ctx)
	if err != nil {
		return err
	}

	now, age, left := e.config.Now(), 0.0, math.Inf(1)
	if pending.Oldest != nil {
		age = now.Sub(*pending.Oldest).Seconds()
	}
	if pending.NextExpiry != nil {
		left = pending.NextExpiry.Sub(now).Seconds()
	}
	e.metrics.approvals.pending.Set(float64(pending.Count))
	e.metrics.approvals.oldestAge.Set(age)
	e.metrics.approvals.nextExpiry.Set(left)
	return nil
}

// approvalMetrics are those of approvals that wait, which each server looks for, and of commands that did not.
type approvalMetrics struct {
	pending, oldestAge, nextExpiry, due prometheus.Gauge
	expired, breakGlass                 prometheus.Counter
}

func newApprovalMetrics(
	counter func(name, help string) prometheus.Counter, gauge func(name, help string) prometheus.Gauge,
) approvalMetrics {
	m := approvalMetrics{
		pending: gauge("approvals_pending",
			"Approvals that wait, up to 100000, when this server last looked for them."),
		oldestAge: gauge("approvals_oldest_age_seconds",
			"For how long the oldest approval has waited that is pending; 0 without one."),
		nextExpiry: gauge("approvals_next_expiry_seconds",
			"In how many seconds the next approval expires that is pending; infinite without one."),
		due: gauge("approvals_due",
			"Pending approvals past their expiresAt, up to 500, when this server last looked for them."),
		expired: counter("approvals_expired_total", "Approvals that this server expired."),
		breakGlass: counter("break_glass_total",
			"Commands under an approval rule that the operator has carried out without the approval."),
	}

	m.nextExpiry.Set(math.Inf(1))
	return m
}
