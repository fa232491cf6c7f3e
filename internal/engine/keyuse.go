package engine

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

const (
	// keyUseInterval is how often it is written when keys were last used: with the time of the
	// writing itself, what is read is a minute old at most.
	keyUseInterval = 30 * time.Second
	// keyExpiryInterval is how often keys that end soon are looked for.
	keyExpiryInterval = time.Hour
	// maxToldKeys bounds the keys that a server tells of in its log, each once a day.
	maxToldKeys = 1000
)

// NoteKeyUse notes that a key was used from an address. It never waits for the database.
func (e *Engine) NoteKeyUse(key escrow.APIKey, from netip.Addr) {
	e.keyUses.note(escrow.KeyUse{
		InstitutionID: key.InstitutionID,
		ID:            key.ID,
		LastUsedAt:    e.config.Now().UTC().Truncate(time.Microsecond),
		LastUsedFrom:  from,
	})
}

// keyUsed tells of which key a use is, and when that was.
func keyUsed(use escrow.KeyUse) (escrow.InstitutionID, escrow.KeyID, time.Time) {
	return use.InstitutionID, use.ID, use.LastUsedAt
}

// KeyUses returns when some keys of an institution were last used, by key: on this server to the
// moment, on others up to a minute ago. One that never was is left out.
func (e *Engine) KeyUses(
	ctx context.Context, of escrow.InstitutionID, ids []escrow.KeyID,
) (map[escrow.KeyID]escrow.KeyUse, error) {
	uses, err := e.store.KeyUses(ctx, of, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if waiting, later := e.keyUses.after(id, uses[id].LastUsedAt); later {
			uses[id] = waiting
		}
	}
	return uses, nil
}

// writeKeyUses writes when keys were last used, now and then and when the engine closes.
func (e *Engine) writeKeyUses(ctx context.Context) {
	e.everyAndLast(ctx, keyUseInterval, e.flushKeyUses)
}

// flushKeyUses writes the uses that wait. What cannot be written waits on.
func (e *Engine) flushKeyUses(ctx context.Context) {
	e.keyUses.flush(ctx, e.store.NoteKeyUses, func(err error) { e.dutyFailed(dutyKeyUses, err) })
}

// tellExpiringKeys counts the keys that end soon, and tells of them in the log, of each once a day.
// Servers look one after the other; each tells of what it has not told itself.
func (e *Engine) tellExpiringKeys(ctx context.Context) {
	told := make(map[escrow.KeyID]time.Time)
	look := func(ctx context.Context) { e.dutyFailed(dutyKeyExpiry, e.lookForExpiringKeys(ctx, told)) }

	first, done := context.WithTimeout(ctx, dutyTimeout)
	look(first)
	done()
	e.every(ctx, keyExpiryInterval, look)
}

// lookForExpiringKeys is a round of tellExpiringKeys; told has when this server has told of which.
func (e *Engine) lookForExpiringKeys(ctx context.Context, told map[escrow.KeyID]time.Time) error {
	now := e.config.Now()
	count, err := e.store.CountExpiringKeys(ctx, now, now.Add(escrow.KeyExpiryNotice))
	if err != nil {
		return err
	}
	e.metrics.expiringKeys.Set(float64(count))
	if count == 0 {
		return nil
	}
	_, err = e.store.IfLeader(ctx, store.DutyKeyExpiry, func(ctx context.Context) error {
		return e.tellOfKeys(ctx, now, told)
	})
	return err
}

// tellOfKeys tells of the keys that end soon, unless it did within a day.
func (e *Engine) tellOfKeys(ctx context.Context, now time.Time, told map[escrow.KeyID]time.Time) error {
	maps.DeleteFunc(told, func(_ escrow.KeyID, at time.Time) bool { return now.Sub(at) >= 24*time.Hour })
	keys, err := e.store.ExpiringKeys(ctx, now, now.Add(escrow.KeyExpiryNotice), maxToldKeys)
	for _, key := range keys {
		if _, known := told[key.ID]; known {
			continue
		}
		told[key.ID] = now
		e.log.Warn("an API key ends soon", "event", "key.expiring",
			"institution_id", key.InstitutionID.String(), "key_id", key.ID.String(), "expires_at", key.ExpiresAt)
	}
	return err
}
