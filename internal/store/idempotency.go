package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// ownedRecord is an idempotency record with its institution.
type ownedRecord struct {
	InstitutionID escrow.InstitutionID
	escrow.Record
}

var recordTable = newTable("idempotency_records", func(r *ownedRecord) []column {
	return []column{
		key("institution_id", uuidColumn(&r.InstitutionID)),
		key("key", textColumn(&r.Key)),
		fixed("fingerprint", hashColumn((*[32]byte)(&r.Fingerprint))),
		fixed("subject", textColumn(&r.Subject)),
		fixed("sequence", bigintColumn(&r.Sequence)),
		fixed("refusal", optionalJSONColumn(&r.Refusal, func() bool { return r.Refusal == nil })),
		fixed("nonce", bytesColumn(&r.Nonce)),
		fixed("request_id", textColumn(&r.RequestID)),
		fixed("created_at", timeColumn(&r.CreatedAt)),
		fixed("items", optionalJSONColumn(&r.Items, func() bool { return r.Items == nil })),
	}
}, purged())

// Records are not remembered, as refusals leave them without an entry. One that is there
// although the cache does not know it fails the transaction by its key.
var recordRows = newRows(rowsOf[string, escrow.Record, ownedRecord]{
	table: recordTable,
	in:    func(b *escrow.Books) *escrow.Rows[string, escrow.Record] { return &b.Records },
	key:   func(r escrow.Record) string { return r.Key },
	pack: func(of escrow.InstitutionID, r escrow.Record) ownedRecord {
		return ownedRecord{InstitutionID: of, Record: r}
	},
	unpack: func(r ownedRecord) (escrow.InstitutionID, escrow.Record) { return r.InstitutionID, r.Record },
	named:  func(n *escrow.Needs) *[]string { return &n.Records },
	keys:   textKeys(),
})

// Record returns the record under an idempotency key; found is false where there is none.
func (s *Store) Record(
	ctx context.Context, institution escrow.InstitutionID, key string,
) (_ escrow.Record, found bool, err error) {
	record, found, err := one(ctx, s.database, recordTable.byKey, []any{idArg(institution), key}, recordTable.scan)
	return record.Record, found, Failure(err)
}

// Purge removes what has outlived its retention: idempotency records, sessions that have ended, and
// security events beyond MaxSecurityEvents. It removes at most limit of each, so that
// no purge holds locks for long, and returns how many went.
func (s *Store) Purge(ctx context.Context, now time.Time, limit int) (int64, error) {
	if err := s.database.rescrub(ctx); err != nil {
		return 0, err
	}
	records, err := s.database.exec(ctx, `DELETE FROM idempotency_records WHERE (institution_id, key) IN (
		SELECT institution_id, key FROM idempotency_records WHERE created_at < $1 ORDER BY created_at LIMIT $2)`,
		[]any{now.Add(-escrow.RecordRetention), int64(limit)})
	if err != nil {
		return 0, err
	}

	sessions, err := s.purgeSessions(ctx, now, limit)
	if err != nil {
		return 0, err
	}

	// Those of strangers, and those of known callers, each by themselves.
	removed := records + sessions
	for _, comparison := range []string{"=", "<>"} {
		refusals, err := s.database.exec(ctx, `DELETE FROM security_events WHERE id IN (
			SELECT id FROM security_events WHERE actor `+comparison+` $1 ORDER BY id DESC LIMIT $2 OFFSET $3)`,
			[]any{escrow.ActorUnknown, int64(limit), int64(MaxSecurityEvents)})
		if err != nil {
			return 0, err
		}
		removed += refusals
	}
	return removed, nil
}
