package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// copiedPages is how many pages are copied at once, between two looks at the context.
const copiedPages = 1000

// CopySQLite copies an SQLite database as it is at one moment, while others may write to
// it, to a file that is empty, all but the nonces of new API keys. It checks the copy's
// structure. Progress, which may be nil, is told the pages that are copied of how many.
func CopySQLite(ctx context.Context, from string, to *Partial, progress func(done, total int64)) (err error) {
	source, err := openSQLiteConn(ctx, fileURI(from)+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("open %s: %w", from, err)
	}
	defer func() { err = errors.Join(err, source.close()) }()

	// What is committed from here on is not in the copy.
	if err := source.run(ctx, "BEGIN", nil, nil); err != nil {
		return err
	}
	if err := source.run(ctx, "SELECT COUNT(*) FROM goose_db_version", nil, nil); err != nil {
		return fmt.Errorf("%s is no database of EscrowGrid: %w", from, err)
	}
	if err := copyPages(ctx, source.db, to.Path(), progress); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	if err := forgetNonces(ctx, to.Path()); err != nil {
		return fmt.Errorf("leave the nonces of API keys out of the copy: %w", err)
	}
	return checkStructure(ctx, to.Path())
}

// forgetNonces removes what the secrets of new API keys are derived from, beside secrets that
// are in no database. A request that is repeated after a restoration is told that its key's
// secret is gone.
func forgetNonces(ctx context.Context, path string) (err error) {
	conn, err := openSQLiteConn(ctx, fileURI(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.close()) }()

	// What a file from elsewhere brings along must not run before it is verified.
	if _, err := conn.db.Config(sqlite3.DBCONFIG_ENABLE_TRIGGER, false); err != nil {
		return err
	}
	for _, statement := range []string{
		"PRAGMA journal_mode = delete",
		"PRAGMA secure_delete = on", // Bytes that are free do not keep them either.
		"UPDATE idempotency_records SET nonce = NULL WHERE nonce IS NOT NULL",
	} {
		if err := conn.run(ctx, statement, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// SealSQLite leaves of a database that nobody has open one file that needs no other beside it,
// and can be read where nothing can be written.
func SealSQLite(ctx context.Context, path string) error {
	conn, err := openSQLiteConn(ctx, fileURI(path))
	if err != nil {
		return err
	}
	return errors.Join(conn.run(ctx, "PRAGMA journal_mode = delete", nil, nil), conn.close())
}

// fileURI names a file as SQLite does.
func fileURI(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath()
}

func copyPages(ctx context.Context, source *sqlite3.Conn, to string, progress func(done, total int64)) (err error) {
	backup, err := source.BackupInit("main", fileURI(to))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backup.Close()) }()

	for {
		done, err := backup.Step(copiedPages)
		if err != nil {
			return err
		}
		if progress != nil {
			progress(int64(backup.PageCount()-backup.Remaining()), int64(backup.PageCount()))
		}
		if done {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// checkStructure has SQLite check a file's pages, and its indexes against the rows.
func checkStructure(ctx context.Context, path string) (err error) {
	// Nobody else has the file open, so SQLite need not look for a log beside it.
	conn, err := openSQLiteConn(ctx, fileURI(path)+"?mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.close()) }()

	return conn.run(ctx, "PRAGMA integrity_check(1)", nil, func(r row) error {
		var found string
		if err := r.Scan(&found); err != nil {
			return err
		}
		if found != "ok" {
			return fmt.Errorf("%s is damaged: %s", path, found)
		}
		return nil
	})
}
