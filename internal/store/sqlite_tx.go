package store

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// sqliteTx is a transaction on the writing connection.
type sqliteTx struct {
	store *sqlite
	conn  *sqliteConn
	needs groupNeeds
	books groupBooks
}

func (s *sqlite) begin(ctx context.Context, needs groupNeeds) (Tx, error) {
	conn, err := takeConn(ctx, s.writer)
	if err != nil {
		return nil, err
	}
	tx := &sqliteTx{store: s, conn: conn, needs: needs, books: make(groupBooks, len(needs))}

	err = s.place.check()
	if err == nil {
		err = conn.traced(ctx, "BEGIN IMMEDIATE", nil, nil)
	}
	if err == nil {
		err = tx.load(ctx)
	}
	if err != nil {
		tx.Rollback(ctx)
		return nil, classify(err)
	}
	return tx, nil
}

// load loads the books. Its statements, thousands in a large group, are one span.
func (tx *sqliteTx) load(ctx context.Context) (err error) {
	_, span := tracing.Start(ctx, "load")
	defer func() { endSpan(span, err) }()
	for _, id := range inLockOrder(tx.needs) {
		if err := tx.loadBooks(ctx, id, tx.needs[id]); err != nil {
			return err
		}
	}
	return nil
}

// loadBooks reads what the commands on one institution's books need and the cache does
// not have, row by row.
func (tx *sqliteTx) loadBooks(ctx context.Context, id escrow.InstitutionID, needs escrow.Needs) error {
	var failed error
	read := func(sql string, args []any, scan func(row) error) {
		if failed == nil {
			failed = tx.conn.run(ctx, sql, args, scan)
		}
	}

	tx.books[id] = escrow.NewBooks(id, escrow.Head{}, false)
	read(headTable.byKey, []any{idArg(id)}, tx.books.loadHead)
	missing := booksNeeds{of: id, rows: tx.store.cache.fill(tx.books[id], needs)}
	for _, t := range bookTables {
		t.loadEach(read, &missing, tx.books)
	}
	for _, unique := range tx.books[id].UniqueReferences(&needs) {
		read(positionByReference, []any{idArg(id), idArg(unique.Template), unique.Text}, tx.books.loadReferenced)
	}
	return failed
}

// Books implements Tx.
func (tx *sqliteTx) Books(id escrow.InstitutionID) *escrow.Books { return tx.books[id] }

func (tx *sqliteTx) read(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return classify(tx.conn.run(ctx, sql, args, scan))
}

// Commit implements Tx.
func (tx *sqliteTx) Commit(ctx context.Context) error {
	defer tx.Rollback(ctx)
	// A write is not interrupted by a caller that goes away, only by Close.
	ctx = context.WithoutCancel(ctx)
	if err := writeGroup(sqliteSink{ctx, tx.conn}, tx.books.list(), false); err != nil {
		return classify(err)
	}

	if err := tx.conn.traced(ctx, "COMMIT", nil, nil); err != nil {
		tx.store.cache.forget(inLockOrder(tx.needs)...)
		if isUnwritten(err) {
			return classify(err)
		}
		return kinded{ErrOutcomeUnknown, err}
	}
	// What was committed may be in a file that nobody finds any more. It is not acknowledged, and
	// who brings the file back has it.
	if err := tx.store.place.check(); err != nil {
		tx.store.cache.forget(inLockOrder(tx.needs)...)
		return kinded{ErrOutcomeUnknown, err}
	}

	tx.store.cache.keepGroup(tx.books, tx.needs)
	// What was committed stays so, whatever becomes of this; see scrub.
	if erases(tx.books) {
		_ = tx.store.scrub(ctx, tx.conn)
	}
	return nil
}

// isUnwritten reports whether a COMMIT failed because the log could not be written, as on a
// full disk. The record of the commit is the last that is written, so without it there is
// none, whatever comes: SQLite has rolled back. After any other failure, such as that of the
// fsync, the record may be in the log, where a crash would bring it back.
func isUnwritten(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_WRITE)
}

// Rollback implements Tx. It also gives the connection back after a commit.
func (tx *sqliteTx) Rollback(ctx context.Context) {
	if tx.conn == nil {
		return
	}
	if !tx.conn.db.GetAutocommit() {
		// It fails only where SQLite has rolled back by itself.
		_ = tx.conn.run(context.WithoutCancel(ctx), "ROLLBACK", nil, nil)
	}
	tx.store.writer <- tx.conn
	tx.conn = nil
}

// sqliteSink runs one prepared statement for each row.
type sqliteSink struct {
	ctx  context.Context //nolint:containedctx // It lives as long as one commit.
	conn *sqliteConn
}

func (s sqliteSink) write(c change) (err error) {
	_, span := startSpan(s.ctx, sqliteSystem, c.perRow, time.Time{})
	if span.IsRecording() {
		span.SetAttributes(batchSize.Int(c.rows))
	}
	defer func() { endSpan(span, err) }()

	statement, err := s.conn.prepare(c.perRow)
	if err != nil {
		return err
	}
	defer s.conn.db.SetInterrupt(s.conn.db.SetInterrupt(s.ctx))
	bound := &sqliteParameters{statement: statement}
	for place := range c.rows {
		c.take(place)
		bound.place = 0
		for _, column := range c.columns {
			bound.place++
			if err := column.write(bound); err != nil {
				return err
			}
		}
		if bound.err != nil {
			return bound.err
		}
		if err := statement.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// sqliteParameters binds the values of a row to a statement.
type sqliteParameters struct {
	statement *sqlite3.Stmt
	// place is that of the next value.
	place int
	err   error
}

func (p *sqliteParameters) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *sqliteParameters) id(id [16]byte)       { p.keep(p.statement.BindBlob(p.place, id[:])) }
func (p *sqliteParameters) text(text string)     { p.keep(p.statement.BindText(p.place, text)) }
func (p *sqliteParameters) number(number int64)  { p.keep(p.statement.BindInt64(p.place, number)) }
func (p *sqliteParameters) bytes(content []byte) { p.keep(p.statement.BindBlob(p.place, content)) }
func (p *sqliteParameters) time(at time.Time)    { p.number(at.UnixMicro()) }
func (p *sqliteParameters) null()                { p.keep(p.statement.BindNull(p.place)) }
