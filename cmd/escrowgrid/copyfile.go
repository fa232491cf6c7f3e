package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// sqlitePath returns the path of the SQLite file that the flags name. For PostgreSQL and for a
// database in memory it returns a usageError.
func sqlitePath(flags databaseFlags) (string, error) {
	var r reader
	databaseURL, _ := r.database(flags)
	if r.err != nil {
		return "", r.err
	}

	path, isFile := strings.CutPrefix(databaseURL, "sqlite:")
	if !isFile || path == ":memory:" {
		return "", &usageError{"DATABASE_URL: this command is for SQLite files; " +
			"docs/operations.md says how to back up PostgreSQL"}
	}
	return path, nil
}

// copyFile copies an SQLite file to a path that must not exist, and that does not exist until
// the copy is complete and verified.
func copyFile(ctx context.Context, from, to string, verified bool, progress io.Writer) (err error) {
	partial, err := store.NewPartial(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, partial.Close()) }()

	// SQLite's own backup sees the database as it is at one moment, even while a server writes.
	tell, finish := showProgress(progress, "copying", "pages")
	err = store.CopySQLite(ctx, from, partial, tell)
	finish()
	if err != nil {
		return err
	}
	if verified {
		if err := verifyCopy(ctx, partial.Path(), progress); err != nil {
			return err
		}
	}

	// A sealed copy is one file: whoever moves it cannot leave the write-ahead log behind.
	if err := store.SealSQLite(ctx, partial.Path()); err != nil {
		return err
	}
	return partial.Finish()
}

// verifyCopy verifies a copy's journals and rows. When anything differs, it writes the differences
// to progress and returns an error.
func verifyCopy(ctx context.Context, path string, progress io.Writer) (err error) {
	flags := databaseFlags{DatabaseURL: "sqlite:" + path, DatabaseConnections: "0"}
	database, err := openExisting(ctx, flags, stopServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()

	tell, finish := showProgress(progress, "verifying", "entries")
	begun := time.Now()
	report, err := verify.Database(ctx, database, verify.Config{Progress: tell})
	finish()
	if err != nil {
		return err
	}

	// A database without an institution can be copied, too: there is nothing in it to be wrong.
	if verdict := report.Err(); verdict != nil && !errors.Is(verdict, verify.ErrNothing) {
		return errors.Join(errors.New("the copy does not verify"), showReport(progress, report, time.Since(begun)))
	}
	return nil
}
