package engine

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// RememberKey keeps a record of a key, as one who has read it before others changed it.
func RememberKey(e *Engine, key escrow.APIKey) { e.keys.Add(key.Hash, key) }

// FlushKeyUses writes the last uses of keys, as is done now and then.
func FlushKeyUses(ctx context.Context, e *Engine) { e.flushKeyUses(ctx) }

// LookForExpiringKeys looks once for keys that end soon, as is done now and then.
func LookForExpiringKeys(ctx context.Context, e *Engine, told map[escrow.KeyID]time.Time) error {
	return e.lookForExpiringKeys(ctx, told)
}
