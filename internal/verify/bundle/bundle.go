// Package bundle keeps an institution's journal in one file, with its checkpoints and the
// keys that signed them: all that it takes to verify it, on a machine that has no access
// to the server. docs/transparency-log.md describes the file, an SQLite database, for
// readers in any language.
package bundle

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// schema is all that a bundle is made of, statement by statement. A file with anything
// else in it is not one: a view or a trigger could show one thing now and another later.
var schema = []string{
	`CREATE TABLE bundle (format INTEGER NOT NULL, institution TEXT NOT NULL, exported_at TEXT NOT NULL, redacted TEXT NOT NULL) STRICT`,
	`CREATE TABLE keys (verifier_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID`,
	`CREATE TABLE entries (sequence INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL, private TEXT) STRICT`,
	`CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, at TEXT NOT NULL, note TEXT NOT NULL) STRICT`,
	`CREATE INDEX entries_subject ON entries (subject, sequence)`,
}

// Format is the version of the schema.
const Format = 2

// ErrNoBundle means that a file is not a bundle, or one of a format that is not known.
var ErrNoBundle = errors.New("is no bundle of a journal")

// Bundle is a file that is open.
type Bundle struct {
	// Institution is the one whose journal it is.
	Institution escrow.InstitutionID
	ExportedAt  time.Time
	// Keys are the public keys in it, as name+hash+base64.
	Keys []string
	// Redacted are the private members whose values were left out.
	Redacted []string
	// Last is the sequence of the last entry; 0 where there is none.
	Last int64

	db *sql.DB
	// These read entries.
	bySequence, bySubject *sql.Stmt
}

// open opens a file as SQLite's URIs have it.
func open(path, parameters string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return driver.Open("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + parameters)
}

// Open opens a bundle for reading. Only the form of the file is checked, not what is in it.
func Open(ctx context.Context, path string) (*Bundle, error) {
	// A pipe would have this wait for ever, and a link can lead to another file at any time.
	about, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !about.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is not a file as such, but a link, a pipe or the like", path, ErrNoBundle)
	}
	// SQLite would read these as parts of the file, which whoever gave it need not have signed.
	for _, suffix := range []string{"-wal", "-journal"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: a file named %s is beside it", path, ErrNoBundle, suffix)
		}
	}
	db, err := open(path, "mode=ro&_pragma=query_only(on)&_pragma=trusted_schema(off)&_pragma=cell_size_check(on)")
	if err != nil {
		return nil, err
	}

	b := &Bundle{db: db}
	if err := b.read(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return b, nil
}

// Check has SQLite check the file's pages, and its index against the entries: a damaged file
// can answer the same question in two ways. It takes about as long as reading the file.
func (b *Bundle) Check(ctx context.Context) error {
	var found string
	if err := b.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: it is damaged: %s", ErrNoBundle, found)
	}
	return nil
}

// Close closes the file.
func (b *Bundle) Close() error { return b.db.Close() }

// read reads what the file says of itself.
func (b *Bundle) read(ctx context.Context) error {
	rows, err := b.db.QueryContext(ctx, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
	found, err := all(rows, err, scanText)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBundle, err)
	}
	if fmt.Sprint(found) != fmt.Sprint(schema) {
		return fmt.Errorf("%w: its tables are not those of one", ErrNoBundle)
	}

	var format int
	var institution, exportedAt, redacted string
	row := b.db.QueryRowContext(ctx,
		"SELECT format, institution, exported_at, redacted FROM bundle WHERE (SELECT COUNT(*) FROM bundle) = 1")
	err = row.Scan(&format, &institution, &exportedAt, &redacted)
	if err != nil || format != Format {
		return fmt.Errorf("%w of format %d", ErrNoBundle, Format)
	}
	if err := b.Institution.UnmarshalText([]byte(institution)); err != nil {
		return fmt.Errorf("%w: its institution %q %w", ErrNoBundle, institution, err)
	}
	if b.ExportedAt, err = escrow.ParseWrittenTime(exportedAt); err != nil {
		return fmt.Errorf("%w: its time %w", ErrNoBundle, err)
	}
	if b.Redacted, err = parseRedacted(redacted); err != nil {
		return fmt.Errorf("%w: what is redacted %w", ErrNoBundle, err)
	}

	rows, err = b.db.QueryContext(ctx, "SELECT verifier_key FROM keys ORDER BY verifier_key")
	if b.Keys, err = all(rows, err, scanText); err != nil {
		return err
	}

	const selectEntries = "SELECT sequence, at, actor, kind, subject, body, private FROM entries "
	b.bySequence, err = b.db.PrepareContext(ctx, selectEntries+"WHERE sequence BETWEEN ? AND ? ORDER BY sequence")
	if err != nil {
		return err
	}
	const selectHistory = "SELECT sequence, subject, body, private FROM entries WHERE subject = ? ORDER BY sequence"
	b.bySubject, err = b.db.PrepareContext(ctx, selectHistory)
	if err != nil {
		return err
	}
	return b.readRange(ctx)
}

// readRange reads where the journal ends. What stands before its first entry would be looked
// at by none who reads from there.
func (b *Bundle) readRange(ctx context.Context) error {
	var first, firstSize int64
	err := b.db.QueryRowContext(ctx, `SELECT COALESCE(MIN(sequence), 1), COALESCE(MAX(sequence), 0),
		(SELECT COALESCE(MIN(size), 1) FROM checkpoints) FROM entries`).Scan(&first, &b.Last, &firstSize)
	if err != nil {
		return err
	}
	if first < 1 || firstSize < 1 {
		return fmt.Errorf("%w: it has an entry or checkpoint of a number below 1", ErrNoBundle)
	}
	return nil
}

