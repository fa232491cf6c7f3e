package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// identityQuery tells which database a connection leads to: its cluster, the cluster's
// timeline, which changes when a standby is promoted, and the database in it, which changes
// when it is made anew. A standby tells nothing: it has yet to catch up, or to be promoted.
const identityQuery = `SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE concat_ws('/',
		(SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
		(SELECT oid FROM pg_database WHERE datname = current_database())) END`

func (p *postgres) identify(ctx context.Context) error {
	identity, _, err := one(ctx, p, identityQuery, nil, scanValue[string])
	if err == nil {
		p.history.noteIdentity(identity)
	}
	return err
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

	institutions := make([][16]byte, len(seen))
	sequences := make([]int64, len(seen))
	times := make([]time.Time, len(seen))
	for i, h := range seen {
		institutions[i], sequences[i], times[i] = idArg(h.InstitutionID), h.Sequence, h.At
	}
	args := []any{institutions, sequences, times}
	return all(ctx, p, journalsBehind, args, func(r row) (id escrow.InstitutionID, err error) {
		err = r.Scan((*[16]byte)(&id))
		return id, err
	})
}
