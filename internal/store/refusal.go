package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// MaxRefusals bounds the log of refused attempts; Purge keeps the newest.
const MaxRefusals = 100_000

const refusalColumns = "id, at, institution_id, actor, code, method, path, client, request_id"

var refusalTable = newTable("refusals", 1,
	[]string{
		"id uuid", "at timestamptz", "institution_id uuid", "actor text", "code text", "method text", "path text", "client text",
		"request_id text",
	},
	func(a *escrow.RefusedAttempt, to columns) error {
		to.id(a.ID)
		to.time(a.At)
		to.id(a.InstitutionID)
		to.text(a.Actor)
		to.text(string(a.Code))
		to.text(a.Method)
		to.text(a.Path)
		to.text(a.Client)
		to.text(a.RequestID)
		return nil
	})

func scanRefusal(r row, a *escrow.RefusedAttempt) error {
	return r.Scan((*[16]byte)(&a.ID), &a.At, (*[16]byte)(&a.InstitutionID), &a.Actor, (*string)(&a.Code), &a.Method, &a.Path,
		&a.Client, &a.RequestID)
}

// Refusals returns a page of the log of refused attempts.
func (s *Store) Refusals(
	ctx context.Context, filter escrow.RefusalFilter, page escrow.PageRequest,
) (escrow.Page[escrow.RefusedAttempt], error) {
	l := &list{from: "SELECT " + refusalColumns + " FROM refusals", key: "id"}
	if filter.Institution != nil {
		l.where("institution_id = %s", idArg(*filter.Institution))
	}
	l.whereText("actor", filter.Actor)
	return idPage(ctx, s, l, filter.Period, page, scanRefusal)
}

// LogRefusals adds refused attempts to the log.
func (s *Store) LogRefusals(ctx context.Context, attempts []escrow.RefusedAttempt) error {
	return s.transact(ctx, func(sink changeSink) error { return insert(sink, refusalTable, attempts) })
}
