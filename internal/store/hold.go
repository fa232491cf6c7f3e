package store

import (
	"context"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var holdTable = newTable("holds", func(h *escrow.Hold) []column {
	return []column{
		key("institution_id", uuidColumn(&h.InstitutionID)),
		key("id", uuidColumn(&h.ID)),
		changing("lifted", bigintColumn(&h.Lifted)),
		fixed("position_id", uuidColumn(&h.PositionID)),
		fixed("kind", textColumn(&h.Kind)),
		fixed("currency", optionalTextColumn((*string)(&h.Amount.Currency.Code))),
		fixed("decimals", bigintColumn(&h.Amount.Currency.Decimals)),
		fixed("amount", bigintColumn(&h.Amount.Amount)),
		fixed("review_at", optionalTimeColumn(&h.ReviewAt)),
		fixed("placed", bigintColumn(&h.Placed)),
		fixed("created_at", timeColumn(&h.CreatedAt)),
		changing("lifted_at", optionalTimeColumn(&h.LiftedAt)),
	}
})

// Holds are made by the entries on their positions, with whose rows verification compares them.
var holdRows = newRows(rowsOf[escrow.HoldID, escrow.Hold, escrow.Hold]{
	table:  holdTable,
	in:     func(b *escrow.Books) *escrow.Rows[escrow.HoldID, escrow.Hold] { return &b.Holds },
	key:    func(h escrow.Hold) escrow.HoldID { return h.ID },
	pack:   asIs[escrow.Hold],
	unpack: func(h escrow.Hold) (escrow.InstitutionID, escrow.Hold) { return h.InstitutionID, h },
	named:  func(n *escrow.Needs) *[]escrow.HoldID { return &n.Holds },
	also: &furtherRows{
		needed: func(n *escrow.Needs) bool { return len(n.HoldsOn) > 0 },
		each:   holdsOn.perRow,
		all:    holdsOn.perSet,
		ids:    func(n *escrow.Needs) [][16]byte { return idArgs(n.HoldsOn) },
	},
	keys:    idKeysOf(escrow.HoldID{}),
	cached:  remembersAll[escrow.Hold],
	derived: true,
})

// holdsOn reads the holds in force on positions.
var holdsOn = statement{
	perRow: "SELECT " + holdTable.list + " FROM holds WHERE institution_id = $1 AND position_id = $2" +
		" AND (lifted = 0) IS TRUE",
	perSet: "SELECT " + names(holdTable.layout, "h.") +
		" FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, position_id)" +
		" JOIN holds AS h ON h.institution_id = n.institution_id AND h.position_id = n.position_id" +
		" WHERE (h.lifted = 0) IS TRUE",
}

// MaxHoldsOn bounds the positions that HoldsOn is asked for.
const MaxHoldsOn = escrow.MaxPageSize

// HoldsOn returns the holds in force on at most MaxHoldsOn positions of an institution, without their steps.
func (s *Store) HoldsOn(
	ctx context.Context, institution escrow.InstitutionID, positions []escrow.PositionID,
) (found []escrow.Hold, err error) {
	err = s.readByIDs(ctx, institution, idArgs(positions), holdsOn, appendRow(&found, holdTable.scan))
	return found, Failure(err)
}

// Hold returns one hold of an institution with its steps, or CodeHoldNotFound.
func (s *Store) Hold(
	ctx context.Context, institution escrow.InstitutionID, id escrow.HoldID,
) (escrow.Hold, error) {
	hold, found, err := one(ctx, s.database, holdTable.byKey, []any{idArg(institution), idArg(id)}, holdTable.scan)
	if hold, err = must(hold, found, err, escrow.CodeHoldNotFound, "hold", id); err != nil {
		return hold, err
	}
	holds := []escrow.Hold{hold}
	err = s.AddHoldSteps(ctx, institution, holds)
	return holds[0], err
}

// Holds returns a page of an institution's holds, with their steps.
func (s *Store) Holds(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.HoldFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Hold], error) {
	found, err := s.holds(ctx, institution, filter, page)
	if err == nil {
		err = s.AddHoldSteps(ctx, institution, found.Items)
	}
	return found, err
}

