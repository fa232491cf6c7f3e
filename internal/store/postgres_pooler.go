package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A pooler such as pgbouncer can stand between a process and PostgreSQL. Each transaction may
// then have another session, so nothing of a session outlasts a transaction: no setting, no
// prepared statement, no lock, not even which database is behind it. A process finds out by
// itself, and takes any pooler for one of that kind.

// pooledKey is where a connection that leads through a pooler keeps the statement that every
// transaction on it begins with.
const pooledKey = "escrowgrid.pooled"

// ErrPoolerParameter means that the database's URL sets a parameter that would reach only some
// of the sessions behind a pooler.
var ErrPoolerParameter = errors.New("DATABASE_URL sets a parameter that a connection pooler does not pass on")

// isPassedOn reports whether pgbouncer gives each session a parameter as the client began with it.
func isPassedOn(parameter string) bool {
	return slices.Contains([]string{
		"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings",
	}, parameter)
}

// avoidPreparing has connections prepare no statements, once there is known to be a pooler.
func (p *postgres) avoidPreparing(_ context.Context, config *pgx.ConnConfig) error {
	if p.pooled.Load() {
		config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// preparePooled prepares a new connection that leads through a pooler.
func (p *postgres) preparePooled(ctx context.Context, conn *pgx.Conn) error {
	config := conn.Config()
	for parameter := range config.RuntimeParams {
		if !isPassedOn(parameter) {
			return kinded{ErrUnavailable, fmt.Errorf(
				"%w: %s; give it to the role instead, with ALTER ROLE … SET", ErrPoolerParameter, parameter)}
		}
	}
	if config.DefaultQueryExecMode != pgx.QueryExecModeCacheDescribe {
		// This one would prepare statements: the pool makes another in the place of one that is closed.
		p.pooled.Store(true)
		_ = conn.Close(ctx)
		return nil
	}

	watched, err := isClientWatched(ctx, conn)
	if err != nil {
		return err
	}
	conn.PgConn().CustomData()[pooledKey] = settingsOfTransaction(watched)
	return nil
}

// isClientWatched tells whether PostgreSQL can watch its clients. One that cannot fails the
// transaction that asks for it.
func isClientWatched(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var value string
	err := conn.QueryRow(ctx, watchClient(forTransaction)).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) || isInvalidValue(err) {
		return false, nil
	}
	return err == nil, err
}

// settingsOfTransaction gives a transaction what a session of its own would have, and tells which
// database it is in.
func settingsOfTransaction(watched bool) string {
	var more [][2]string
	if watched {
		more = append(more, watchInterval)
	}
	return "SELECT count(set_config(name, value, " + forTransaction + ")), " + identity + " FROM " +
		settingsFrom(more...)
}

// send runs a pipeline that is a transaction, or begins one.
func (p *postgres) send(ctx context.Context, conn *pgxpool.Conn, pipeline *pgx.Batch) error {
	settings, pooled := conn.Conn().PgConn().CustomData()[pooledKey].(string)
	if pooled && pipeline.Len() > 0 {
		first := &pgx.QueuedQuery{SQL: settings}
		first.QueryRow(p.noteTransaction)
		place := 0
		if pipeline.QueuedQueries[0].SQL == beginReadCommitted {
			place = 1
		}
		pipeline.QueuedQueries = slices.Insert(pipeline.QueuedQueries, place, first)
	}
	return conn.SendBatch(ctx, pipeline).Close()
}

// noteTransaction reads what settingsOfTransaction returns.
func (p *postgres) noteTransaction(r pgx.Row) error {
	var settings int64
	return p.noteIdentity(r, &settings)
}

// isPooled reports whether a connection leads through a pooler.
func isPooled(conn *pgxpool.Conn) bool {
	_, ok := conn.Conn().PgConn().CustomData()[pooledKey]
	return ok
}

// isInvalidValue reports whether PostgreSQL does not take the value of a setting.
func isInvalidValue(err error) bool {
	server, ok := errors.AsType[*pgconn.PgError](err)
	return ok && server.Code == "22023"
}
