package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// MaxSecurityEvents bounds the security events of known callers, and as many of others; Purge
// keeps the newest of both, so that a flood without a key evicts nothing about those who have one.
const MaxSecurityEvents = 50_000

var securityEventTable = newTable("security_events", func(a *escrow.SecurityEvent) []column {
	return []column{
		key("id", uuidColumn(&a.ID)),
		fixed("at", timeColumn(&a.At)),
		fixed("institution_id", uuidColumn(&a.InstitutionID)),
		fixed("actor", textColumn(&a.Actor)),
		fixed("code", textColumn(&a.Code)),
		fixed("method", textColumn(&a.Method)),
		fixed("path", textColumn(&a.Path)),
		fixed("client", textColumn(&a.Client)),
		fixed("request_id", textColumn(&a.RequestID)),
		changing("last_at", timeColumn(&a.LastAt)),
		changing("count", bigintColumn(&a.Count)),
	}
}, purged(), onConflict("ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, count = excluded.count"))

// SecurityEvents returns a page of the security events.
func (s *Store) SecurityEvents(
	ctx context.Context, filter escrow.SecurityEventFilter, page escrow.PageRequest,
) (escrow.Page[escrow.SecurityEvent], error) {
	l := listOf(securityEventTable, "id")
	if filter.Institution != nil {
		l.where("institution_id = %s", idArg(*filter.Institution))
	}
	l.whereText("actor", filter.Actor)
	return idPage(ctx, s.database, l, filter.Period, page, securityEventTable.scan)
}

// AddSecurityEvents adds refused attempts to them. Of one that is there, it sets the time of the
// last attempt and the count.
func (s *Store) AddSecurityEvents(ctx context.Context, attempts []escrow.SecurityEvent) error {
	return s.database.transact(ctx, func(sink changeSink) error { return insert(sink, securityEventTable, attempts) })
}