// holds is Holds without the steps.
func (s *Store) holds(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.HoldFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Hold], error) {
	l := listOf(holdTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if filter.Position != nil {
		l.where("position_id = %s", idArg(*filter.Position))
	}
	whereIn(l, "kind", filter.Kinds)

	switch filter.Status {
	case escrow.HoldInForce:
		l.where("lifted = 0")
	case escrow.HoldLifted:
		l.where("lifted > 0")
	}
	if filter.ReviewBefore != nil {
		l.where("review_at < %s", *filter.ReviewBefore)
	}
	return idPage(ctx, s.database, l, filter.Period, page, holdTable.scan)
}

var entriesBySequence = statement{
	perRow: `SELECT ` + wholeEntry + ` FROM journal_entries WHERE institution_id = $1 AND sequence = $2`,
	perSet: `SELECT ` + wholeEntry + ` FROM unnest($1::uuid[], $2::bigint[]) AS n (institution_id, sequence)
		JOIN journal_entries USING (institution_id, sequence)`,
}

// AddHoldSteps gives holds of an institution their steps.
func (s *Store) AddHoldSteps(ctx context.Context, institution escrow.InstitutionID, holds []escrow.Hold) error {
	for some := range slices.Chunk(holds, escrow.MaxPageSize) {
		if err := s.addHoldSteps(ctx, institution, some); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) addHoldSteps(ctx context.Context, institution escrow.InstitutionID, holds []escrow.Hold) error {
	var sequences []int64
	for i, hold := range holds {
		holds[i].Steps = nil
		sequences = append(sequences, hold.Placed)
		if !hold.InForce() {
			sequences = append(sequences, hold.Lifted)
		}
	}
	steps := make(map[int64]escrow.HoldStep, len(sequences))
	add := func(r row) error {
		entry, err := scanEntry(r)
		if step, ok := entry.HoldStep(); ok {
			steps[step.Sequence] = step
		}
		return err
	}
	if err := s.readBySequences(ctx, institution, sequences, add); err != nil {
		return Failure(err)
	}

	for i := range holds {
		hold := &holds[i]
		for _, sequence := range []int64{hold.Placed, hold.Lifted} {
			if step, known := steps[sequence]; known {
				hold.Steps = append(hold.Steps, step)
			}
		}
	}
	return nil
}

// readBySequences reads entries of a journal by their sequences; see readByIDs.
func (s *Store) readBySequences(
	ctx context.Context, of escrow.InstitutionID, sequences []int64, scan func(row) error,
) error {
	if len(sequences) == 0 {
		return nil
	}
	if !s.database.isExclusive() {
		owners := slices.Repeat([][16]byte{idArg(of)}, len(sequences))
		return s.database.query(ctx, entriesBySequence.perSet, []any{owners, sequences}, scan)
	}
	for _, sequence := range sequences {
		if err := s.database.query(ctx, entriesBySequence.perRow, []any{idArg(of), sequence}, scan); err != nil {
			return err
		}
	}
	return nil
}

// The rows of holds as verification compares them. The subjects of these rows are their ids; they have no cursors.

var holdsOfPosition = "SELECT " + holdTable.list + " FROM holds" +
	" WHERE institution_id = $1 AND position_id = $2 ORDER BY id"

// HoldRows returns the rows of the holds on a position.
func (s *Store) HoldRows(
	ctx context.Context, of escrow.InstitutionID, position escrow.PositionID,
) (rows []Row, err error) {
	stored, err := all(ctx, s.database, holdsOfPosition, []any{idArg(of), idArg(position)}, holdTable.scanStored)
	for _, read := range stored {
		rows = append(rows, Row{Resource: read.row, Subject: read.row.ID.String(), Columns: read.columns})
	}
	return rows, err
}

// HoldRow returns a hold as the row that it is written as.
func HoldRow(h escrow.Hold) Row {
	return Row{Resource: h, Subject: h.ID.String(), Columns: holdTable.shown(h)}
}

// CountHolds counts the rows of an institution's holds that were placed up to a sequence.
func (s *Store) CountHolds(ctx context.Context, of escrow.InstitutionID, upTo int64) (int64, error) {
	count, _, err := one(ctx, s.database, "SELECT count(*) FROM holds WHERE institution_id = $1 AND placed <= $2",
		[]any{idArg(of), upTo}, scanValue[int64])
	return count, err
}