// NextSequence returns the sequence of the first entry from one on; found is false where
// there is none.
func (b *Bundle) NextSequence(
	ctx context.Context, _ escrow.InstitutionID, from int64,
) (sequence int64, found bool, err error) {
	const next = "SELECT sequence FROM entries WHERE sequence >= ? ORDER BY sequence LIMIT 1"
	err = b.db.QueryRowContext(ctx, next, from).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return sequence, err == nil, err
}

// EntryBody returns the body of an entry, whatever is beside it.
func (b *Bundle) EntryBody(
	ctx context.Context, _ escrow.InstitutionID, sequence int64,
) (body []byte, found bool, err error) {
	err = b.db.QueryRowContext(ctx, "SELECT body FROM entries WHERE sequence = ?", sequence).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return body, err == nil, err
}

// NextNote returns the size and the note of the first checkpoint above a size, whatever is
// beside them.
func (b *Bundle) NextNote(
	ctx context.Context, of escrow.InstitutionID, after int64,
) (c store.Checkpoint, found bool, err error) {
	c.Institution = of
	const next = "SELECT size, note FROM checkpoints WHERE size > ? ORDER BY size LIMIT 1"
	err = b.db.QueryRowContext(ctx, next, after).Scan(&c.Size, &c.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	return c, err == nil, err
}

func scanEntry(rows *sql.Rows, e *store.StoredEntry) error {
	var at string
	var private sql.RawBytes
	if err := rows.Scan(&e.Sequence, &at, &e.Actor, &e.Kind, &e.Subject, &e.Body, &private); err != nil {
		return err
	}
	var err error
	if e.At, err = escrow.ParseWrittenTime(at); err != nil {
		return err
	}
	return readPrivate(e, private)
}

func scanHistory(rows *sql.Rows, e *store.StoredEntry) error {
	var private sql.RawBytes
	if err := rows.Scan(&e.Sequence, &e.Subject, &e.Body, &private); err != nil {
		return err
	}
	_ = readPrivate(e, private) // Whoever reads the journal in its order is told.
	return nil
}

// readPrivate reads the private values of an entry.
func readPrivate(e *store.StoredEntry, private []byte) (err error) {
	e.Openings = escrow.Openings{}
	if private != nil {
		e.Openings, err = escrow.ParseOpenings(private)
	}
	return err
}

// StoredEntries returns the entries from one sequence to another, both included.
func (b *Bundle) StoredEntries(
	ctx context.Context, _ escrow.InstitutionID, from, to int64,
) ([]store.StoredEntry, error) {
	rows, err := b.bySequence.QueryContext(ctx, from, to)
	return all(rows, err, scanEntry)
}

// EntryBytes returns how many bytes the bodies of entries have together, from one sequence to
// another, both included.
func (b *Bundle) EntryBytes(ctx context.Context, _ escrow.InstitutionID, from, to int64) (total int64, err error) {
	const sum = "SELECT COALESCE(SUM(octet_length(body)), 0) FROM entries WHERE sequence BETWEEN ? AND ?"
	err = b.db.QueryRowContext(ctx, sum, from, to).Scan(&total)
	return total, err
}

// Histories returns all entries of at most store.MaxHistories subjects, those of each in
// order, with their sequence, subject, body and private values.
func (b *Bundle) Histories(
	ctx context.Context, _ escrow.InstitutionID, subjects []string,
) (entries []store.StoredEntry, err error) {
	for _, subject := range subjects {
		rows, err := b.bySubject.QueryContext(ctx, subject)
		history, err := all(rows, err, scanHistory)
		if err != nil {
			return nil, err
		}
		entries = append(entries, history...)
	}
	return entries, nil
}

// CountPositionEntries returns how many of the entries up to a sequence are of positions.
func (b *Bundle) CountPositionEntries(ctx context.Context, upTo int64) (count int64, err error) {
	kinds, err := json.Marshal(escrow.PositionKinds())
	if err != nil {
		return 0, err
	}
	row := b.db.QueryRowContext(ctx,
		"SELECT COUNT(*) FROM entries WHERE sequence <= ? AND kind IN (SELECT value FROM json_each(?))",
		upTo, string(kinds))
	err = row.Scan(&count)
	return count, err
}

// CountCheckpoints returns how many checkpoints there are, and the size of the last.
func (b *Bundle) CountCheckpoints(ctx context.Context) (count, last int64, err error) {
	err = b.db.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(MAX(size), 0) FROM checkpoints").Scan(&count, &last)
	return count, last, err
}

// Checkpoints returns a page of the checkpoints, the smallest first; a cursor is a size.
func (b *Bundle) Checkpoints(
	ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[store.Checkpoint], error) {
	var after int64
	if page.After != nil {
		after = page.After.Sequence()
	}

	rows, err := b.db.QueryContext(ctx, "SELECT size, at, note FROM checkpoints WHERE size > ? ORDER BY size LIMIT ?",
		after, page.Limit+1)
	found, err := all(rows, err, func(rows *sql.Rows, c *store.Checkpoint) (err error) {
		var at string
		if err := rows.Scan(&c.Size, &at, &c.Note); err != nil {
			return err
		}
		c.Institution = of
		c.At, err = escrow.ParseWrittenTime(at)
		return err
	})

	more := len(found) > page.Limit
	return escrow.Page[store.Checkpoint]{Items: found[:min(len(found), page.Limit)], More: more}, err
}

// all reads every row of a query's answer, or returns the query's error.
func all[T any](rows *sql.Rows, failed error, scan func(*sql.Rows, *T) error) ([]T, error) {
	if failed != nil {
		return nil, failed
	}
	defer rows.Close()

	var values []T
	for rows.Next() {
		var value T
		if err := scan(rows, &value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

func scanText(rows *sql.Rows, text *string) error { return rows.Scan(text) }
