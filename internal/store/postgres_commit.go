package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// warningKey is where a connection keeps the last warning that the server gave.
const warningKey = "escrowgrid.warning"

func keepWarning(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warningKey] = notice
	}
}

// confirmed runs work that commits on a connection. PostgreSQL ends a COMMIT whose wait
// for a synchronous standby was cancelled with success and a warning (syncrep.c), and the
// commit can be lost with the primary: confirmed then returns ErrOutcomeUnknown.
func confirmed(conn *pgxpool.Conn, work func() error) error {
	kept := conn.Conn().PgConn().CustomData()
	delete(kept, warningKey)
	if err := work(); err != nil {
		return noted(conn, err)
	}

	if warning, ok := kept[warningKey].(*pgconn.Notice); ok {
		return kinded{ErrOutcomeUnknown, (*pgconn.PgError)(warning)}
	}
	return nil
}

// commit takes a connection for work that is a transaction of its own.
func (p *postgres) commit(ctx context.Context, work func(*pgxpool.Conn) error) error {
	conn, err := p.writer(ctx)
	if err != nil {
		return classify(err)
	}
	defer conn.Release()
	return classify(confirmed(conn, func() error { return work(conn) }))
}
