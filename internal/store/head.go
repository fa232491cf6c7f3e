package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// head is the head of an institution's journal.
type head struct {
	InstitutionID escrow.InstitutionID
	escrow.Head
}

var headTable = newTable("journal_heads", func(h *head) []column {
	return []column{
		key("institution_id", uuidColumn(&h.InstitutionID)),
		changing("sequence", bigintColumn(&h.Sequence)),
		changing("last_at", timeColumn(&h.At)),
		changing("lost_sequence", bigintColumn(&h.Lost)),
		changing("closed_sequence", bigintColumn(&h.Closed)),
		changing("rules_sequence", bigintColumn(&h.Rules)),
		changing("pending_approvals", bigintColumn(&h.Approvals)),
	}
})

// headMove is what a group does to the head of a journal.
type headMove struct {
	InstitutionID escrow.InstitutionID
	From, To      escrow.Head
}

// headMoves changes the rows of headTable. A head that is not where the group
// found it would become -1, which the table's CHECK refuses: the group was decided
// on books that are out of date.
var headMoves = func() *table[headMove] {
	t := newTable("journal_heads", func(m *headMove) []column {
		return []column{
			key("institution_id", uuidColumn(&m.InstitutionID)),
			changing("from_sequence", bigintColumn(&m.From.Sequence)),
			changing("from_at", timeColumn(&m.From.At)),
			changing("from_lost_sequence", bigintColumn(&m.From.Lost)),
			changing("to_sequence", bigintColumn(&m.To.Sequence)),
			changing("to_at", timeColumn(&m.To.At)),
			changing("to_lost_sequence", bigintColumn(&m.To.Lost)),
			changing("to_closed_sequence", bigintColumn(&m.To.Closed)),
			changing("to_rules_sequence", bigintColumn(&m.To.Rules)),
			changing("to_pending_approvals", bigintColumn(&m.To.Approvals)),
		}
	})
	t.updates = statement{
		perRow: `UPDATE journal_heads SET
		sequence = CASE WHEN sequence = $2 AND last_at = $3 AND lost_sequence = $4 THEN $5 ELSE -1 END, last_at = $6,
		lost_sequence = $7, closed_sequence = $8, rules_sequence = $9, pending_approvals = $10
		WHERE institution_id = $1`,
		perSet: `UPDATE journal_heads AS t SET
		sequence = CASE WHEN t.sequence = n.from_sequence AND t.last_at = n.from_at AND t.lost_sequence = n.from_lost_sequence
			THEN n.to_sequence ELSE -1 END,
		last_at = n.to_at, lost_sequence = n.to_lost_sequence, closed_sequence = n.to_closed_sequence,
		rules_sequence = n.to_rules_sequence, pending_approvals = n.to_pending_approvals
		FROM unnest(` + arrays(t.layout) + `) AS n (` + t.list + `)
		WHERE t.institution_id = n.institution_id`,
	}
	return t
}()

func sameHead(a, b escrow.Head) bool {
	return a.Sequence == b.Sequence && a.At.Equal(b.At) && a.Lost == b.Lost
}

func isBefore(a, b escrow.Head) bool {
	return a.Sequence < b.Sequence || a.Sequence == b.Sequence && a.At.Before(b.At)
}

// Head returns the head of an institution's journal; found is false where there
// is no such institution.
func (s *Store) Head(ctx context.Context, institution escrow.InstitutionID) (_ escrow.Head, found bool, err error) {
	h, found, err := one(ctx, s.database, headTable.byKey, []any{idArg(institution)}, headTable.scan)
	return h.Head, found, err
}

// CountEntries returns how many entries there are by the heads of the journals. A head that
// no journal can have, which somebody has written, counts for nothing: it would overflow.
func (s *Store) CountEntries(ctx context.Context) (int64, error) {
	count, _, err := one(ctx, s.database,
		"SELECT CAST(COALESCE(SUM(sequence), 0) AS bigint) FROM journal_heads WHERE sequence < 1000000000000", nil,
		scanValue[int64])
	return count, err
}

// ErrNoID means that a row has an id of another length than ids have, as one of SQLite can.
var ErrNoID = errors.New("its id is none")

// NextTenant returns the first institution after another, in order of id, that any table
// has rows of that the journals tell of; found is false where there is none. Where a row is
// of something that is no institution's id, the error is ErrNoID, and next is an id to go on
// from.
func (s *Store) NextTenant(
	ctx context.Context, after escrow.InstitutionID,
) (next escrow.InstitutionID, found bool, err error) {
	var unreadable error
	for _, t := range tablesByOwner() {
		id, has, err := one(ctx, s.database, nextOwner(t),
			[]any{idArg(after)}, func(r row) (id escrow.InstitutionID, err error) {
				if err = r.Scan((*[16]byte)(&id)); err != nil {
					unreadable = fmt.Errorf("a row of %s: %w", t.Name(), ErrNoID)
				}
				return id, nil
			})
		if err != nil {
			return next, false, err
		}

		// A longer id follows on the one that it begins with.
		if has && id.Compare(after) <= 0 {
			if id = following(after); id.IsZero() {
				continue // It is longer than the last of all, and nothing follows.
			}
		}
		if has && (!found || id.Compare(next) < 0) {
			next, found = id, true
		}
	}
	return next, found, unreadable
}

// tablesByOwner are those whose rows are an institution's, and of which the journals tell.
func tablesByOwner() []tableInfo {
	tables := []tableInfo{headTable, entryTable, checkpointTable, tileTable}
	for _, t := range bookTables {
		if t.rebuilt() {
			tables = append(tables, t)
		}
	}
	return tables
}

// TablesOfNobody returns the tables that have rows of no institution: of the zero id, which is
// the operator's, or of a shorter one, as SQLite can have it. The operator has a head alone, and
// idempotency records.
func (s *Store) TablesOfNobody(ctx context.Context) (names []string, err error) {
	for _, t := range tablesByOwner() {
		compared := " <= $1"
		if t == tableInfo(headTable) {
			compared = " < $1"
		}
		owner := t.ownerColumn()
		_, found, err := one(ctx, s.database, "SELECT "+owner+" FROM "+t.Name()+" WHERE "+owner+compared+" LIMIT 1",
			[]any{idArg(escrow.InstitutionID{})}, func(row) (none struct{}, _ error) { return none, nil })
		if err != nil {
			return nil, err
		}

		if found {
			names = append(names, t.Name())
		}
	}
	return names, nil
}

// following is the id after another, in the order of ids, and zero after the last.
func following(id [16]byte) [16]byte {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]++
		if id[i] != 0 {
			break
		}
	}
	return id
}

// nextOwner reads the first institution after another that a table has rows of.
func nextOwner(t tableInfo) string {
	owner := t.ownerColumn()
	return "SELECT " + owner + " FROM " + t.Name() + " WHERE " + owner + " > $1 ORDER BY " + owner + " LIMIT 1"
}
