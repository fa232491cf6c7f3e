package bundle

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Writer writes a bundle. It must be closed; unless it was finished before, nothing is
// left then.
type Writer struct {
	file  *store.Partial
	db    *sql.DB
	tx    *sql.Tx
	entry *sql.Stmt
	last  int64
	// redacted are the private members whose values are left out.
	redacted []string
}

// Create begins a bundle of an institution's journal. It fails where there is a file at
// the path; until the bundle is finished, there is none. The values of the private members that
// are redacted are left out.
func Create(
	ctx context.Context, path string, of escrow.InstitutionID, now time.Time, redacted []string,
) (*Writer, error) {
	// It has the hashes of API keys, so nobody else may read it.
	file, err := store.NewPartial(path)
	if err != nil {
		return nil, err
	}

	w := &Writer{file: file, redacted: redacted}
	// A file that is not finished is of no use, so nothing has to survive a crash.
	const pragmas = "_pragma=journal_mode(off)&_pragma=synchronous(off)&_pragma=locking_mode(exclusive)"
	if w.db, err = open(file.Path(), pragmas); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w.db.SetMaxOpenConns(1)
	if err := w.begin(ctx, of, now); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// begin writes what stands before the entries.
func (w *Writer) begin(ctx context.Context, of escrow.InstitutionID, now time.Time) (err error) {
	for _, statement := range schema {
		if _, err := w.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}

	if w.tx, err = w.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	redacted, err := json.Marshal(append([]string{}, w.redacted...))
	if err != nil {
		return err
	}
	_, err = w.tx.ExecContext(ctx, "INSERT INTO bundle VALUES (?, ?, ?, ?)",
		Format, of.String(), escrow.FormatTime(now), string(redacted))
	if err != nil {
		return err
	}
	w.entry, err = w.tx.PrepareContext(ctx, "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)")
	return err
}

// AddKey adds a public key.
func (w *Writer) AddKey(ctx context.Context, verifierKey string) error {
	_, err := w.tx.ExecContext(ctx, "INSERT INTO keys VALUES (?)", verifierKey)
	return err
}

// AddEntry adds an entry, which must follow the last one that was added.
func (w *Writer) AddEntry(ctx context.Context, e store.StoredEntry) error {
	if e.Sequence != w.last+1 {
		return fmt.Errorf("entry %d is missing in the journal", w.last+1)
	}
	w.last = e.Sequence
	private, err := w.private(e)
	if err != nil {
		return err
	}
	_, err = w.entry.ExecContext(ctx,
		e.Sequence, escrow.FormatTime(e.At), e.Actor, string(e.Kind), e.Subject, string(e.Body), private)
	return err
}

// private returns the openings of an entry's private members, as text, but for those that are
// redacted. An entry that cannot be read has none: whoever verifies the bundle is told.
func (w *Writer) private(e store.StoredEntry) (sql.NullString, error) {
	entry, err := e.Entry()
	if err != nil {
		return sql.NullString{}, nil //nolint:nilerr // See above.
	}
	openings := entry.Openings().Without(w.redacted)
	if len(openings) == 0 {
		return sql.NullString{}, nil
	}
	text, err := openings.Text()
	return sql.NullString{String: string(text), Valid: true}, err
}

// AddCheckpoint adds a checkpoint, unless it is of more entries than were added.
func (w *Writer) AddCheckpoint(ctx context.Context, size int64, at time.Time, note []byte) error {
	if size > w.last {
		return nil
	}
	_, err := w.tx.ExecContext(ctx, "INSERT INTO checkpoints VALUES (?, ?, ?)",
		size, escrow.FormatTime(at), string(note))
	return err
}

// Finish completes the bundle: from now on it is at its path, whole.
func (w *Writer) Finish() error {
	err := w.tx.Commit()
	w.tx = nil
	if err != nil {
		return err
	}

	if err := w.db.Close(); err != nil {
		return err
	}

	return w.file.Finish()
}

// Close removes what is not finished.
func (w *Writer) Close() error {
	if w.tx != nil {
		_ = w.tx.Rollback() // Nothing of it is kept.
	}
	return errors.Join(w.db.Close(), w.file.Close())
}
