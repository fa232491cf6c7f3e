package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// MaxRefusals bounds the log of refused attempts; Purge keeps the newest.
const MaxRefusals = 100_000

var refusalTable = newTable("refusals", func(a *escrow.RefusedAttempt) []column {
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
	}
}, purged())

// Refusals returns a page of the log of refused attempts.
func (s *Store) Refusals(
	ctx context.Context, filter escrow.RefusalFilter, page escrow.PageRequest,
) (escrow.Page[escrow.RefusedAttempt], error) {
	l := listOf(refusalTable, "id")
	if filter.Institution != nil {
		l.where("institution_id = %s", idArg(*filter.Institution))
	}
	l.whereText("actor", filter.Actor)
	return idPage(ctx, s.database, l, filter.Period, page, refusalTable.scan)
}

// LogRefusals adds refused attempts to the log.
func (s *Store) LogRefusals(ctx context.Context, attempts []escrow.RefusedAttempt) error {
	return s.database.transact(ctx, func(sink changeSink) error { return insert(sink, refusalTable, attempts) })
}
