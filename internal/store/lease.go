package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Duty is background work that one process at a time does.
type Duty int64

// The duties. Each has a row in duty_leases, which its migration makes; their numbers must
// not change between versions.
const (
	DutyExpiry       Duty = 1
	DutyPurge        Duty = 2
	DutyCheckpoints  Duty = 3
	DutyVerification Duty = 4
	DutyKeyExpiry    Duty = 5
	DutyApprovals    Duty = 6
)

// ErrNotLeader means that another process has taken a duty over: this one was frozen or
// cut off for longer than its lease, and has written nothing since.
var ErrNotLeader = errors.New("another process has taken the duty over")

// leaseTime is how long a process has a duty for without renewing its lease, and so how
// long a duty can stand still when the process that does it is frozen or cut off.
const leaseTime = 20 * time.Second

// lease is a duty that a process has, until an end by the clock of the database. Each
// lease of a duty has a greater fence than the one before: what is written for a duty
// commits only while its fence is the greatest (Kleppmann, How to do distributed locking).
type lease struct {
	duty  Duty
	fence int64
}

// leaseRow is a lease as it is stored.
type leaseRow struct {
	Duty   int64
	Fence  int64
	EndsAt time.Time
}

var leaseTable = newTable("duty_leases", func(l *leaseRow) []column {
	return []column{
		key("duty", bigintColumn(&l.Duty)),
		changing("fence", bigintColumn(&l.Fence)),
		changing("ends_at", timeColumn(&l.EndsAt)),
	}
})

// The statements of leases are PostgreSQL's alone: an SQLite file has one process.
const (
	leaseTaken = `UPDATE duty_leases SET fence = fence + 1, ends_at = clock_timestamp() + $2 * interval '1 microsecond'
		WHERE duty = $1 AND ends_at <= clock_timestamp() RETURNING fence`
	leaseRenewed = `UPDATE duty_leases SET ends_at = clock_timestamp() + $3 * interval '1 microsecond'
		WHERE duty = $1 AND fence = $2`
	// A fence that is no longer the greatest would become -1, which the table's CHECK
	// refuses, and the transaction with it. While it is under way, nobody takes the duty.
	leaseHeld = `UPDATE duty_leases SET fence = CASE WHEN fence = $2 THEN fence ELSE -1 END WHERE duty = $1`
	// fenceConstraint is the name of that CHECK.
	fenceConstraint = "duty_leases_fence_check"
)

type leaseKey struct{}

// leaseIn returns the lease that a context's work is done under.
func leaseIn(ctx context.Context) (lease, bool) {
	held, ok := ctx.Value(leaseKey{}).(lease)
	return held, ok
}

// ifLeader runs work under a lease, which is renewed for as long as the work takes, and
// ended after it. The work's context ends where the lease is lost.
func (p *postgres) ifLeader(ctx context.Context, duty Duty, work func(context.Context) error) (bool, error) {
	held, taken, err := p.takeLease(ctx, duty)
	if err != nil || !taken {
		return false, err
	}

	working, stop := context.WithCancelCause(context.WithValue(ctx, leaseKey{}, held))
	var renewing sync.WaitGroup
	renewing.Go(func() { p.renew(working, held, stop) })
	err = work(working)
	if cause := context.Cause(working); err != nil && errors.Is(cause, ErrNotLeader) {
		err = errors.Join(cause, err)
	}
	stop(nil)
	renewing.Wait()

	// The others need not wait for the lease to run out, also where this process stops.
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer done()
	_, endErr := p.exec(ending, leaseRenewed, []any{int64(duty), held.fence, int64(0)})
	return true, errors.Join(err, endErr)
}

// takeLease takes a duty, unless another process has it.
func (p *postgres) takeLease(ctx context.Context, duty Duty) (held lease, taken bool, err error) {
	held.duty = duty
	err = p.commit(ctx, func(conn *pgxpool.Conn) error {
		var pipeline pgx.Batch
		pipeline.Queue(leaseTaken, int64(duty), leaseTime.Microseconds()).Query(func(rows pgx.Rows) error {
			return scanRows(rows, func(r row) error { taken = true; return r.Scan(&held.fence) })
		})
		return p.send(ctx, conn, &pipeline)
	})
	return held, taken, err
}

// renew renews a lease until the context ends. It stops the work when the lease is
// another's, or was not renewed for so long that it may be.
func (p *postgres) renew(ctx context.Context, held lease, stop context.CancelCauseFunc) {
	const interval = leaseTime / 4
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		attempt, done := context.WithTimeout(ctx, interval)
		begun := time.Now()
		affected, err := p.exec(attempt, leaseRenewed, []any{int64(held.duty), held.fence, leaseTime.Microseconds()})
		done()
		switch {
		case err == nil && affected == 1:
			renewed = begun
		case err == nil, time.Since(renewed) > leaseTime:
			stop(ErrNotLeader)
			return
		}
	}
}
