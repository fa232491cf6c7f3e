package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var (
	// ErrOutcomeUnknown is the error of a commit whose answer did not come, or that no
	// synchronous standby has confirmed: of a group, Committed finds out.
	ErrOutcomeUnknown = errors.New("the outcome of the commit is not known")
	// ErrUnavailable marks failures that may pass without a change of the
	// request: no connection, a restart, a lock that could not be had in time.
	ErrUnavailable = errors.New("the database is not available")
	// ErrStale is Commit's error where another process has written to a journal of
	// the group since its books were opened: nothing was done, and a transaction that is
	// begun again sees the journal as it is.
	ErrStale = errors.New("another process has written to the journal")
	// ErrSchemaBehind means that the database has not been migrated to the level
	// that this program needs.
	ErrSchemaBehind = errors.New("the database schema is behind this program: run escrowgrid migrate")
)

// kinded adds one of the errors above to a driver's error, both of them visible
// to errors.Is.
type kinded struct{ kind, err error }

func (k kinded) Error() string   { return k.kind.Error() + ": " + told(k.err) }
func (k kinded) Unwrap() []error { return []error{k.kind, k.err} }

// told is the text of an error in one line, with each cause once. pgconn has a line for each attempt
// to connect, of which there are two where it tries with TLS and then without, and names the address
// three times in it.
func told(err error) string {
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return err.Error()
	}

	var causes []string
	add := func(text string) {
		if !slices.Contains(causes, text) {
			causes = append(causes, text)
		}
	}
	attempts := []error{failed.Unwrap()}
	if several, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](attempts[0]); ok {
		attempts = several.Unwrap()
	}
	for _, attempt := range attempts {
		if dial, ok := errors.AsType[*net.OpError](attempt); ok && dial.Addr != nil {
			add(dial.Addr.String() + ": " + dial.Err.Error())
		} else {
			add(attempt.Error())
		}
	}

	to := fmt.Sprintf("failed to connect to `user=%s database=%s`: ", failed.Config.User, failed.Config.Database)
	return strings.Replace(err.Error(), failed.Error(), to+strings.Join(causes, "; "), 1)
}

// classify marks a driver's error by its code. Unknown errors pass as they are:
// they concern the statement.
func classify(err error) error {
	if err == nil {
		return nil
	}

	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyPostgres(server, err)
	}
	if code, ok := errors.AsType[sqlite3.ErrorCode](err); ok {
		switch code {
		case sqlite3.BUSY, sqlite3.LOCKED, sqlite3.IOERR, sqlite3.FULL, sqlite3.CANTOPEN, sqlite3.NOMEM,
			sqlite3.INTERRUPT:
			return kinded{ErrUnavailable, err}
		}
		return err
	}

	if isConnectionError(err) {
		return kinded{ErrUnavailable, err}
	}
	return err
}

// classifyPostgres goes by SQLSTATE; see the appendix "PostgreSQL Error Codes" of
// its manual.
func classifyPostgres(server *pgconn.PgError, err error) error {
	if server.Code == readOnlyCode {
		return kinded{ErrUnavailable, kinded{errReadOnly, err}}
	}
	switch server.Code[:2] {
	case "08", // connection exception
		"25", // a transaction that the server has ended
		"40", // transaction rollback: deadlock, serialization
		"53", // insufficient resources: disk full, too many connections
		"55", // object not in prerequisite state: lock not available
		"57", // operator intervention: shutdown, cancelled
		"58": // system error outside PostgreSQL
		return kinded{ErrUnavailable, err}
	}

	if server.ConstraintName == fenceConstraint {
		return kinded{ErrNotLeader, err}
	}
	switch server.Code {
	case "42P01", "42703", "42883": // undefined table, column, function
		return kinded{ErrSchemaBehind, err}
	case "28P01", "28000", "3D000": // password, authorization, no such database
		return kinded{ErrUnavailable, err}
	}
	return err
}

// isLostConnection reports whether a connection that was there has been lost: the server
// ended it, or has gone.
func isLostConnection(err error) bool {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Operator intervention: shutdown, crash; or a pooler's word that it lost the server.
		return strings.HasPrefix(server.Code, "57P") || server.Code == poolerCode
	}
	return err != nil && isConnectionError(err) && !errors.As(err, new(*pgconn.ConnectError)) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// poolerCode is the SQLSTATE of what pgbouncer says itself, a protocol violation.
const poolerCode = "08P01"

func isConnectionError(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, pgx.ErrTxClosed) || pgconn.SafeToRetry(err) ||
		// pgconn has no error value for a connection that is gone.
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool")
}

// Failure turns a store's error into one for clients, an *escrow.Error: one of the
// domain passes, and nothing of a driver's is told.
func Failure(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*escrow.Error](err); ok {
		return refusal
	}

	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return escrow.UnknownOutcome(err)
	case errors.Is(err, ErrSchemaBehind):
		return escrow.Wrap(escrow.CodeStoreUnavailable, err, "The database is not migrated to this version's schema.")
	case errors.Is(err, ErrUnfinishedCopy):
		return escrow.Wrap(escrow.CodeStoreUnavailable, err, "The database is a copy that is not finished.")
	case errors.Is(err, errReadOnly):
		return escrow.Wrap(escrow.CodeStoreUnavailable, err, "The database is read-only.")
	case errors.Is(err, ErrUnavailable):
		return escrow.Wrap(escrow.CodeStoreUnavailable, err, "The database is not available.")
	}
	return escrow.Wrap(escrow.CodeInternal, err, "Something went wrong on the server.")
}

// must turns the absence of a resource into its refusal.
func must[T any](value T, found bool, err error, missing escrow.Code, noun string, id any) (T, error) {
	if err == nil && !found {
		err = escrow.Errorf(missing, "There is no %s %s.", noun, id)
	}
	return value, err
}
