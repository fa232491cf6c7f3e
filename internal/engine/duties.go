package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// The duties are what the engine does by itself, beside the commands.

const (
	// expiryPage is how many positions are expired before the next look for more.
	expiryPage = 500
	// purgePage bounds one DELETE, purgeInterval is how often one is due.
	purgePage     = 1000
	purgeInterval = time.Minute
	// dutyTimeout bounds one round of a duty, lastRoundTimeout the one that keeps the engine from
	// closing.
	dutyTimeout      = 30 * time.Second
	lastRoundTimeout = time.Second
)

// The names of the duties in metrics and logs.
const (
	dutyExpiry         = "expiry"
	dutyPurge          = "purge"
	dutySecurityEvents = "security events"
	dutyHistory        = "history"
	dutyAbandoned      = "abandoned sessions"
	dutyKeyUses        = "key uses"
	dutySessions       = "sessions"
	dutyKeyExpiry      = "key expiry"
	dutyApprovals      = "approvals"
)

// every calls work at an interval until the engine closes. The context ends what
// is under way.
func (e *Engine) every(ctx context.Context, interval time.Duration, work func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-e.quit:
			return
		case <-ticker.C:
		}
		round, done := context.WithTimeout(ctx, dutyTimeout)
		work(round)
		done()
	}
}

// everyAndLast is every for work that writes what waits in memory: it is called once more when the
// engine closes, for lastRoundTimeout at most.
func (e *Engine) everyAndLast(ctx context.Context, interval time.Duration, work func(context.Context)) {
	e.every(ctx, interval, work)

	last, cancel := context.WithTimeout(context.Background(), lastRoundTimeout)
	defer cancel()
	work(last)
}

// expirePositions moves positions that have outlived their expiresAt to EXPIRED, on one
// server at a time. Every server looks for them: the one that has the duty may be frozen,
// and while nothing is due nobody needs the duty.
func (e *Engine) expirePositions(ctx context.Context) {
	e.every(ctx, e.config.ExpiryInterval, func(ctx context.Context) {
		expireAll(ctx, e, expiring[escrow.DuePosition]{
			lease: store.DutyExpiry, duty: dutyExpiry,
			find: e.store.DuePositions, requests: positionExpiriesOf,
			due: e.metrics.due, expired: e.metrics.expired,
		})
	})
}

// expiring is what comes to an end by the clock: how it is found, as far as it is due, the requests that end it,
// the duty that this is, and its metrics.
type expiring[T any] struct {
	lease    store.Duty
	duty     string
	find     func(ctx context.Context, now time.Time, limit int) ([]T, error)
	requests func(due []T) []escrow.Request
	due      prometheus.Gauge
	expired  prometheus.Counter
}

// expireAll expires all that is due, page by page, if this process leads.
func expireAll[T any](ctx context.Context, e *Engine, what expiring[T]) {
	for more := true; more; {
		more = false
		due, err := what.find(ctx, e.config.Now(), expiryPage)
		what.due.Set(float64(len(due)))

		if len(due) > 0 {
			_, err = e.store.IfLeader(ctx, what.lease, func(ctx context.Context) error {
				err := e.expire(ctx, what.requests(due), what.expired)
				more = err == nil && len(due) == expiryPage
				return err
			})
		}
		e.dutyFailed(what.duty, err)
	}
}

func positionExpiriesOf(due []escrow.DuePosition) []escrow.Request {
	requestID := "expiry-" + rand.Text()
	requests := make([]escrow.Request, len(due))
	for i, position := range due {
		requests[i] = escrow.Request{
			Institution: position.InstitutionID,
			Actor:       escrow.ActorSystem(),
			RequestID:   requestID,
			Command:     escrow.ExpirePosition(position.PositionID),
		}
	}
	return requests
}

// expire carries out requests to expire something, waits for all of them, and counts those that did. What has come
// to an end in the meantime refuses, as does a halted institution.
func (e *Engine) expire(ctx context.Context, requests []escrow.Request, expired prometheus.Counter) error {
	late := []escrow.Code{escrow.CodeInvalidTransition, escrow.CodeApprovalClosed, escrow.CodeHistoryLost}
	errs := make([]error, len(requests))

	var waiting sync.WaitGroup
	for i, request := range requests {
		waiting.Go(func() {
			if _, errs[i] = e.Do(ctx, request); errs[i] == nil {
				expired.Inc()
			}
			if slices.Contains(late, escrow.ErrorCode(errs[i])) {
				errs[i] = nil
			}
		})
	}

	waiting.Wait()
	return errors.Join(errs...)
}

// purge removes what has outlived its retention.
func (e *Engine) purge(ctx context.Context) {
	e.every(ctx, purgeInterval, func(ctx context.Context) {
		for more := true; more; {
			more = false
			_, err := e.store.IfLeader(ctx, store.DutyPurge, func(ctx context.Context) error {
				removed, err := e.store.Purge(ctx, e.config.Now(), purgePage)
				more = err == nil && removed >= purgePage
				return err
			})
			e.dutyFailed(dutyPurge, err)
		}
	})
}

// endAbandoned ends the sessions of other servers that keep this one from writing and have
// not been heard of. Every server looks for them: the next one to freeze may be any.
func (e *Engine) endAbandoned(ctx context.Context) {
	e.every(ctx, e.config.AbandonedAfter/2, func(ctx context.Context) {
		ended, err := e.store.EndAbandoned(ctx, e.config.AbandonedAfter)
		if ended > 0 {
			e.metrics.abandoned.Add(float64(ended))
			e.log.Warn("ended sessions of servers that kept others from writing and were not heard of",
				"sessions", ended, "after", e.config.AbandonedAfter)
		}
		e.dutyFailed(dutyAbandoned, err)
	})
}

func (e *Engine) dutyFailed(duty string, err error) {
	if err != nil {
		e.metrics.dutyFailures.WithLabelValues(duty).Inc()
		e.log.Warn("duty failed; it will be tried again", "duty", duty, "error", err)
	}
}
