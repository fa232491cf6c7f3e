package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// identity tells which database a connection leads to: its cluster, the cluster's
// timeline, which changes when a standby is promoted, and the database in it, which changes
// when it is made anew. A standby tells nothing: it has yet to catch up, or to be promoted.
// It also tells whether commits wait for a standby.
const identity = `current_setting('synchronous_standby_names') <> '', CASE WHEN pg_is_in_recovery() THEN '' ELSE concat_ws('/',
		(SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
		(SELECT oid FROM pg_database WHERE datname = current_database())) END`

const identityQuery = "SELECT " + identity

func (p *postgres) identify(ctx context.Context) error {
	return p.query(ctx, identityQuery, nil, func(r row) error { return p.noteIdentity(r) })
}

// noteIdentity notes what identityQuery has told; before are where columns in front of it go.
func (p *postgres) noteIdentity(r row, before ...any) error {
	var synchronous bool
	var identity string
	if err := r.Scan(append(before, &synchronous, &identity)...); err != nil || identity == "" {
		return err
	}
	if synchronous {
		p.cache.setSynchronous()
	}
	if p.history.noteIdentity(identity) {
		// The connections of before may lead to the other one, as while a primary that was
		// replaced lives on.
		p.pool.Reset()
	}
	return nil
}

// waited writes to the write-ahead log alone: its commit waits for a standby, as that of a
// transaction does not which has written nothing.
const waited = "SELECT pg_logical_emit_message(true, 'escrowgrid', '')"

func (p *postgres) confirm(ctx context.Context, read []head) (missing []escrow.InstitutionID, err error) {
	var pipeline pgx.Batch
	pipeline.Queue(waited)
	pipeline.Queue(journalsBehind, headArgs(read)...).Query(func(rows pgx.Rows) error {
		return scanRows(rows, func(r row) error {
			id, err := scanInstitutionID(r)
			missing = append(missing, id)
			return err
		})
	})
	// Both are one transaction, on one server: what is there when it ends is as safe as it.
	err = p.commit(ctx, func(conn *pgxpool.Conn) error { return p.send(ctx, conn, &pipeline) })
	return missing, err
}

// journalsBehind finds the heads that are not there, or where there is a later entry in
// the place of the one that was seen.
const journalsBehind = `SELECT n.institution_id
	FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS n (institution_id, sequence, at)
	LEFT JOIN journal_heads AS h ON h.institution_id = n.institution_id
	WHERE n.sequence > 0 AND (h.sequence IS NULL OR h.sequence < n.sequence OR EXISTS (
		SELECT FROM journal_entries AS e
		WHERE e.institution_id = n.institution_id AND e.sequence = n.sequence AND e.at > n.at))`

func (p *postgres) behind(ctx context.Context, seen []head) ([]escrow.InstitutionID, error) {
	if len(seen) == 0 {
		return nil, nil
	}

	return all(ctx, p, journalsBehind, headArgs(seen), scanInstitutionID)
}

func scanInstitutionID(r row) (id escrow.InstitutionID, err error) {
	err = r.Scan((*[16]byte)(&id))
	return id, err
}

// headArgs are the arguments of journalsBehind.
func headArgs(heads []head) []any {
	institutions := make([][16]byte, len(heads))
	sequences := make([]int64, len(heads))
	times := make([]time.Time, len(heads))
	for i, h := range heads {
		institutions[i], sequences[i], times[i] = idArg(h.InstitutionID), h.Sequence, h.At
	}
	return []any{institutions, sequences, times}
}
