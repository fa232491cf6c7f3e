package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// defaultDatabase is where the data is when DATABASE_URL does not say: in the working directory,
// so that a server starts without any configuration.
const defaultDatabase = "sqlite:escrowgrid.db"

// databaseFlags say where the data is. Most commands have them.
type databaseFlags struct {
	DatabaseURL         string `env:"DATABASE_URL" secret:"password" help:"The database: sqlite:PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/NAME. ${database_default}"`
	DatabaseConnections string `env:"DATABASE_CONNECTIONS" default:"0" help:"The most connections to the database, at least 8; 0 derives it from the number of processors."`
}

// openStore opens the database. It opens an SQLite file at once, and creates one that is missing;
// it does not connect to PostgreSQL yet.
func openStore(ctx context.Context, databaseURL string, connections int) (*store.Store, error) {
	opened, err := store.Open(ctx, databaseURL, connections)
	if err != nil && !strings.HasPrefix(databaseURL, "sqlite:") {
		// Nothing has connected to PostgreSQL yet, so only its URL can be wrong.
		r := reader{}
		r.wrong("DATABASE_URL", schemeOnly(databaseURL), databaseURLTakes)
		return nil, r.err
	}
	return opened, err
}

// What to do instead where a server uses the SQLite file.
const (
	stopServer      = "stop it"
	stopOrAskServer = stopServer + ", or ask it over HTTP with --url"
)

// openExisting opens a database for a command that only reads: it creates and migrates none. It
// returns an error when there is no database, when another process uses the SQLite file, which
// then says what to do instead, when the schema is not of this version's level, and when the
// database is a copy that is not finished.
func openExisting(ctx context.Context, flags databaseFlags, instead string) (*store.Store, error) {
	var r reader
	databaseURL, connections := r.database(flags)
	if r.err != nil {
		return nil, r.err
	}

	// SQLite would create a missing file.
	if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("there is no database %s: %w", path, err)
		}
	}

	database, err := openStore(ctx, databaseURL, connections)
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("%w; %s", err, instead)
	}
	if err != nil {
		return nil, err
	}

	err = database.CheckSchema(ctx)
	if err == nil {
		err = database.CheckCopy(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, database.Close())
	}
	return database, nil
}

// databaseURLTakes says what DATABASE_URL takes.
//
//nolint:gosec // No credentials: the names of their places.
const databaseURLTakes = "sqlite:PATH with a plain path, sqlite::memory: or postgres://USER:PASSWORD@HOST/NAME"

// schemeOnly shows only the scheme of a database URL: the rest may hold a password, and so
// may any part of what is no URL, like "host=db password=…".
func schemeOnly(databaseURL string) string {
	scheme, _, isURL := strings.Cut(databaseURL, ":")
	notInScheme := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' }
	if !isURL || strings.ContainsFunc(scheme, notInScheme) {
		return "(not shown)"
	}
	return scheme + ":…"
}

// isPath reports whether what follows sqlite: is a path. As a URL it would name a file in
// one of several places, with options that nobody reads.
func isPath(text string) bool {
	isURL := strings.HasPrefix(text, "//") || strings.HasPrefix(text, "file:") || strings.Contains(text, "?")
	return text != "" && !isURL
}

// fileName is the form of a database file's name, which no password has.
var fileName = regexp.MustCompile(`^(?:(?:sqlite3?|file):)?(?://)?([\w./-]+\.(?:db|sqlite3?))$`)

// meantFile says how a file is named, where a text is likely to be one.
func meantFile(databaseURL string) string {
	name := fileName.FindStringSubmatch(databaseURL)
	if name == nil {
		return ""
	}
	return "; for that file, sqlite:" + name[1]
}

// database reads where the data is. No message shows more of a URL than its scheme.
func (r *reader) database(flags databaseFlags) (databaseURL string, connections int) {
	databaseURL = cmp.Or(flags.DatabaseURL, defaultDatabase)
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	// PostgreSQL's own programs take both schemes.
	isPostgres := scheme == "postgres" || scheme == "postgresql"
	if scheme != "sqlite" && !isPostgres || scheme == "sqlite" && !isPath(rest) {
		r.wrong("DATABASE_URL", schemeOnly(databaseURL), databaseURLTakes+meantFile(databaseURL))
	}

	connections = r.whole("DATABASE_CONNECTIONS", flags.DatabaseConnections, 0, 1000)
	// With fewer, a committer could not find out about a commit whose connection broke.
	if connections > 0 && connections < store.MinConnections {
		takes := fmt.Sprintf("0, or a whole number from %d to 1000", store.MinConnections)
		r.wrong("DATABASE_CONNECTIONS", flags.DatabaseConnections, takes)
	}
	return databaseURL, connections
}

// refuseForeignSchema returns an error where the database would do what no migration has it do.
// One that is away, or not migrated yet, is compared when it is verified.
func (s *service) refuseForeignSchema(ctx context.Context) error {
	if s.config.allowForeignSchema {
		return nil
	}

	err := s.store.RefuseForeignSchema(ctx)
	if errors.Is(err, store.ErrForeignSchema) {
		return fmt.Errorf("%w; docs/operations.md tells what to do, "+
			"and ALLOW_FOREIGN_SCHEMA=true serves nevertheless", err)
	}
	if errors.Is(err, store.ErrPoolerParameter) || errors.Is(err, store.ErrEncoding) {
		return err
	}
	switch {
	case errors.Is(err, store.ErrUnavailable):
		s.config.logger.Warn("the database is away: until it is there, requests and /ready are answered 503",
			"error", err)
	case err != nil:
		s.config.logger.Warn("the database's schema could not be compared with what the migrations make", "error", err)
	}
	return nil
}
