package store

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// postgresTx is a transaction on one connection. Where other servers write to
// its journals it takes a round trip to lock and load, one to write and commit.
// Where this one has been alone of late, the second is all: it checks that the
// heads of the journals are where they are known to be, and fails if not.
type postgresTx struct {
	store *postgres
	needs groupNeeds
	books groupBooks
	// conn holds the lock on the journals; nil while there is none.
	conn  *pgxpool.Conn
	ended bool
}

func (p *postgres) begin(ctx context.Context, needs groupNeeds) (Tx, error) {
	p.cache.beginWriting(needs)
	books, assumption := p.cache.assume(needs)
	tx := &postgresTx{store: p, needs: needs, books: books}
	if assumption.optimistic {
		return tx, nil
	}

	var err error
	if tx.conn, err = p.writer(ctx); err != nil {
		tx.Rollback(ctx)
		return nil, classify(err)
	}
	if err := tx.load(ctx, assumption); err != nil {
		err = noted(tx.conn, err)
		tx.Rollback(ctx)
		return nil, classify(err)
	}
	return tx, nil
}

// load locks the journals and reads what is missing.
func (tx *postgresTx) load(ctx context.Context, assumption assumption) error {
	known := maps.Clone(tx.books)
	var pipeline pgx.Batch
	pipeline.Queue(beginReadCommitted)
	tx.queueLock(&pipeline).Query(func(rows pgx.Rows) error { return scanRows(rows, tx.books.loadHead) })
	tx.queueLoads(&pipeline, assumption.missing)
	assumed := tx.books.references(tx.needs)
	tx.queueReferences(&pipeline, assumed)
	if err := tx.store.send(ctx, tx.conn, &pipeline); err != nil {
		return err
	}

	if err := tx.loadMoved(ctx, known, assumption.assumed); err != nil {
		return err
	}
	return tx.loadReferences(ctx, assumed)
}

// loadMoved reads what was assumed of journals that turn out to have moved. Under the lock it
// shows whether an assumption holds.
func (tx *postgresTx) loadMoved(ctx context.Context, known groupBooks, assumed []escrow.InstitutionID) error {
	moved := make(groupNeeds)
	for _, id := range assumed {
		if tx.books[id] != known[id] {
			moved[id] = tx.needs[id]
		}
	}
	if len(moved) == 0 {
		return nil
	}
	var pipeline pgx.Batch
	tx.queueLoads(&pipeline, moved)
	return tx.conn.SendBatch(ctx, &pipeline).Close()
}

// loadReferences reads by references, unless those that were assumed are all. No template or
// asset changes what it asks of references, so there are more of them or the same.
func (tx *postgresTx) loadReferences(ctx context.Context, assumed referencesToRead) error {
	found := tx.books.references(tx.needs)
	if len(found.texts) == len(assumed.texts) {
		return nil
	}
	var pipeline pgx.Batch
	tx.queueReferences(&pipeline, found)
	return tx.conn.SendBatch(ctx, &pipeline).Close()
}

func (tx *postgresTx) queueReferences(pipeline *pgx.Batch, read referencesToRead) {
	if len(read.texts) > 0 {
		pipeline.Queue(positionsByReference, read.owners, read.templates, read.texts).
			Query(func(rows pgx.Rows) error { return scanRows(rows, tx.books.loadReferenced) })
	}
}

// Reading after the lock must see what was committed before it, which a snapshot
// of the whole transaction would not.
const beginReadCommitted = "BEGIN ISOLATION LEVEL READ COMMITTED"

// headsLocked reads the heads of some journals and locks them, in the order that all
// servers keep.
var headsLocked = headsOf + " ORDER BY institution_id FOR UPDATE"

func (tx *postgresTx) queueLock(pipeline *pgx.Batch) *pgx.QueuedQuery {
	return pipeline.Queue(headsLocked, idArgs(inLockOrder(tx.needs)))
}

