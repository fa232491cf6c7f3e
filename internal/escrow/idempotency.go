package escrow

import (
	"crypto/sha256"
	"time"
)

// RecordRetention is how long the outcome under an idempotency key is kept.
const RecordRetention = 24 * time.Hour

// Idempotency names a request so that it can be repeated without being done
// twice.
type Idempotency struct {
	// Key is the client's: 1 to 255 visible ASCII characters.
	Key string
	// Fingerprint is a hash over what the client asked for.
	Fingerprint Fingerprint
	// Nonce comes back with the record of the first request; see DeriveSecret.
	Nonce []byte
}

// Fingerprint tells two requests under one idempotency key apart.
type Fingerprint [sha256.Size]byte

// Record is the outcome of the first request under an idempotency key: a
// subject and where the journal stood, from which the answer is read again, or
// a refusal.
type Record struct {
	Key         string
	Fingerprint Fingerprint
	Subject     string // empty for a batch
	Sequence    int64
	Refusal     *Error
	// Items tell, of a batch that was not refused as a whole, which of its items
	// were accepted: the last of them is the entry of the sequence, and the others
	// are the entries before it.
	Items ItemRefusals
	Nonce []byte
	// RequestID is that of the first request.
	RequestID string
	CreatedAt time.Time
}

// repeated returns the record under a request's key, or the refusal where that
// is another request's, or tells what the actor may not know.
func (b *Books) repeated(r Request) (*Record, *Error) {
	if r.Idempotency == nil {
		return nil, nil
	}
	record, ok := b.Records.Get(r.Idempotency.Key)
	if !ok {
		return nil, nil
	}
	if err := record.CheckRepeated(*r.Idempotency); err != nil {
		return nil, err
	}
	if refusal := b.checkRepeatedItems(r, record); refusal != nil {
		return nil, refusal
	}
	return &record, nil
}

// checkRepeatedItems refuses a restricted actor the outcome of a batch that another one asked for:
// where an item is not for it, the outcome must not be more than it would have been told itself.
func (b *Books) checkRepeatedItems(r Request, record Record) *Error {
	batch, _ := r.Command.(PositionBatch)
	became := record.Items
	if record.Refusal != nil {
		became = record.Refusal.Items
	}

	// A batch that waits for approval, or would, was not refused for any of its items.
	waits := record.Subject != ""
	for i, item := range batch.items {
		if item.refusal != nil || i >= len(became) && !waits {
			continue
		}
		refusal := b.checkRestriction(r.rights, item.command)
		if refusal == nil {
			continue
		}
		// What was refused tells nothing of an item whose position the actor sees.
		var told *Error
		if !waits {
			told = became[i]
		}
		if told == nil || told.Code != refusal.Code && refusal.Code != CodeKeyRestricted {
			return restricted("The Idempotency-Key was used for items that are not for the API key.")
		}
	}
	return nil
}

// CheckRepeated refuses a request that is another than that of the record under its key.
func (r Record) CheckRepeated(i Idempotency) *Error {
	if r.Fingerprint == i.Fingerprint {
		return nil
	}
	return Errorf(CodeIdempotencyKeyReused, "The Idempotency-Key was used for another request; take a new key.")
}

// remember keeps the outcome under the request's key.
func (b *Books) remember(r Request, o Outcome, at time.Time) {
	if r.Idempotency == nil {
		return
	}

	var items ItemRefusals
	if results, ok := o.Resource.(BatchResults); ok {
		items = results.Refusals()
	}
	b.Records.Put(r.Idempotency.Key, Record{
		Key:         r.Idempotency.Key,
		Fingerprint: r.Idempotency.Fingerprint,
		Nonce:       r.Idempotency.Nonce,
		Subject:     o.Subject,
		Sequence:    o.Sequence,
		Refusal:     o.Refusal,
		Items:       items,
		RequestID:   r.RequestID,
		CreatedAt:   at,
	})
}
