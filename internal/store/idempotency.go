package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const recordColumns = "institution_id, key, fingerprint, subject, sequence, refusal, nonce, request_id, created_at, items"

var recordTable = newTable("idempotency_records", 2,
	[]string{
		"institution_id uuid", "key text", "fingerprint bytea", "subject text", "sequence bigint", "refusal text",
		"nonce bytea", "request_id text", "created_at timestamptz", "items text",
	},
	func(r *ownedRecord, to columns) error {
		to.id(r.institution)
		to.text(r.Key)
		to.bytes(r.Fingerprint[:])
		to.text(r.Subject)
		to.number(r.Sequence)
		refusal, err := optionalJSON(r.Refusal, r.Refusal != nil)
		to.optionalText(refusal)
		to.bytes(r.Nonce)
		to.text(r.RequestID)
		to.time(r.CreatedAt)
		items, itemsErr := optionalJSON(r.Items, r.Items != nil)
		to.optionalText(items)
		return errors.Join(err, itemsErr)
	})

// ownedRecord is a record with the institution whose it is.
type ownedRecord struct {
	institution escrow.InstitutionID
	escrow.Record
}

func scanRecord(r row, record *ownedRecord) error {
	var fingerprint []byte
	var refusal, items *string
	err := r.Scan((*[16]byte)(&record.institution), &record.Key, &fingerprint, &record.Subject, &record.Sequence, &refusal,
		&record.Nonce, &record.RequestID, &record.CreatedAt, &items)
	copy(record.Fingerprint[:], fingerprint)
	if err == nil && refusal != nil {
		err = json.Unmarshal([]byte(*refusal), &record.Refusal)
	}
	if err == nil && items != nil {
		err = json.Unmarshal([]byte(*items), &record.Items)
	}
	return err
}

// optionalJSON is the column of a value that is kept as JSON, empty where there is
// none.
func optionalJSON[T any](value T, is bool) (string, error) {
	if !is {
		return "", nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}

// Purge removes what has outlived its retention: idempotency records, and
// refused attempts beyond MaxRefusals. It removes at most limit of each, so that
// no purge holds locks for long, and returns how many went.
func (s *Store) Purge(ctx context.Context, now time.Time, limit int) (int64, error) {
	records, err := s.exec(ctx, `DELETE FROM idempotency_records WHERE (institution_id, key) IN (
		SELECT institution_id, key FROM idempotency_records WHERE created_at < $1 ORDER BY created_at LIMIT $2)`,
		[]any{now.Add(-escrow.RecordRetention), int64(limit)})
	if err != nil {
		return 0, err
	}
	refusals, err := s.exec(ctx, `DELETE FROM refusals WHERE id IN (
		SELECT id FROM refusals ORDER BY id DESC LIMIT $1 OFFSET $2)`, []any{int64(limit), int64(MaxRefusals)})
	return records + refusals, err
}
