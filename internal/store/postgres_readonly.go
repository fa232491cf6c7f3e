package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A database can be read-only for a while: a standby, or by default_transaction_read_only.
// Sessions that began in that time can stay so after it has passed.

// errReadOnly marks failures for want of a database that can be written to.
var errReadOnly = errors.New("the database is read-only")

// readOnlyCode is the SQLSTATE of a statement that would write.
const readOnlyCode = "25006"

// readOnlyKey is where a connection keeps since when it is known to be read-only.
const readOnlyKey = "escrowgrid.readonly"

func markReadOnly(conn *pgx.Conn) { conn.PgConn().CustomData()[readOnlyKey] = time.Now() }

// writer takes a connection to write on. One that was read-only is replaced, so that
// whoever writes is told how the database is now.
func (p *postgres) writer(ctx context.Context) (*pgxpool.Conn, error) {
	begun := time.Now()
	for {
		conn, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		since, readOnly := conn.Conn().PgConn().CustomData()[readOnlyKey].(time.Time)
		if !readOnly || since.After(begun) {
			return conn, nil
		}
		_ = conn.Conn().Close(ctx)
		conn.Release()
	}
}

// noted returns the error of a statement that writes, after keeping what it tells about
// the connection.
func noted(conn *pgxpool.Conn, err error) error {
	if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == readOnlyCode {
		markReadOnly(conn.Conn())
	}
	return err
}

const isReadOnly = "SELECT current_setting('transaction_read_only') = 'on'"

func (p *postgres) checkWritable(ctx context.Context) error {
	conn, err := p.writer(ctx)
	if err != nil {
		return classify(err)
	}
	defer conn.Release()

	var readOnly bool
	if err := conn.QueryRow(ctx, isReadOnly).Scan(&readOnly); err != nil {
		return classify(err)
	}
	if readOnly {
		markReadOnly(conn.Conn())
		return kinded{ErrUnavailable, errReadOnly}
	}
	return nil
}
