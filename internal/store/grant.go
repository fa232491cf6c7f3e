package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// grants returns the privileges on each table that serving takes. Of journals and
// checkpoints nothing can be changed or taken away with them, of the other rows only the
// columns that change after a row was made. A test runs the whole suite with them.
func grants() map[string]string {
	grants := map[string]string{"goose_db_version": "SELECT"}
	for _, t := range bookTables {
		grants[t.Name()] = t.privileges()
	}
	for _, t := range otherTables {
		grants[t.Name()] = t.privileges()
	}
	return grants
}

// ErrNoRoles means that the database has no roles.
var ErrNoRoles = errors.New("SQLite has no roles: who can write to the file can write everything")

// GrantServing gives a role of PostgreSQL the privileges that serving takes on the tables
// of this schema level, and takes all others on them from it. The caller owns the tables.
func (s *Store) GrantServing(ctx context.Context, role string) error {
	p, ok := s.database.(*postgres)
	if !ok {
		return ErrNoRoles
	}
	return classify(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		var schema string
		if err := tx.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
			return err
		}

		schema, to := pgx.Identifier{schema}.Sanitize(), pgx.Identifier{role}.Sanitize()
		statements := []string{"GRANT USAGE ON SCHEMA " + schema + " TO " + to}
		for table, privileges := range grants() {
			statements = append(statements,
				"REVOKE ALL ON "+table+" FROM "+to, "GRANT "+privileges+" ON "+table+" TO "+to)
		}

		if _, err := tx.Exec(ctx, strings.Join(statements, "; ")); err != nil {
			return fmt.Errorf("grant to %s: %w", role, err)
		}
		return nil
	}))
}
