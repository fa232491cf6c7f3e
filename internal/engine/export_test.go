package engine

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// RememberKey keeps a record of a key, as one who has read it before others changed it.
func RememberKey(e *Engine, key escrow.APIKey) { e.keys.Add(key.Hash, key) }