// queueLoads queues what the commands need, a statement a table.
func (tx *postgresTx) queueLoads(pipeline *pgx.Batch, needs groupNeeds) {
	read := func(sql string, args []any, scan func(row) error) {
		pipeline.Queue(sql, args...).Query(func(rows pgx.Rows) error { return scanRows(rows, scan) })
	}
	ordered := make([]booksNeeds, 0, len(needs))
	for _, of := range inLockOrder(needs) {
		ordered = append(ordered, booksNeeds{of: of, rows: needs[of]})
	}
	for _, t := range bookTables {
		t.loadAll(read, ordered, tx.books)
	}
}

// Books implements Tx.
func (tx *postgresTx) Books(id escrow.InstitutionID) *escrow.Books { return tx.books[id] }

// Commit implements Tx.
func (tx *postgresTx) Commit(ctx context.Context) error {
	defer tx.Rollback(ctx)
	locked := tx.conn != nil
	var pipeline postgresSink
	if !locked {
		pipeline.batch.Queue(beginReadCommitted)
		if len(tx.needs) > 1 {
			tx.queueLock(&pipeline.batch)
		}
	}
	if err := writeGroup(&pipeline, tx.books.list(), !locked); err != nil {
		return err
	}
	pipeline.batch.Queue("COMMIT")

	if !locked {
		var err error
		if tx.conn, err = tx.store.writer(ctx); err != nil {
			return classify(err)
		}
	}
	err := confirmed(tx.conn, func() error {
		if locked {
			return tx.conn.SendBatch(ctx, &pipeline.batch).Close()
		}
		return tx.store.send(ctx, tx.conn, &pipeline.batch)
	})
	if err != nil {
		tx.store.cache.forget(inLockOrder(tx.needs)...)
		return classifyCommit(err, locked)
	}
	tx.store.cache.keepGroup(tx.books, tx.needs)
	tx.conn.Release()
	tx.conn = nil
	return nil
}

// The constraints that a group without a lock fails by: the head of a journal was
// moved, or a record is there that the cache did not know.
const (
	headMovedConstraint = "journal_heads_sequence_check"
	recordConstraint    = "idempotency_records_pkey"
)

// classifyCommit marks the error of a pipeline that ends in COMMIT.
func classifyCommit(err error, locked bool) error {
	// The server's word that a statement failed means that the COMMIT behind it
	// was skipped. A severity above ERROR ends the connection, and says nothing of
	// a commit that was under way.
	server, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return err
	case !ok || server.SeverityUnlocalized != "ERROR":
		return kinded{ErrOutcomeUnknown, err}
	case !locked && (server.ConstraintName == headMovedConstraint || server.ConstraintName == recordConstraint):
		return kinded{ErrStale, err}
	}
	return classify(err)
}

// rollbackTimeout bounds how long a transaction that has failed is tidied up.
const rollbackTimeout = 2 * time.Second

// read runs a query in the transaction, which must hold the lock on its journals.
func (tx *postgresTx) read(ctx context.Context, sql string, args []any, scan func(row) error) error {
	if tx.conn == nil {
		return kinded{ErrUnavailable, errors.New("the transaction holds no lock")}
	}
	rows, err := tx.conn.Query(ctx, sql, args...)
	if err != nil {
		return classify(err)
	}
	return classify(scanRows(rows, scan))
}

// Rollback implements Tx.
func (tx *postgresTx) Rollback(ctx context.Context) {
	if !tx.ended {
		tx.ended = true
		tx.store.cache.endWriting(tx.needs)
	}
	if tx.conn == nil {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := tx.conn.Exec(ctx, "ROLLBACK"); err != nil {
		// A connection that is closed ends its transaction as well.
		_ = tx.conn.Conn().Close(ctx)
	}
	tx.conn.Release()
	tx.conn = nil
}

// postgresSink queues one statement a table, with an array for each column.
type postgresSink struct{ batch pgx.Batch }

func (s *postgresSink) write(c change) error {
	writer := newArrayWriter(c.columns, c.rows)
	for place := range c.rows {
		c.take(place)
		writer.column = 0
		for _, column := range c.columns {
			if err := column.write(writer); err != nil {
				return err
			}
			writer.column++
		}
	}
	s.batch.Queue(c.perSet, writer.arguments()...)
	return nil
}
