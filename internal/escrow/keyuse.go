package escrow

import (
	"net/netip"
	"time"
)

// KeyUse tells when and from where a key was last used. No entry tells of it: it is kept beside the
// books, and can be lost.
type KeyUse struct {
	InstitutionID InstitutionID
	ID            KeyID
	LastUsedAt    time.Time
	LastUsedFrom  netip.Addr
}

// KeyExpiryNotice is how long before it ends a key is told of.
const KeyExpiryNotice = 14 * 24 * time.Hour
