package store

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// postgres is a pool of connections. Other processes may write to the database.
type postgres struct {
	pool    *pgxpool.Pool
	cache   *rowCache
	history pastHeads
	heads   sharedReader[escrow.InstitutionID, escrow.Head]
	// pooled says that connections lead through a pooler.
	pooled atomic.Bool
}

// pastHeads is what a Store does where a journal may have gone back.
type pastHeads interface {
	noteIdentity(identity string) (changed bool)
	settleHistory(ctx context.Context) error
	HaltIfLost(ctx context.Context, institution escrow.InstitutionID, seen escrow.Head) (lost bool, err error)
}

// MinConnections is the least size of a pool of connections: enough for every
// committer to have two, which it takes to find out about a lost commit.
const MinConnections = 8

// openPostgres prepares a pool; it connects when it is first used, so that a
// server can start before its database.
func openPostgres(ctx context.Context, databaseURL string, connections int, s *Store) (database, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		// The driver's error holds the URL, and with it the password.
		return nil, errors.New("the PostgreSQL URL is not valid")
	}
	if connections == 0 {
		connections = max(16, 4*runtime.GOMAXPROCS(0))
	}
	connections = max(connections, MinConnections)
	config.MaxConns = int32(min(connections, 1000))
	p := &postgres{cache: s.cache, history: s}
	p.configureSessions(config)

	p.heads.name, p.heads.query = "heads of journals", p.readHeads
	config.ShouldPing = p.probe
	p.pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *postgres) name() string      { return "postgres" }
func (p *postgres) isExclusive() bool { return false }
func (p *postgres) sendsWhole() bool  { return true }

// hasMoved never tells: behind its URL, the database is the server's to find.
func (p *postgres) hasMoved() <-chan struct{} { return nil }

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) connections() (open, used, limit int) {
	stat := p.pool.Stat()
	return int(stat.TotalConns()), int(stat.AcquiredConns()), int(stat.MaxConns())
}

// space is the server's to know.
func (p *postgres) space() (size, free int64, ok bool) { return 0, 0, false }

// snapshot asks the database, as other servers may write to it.
func (p *postgres) snapshot(ctx context.Context, institution escrow.InstitutionID) (snapshot, error) {
	if err := p.history.settleHistory(ctx); err != nil {
		return snapshot{}, err
	}
	head, found, err := p.heads.read(ctx, institution)
	if err != nil || !found {
		return snapshot{}, err
	}
	return p.cache.observe(institution, head), nil
}

// headsOf reads the heads of some journals.
var headsOf = "SELECT " + headTable.list + " FROM journal_heads WHERE institution_id = ANY ($1::uuid[])"

func (p *postgres) readHeads(
	ctx context.Context, institutions []escrow.InstitutionID,
) (map[escrow.InstitutionID]escrow.Head, error) {
	// What was seen before the query began cannot be missing from its answer.
	seen, unconfirmed := p.cache.seenOf(institutions)
	heads := make(map[escrow.InstitutionID]escrow.Head, len(institutions))
	err := p.query(ctx, headsOf, []any{idArgs(institutions)}, func(r row) error {
		h, err := headTable.scan(r)
		heads[h.InstitutionID] = h.Head
		return err
	})

	for _, before := range unconfirmed {
		if err == nil && isBefore(heads[before.InstitutionID], before.Head) {
			p.cache.dropUnconfirmed(before)
		}
	}
	for _, before := range seen {
		if err == nil && isBefore(heads[before.InstitutionID], before.Head) {
			_, err = p.history.HaltIfLost(ctx, before.InstitutionID, before.Head)
		}
	}
	return heads, err
}

func (p *postgres) query(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return p.read(ctx, pgx.QueryExecModeCacheStatement, sql, args, scan)
}

// list has the statement planned anew: planned while the tables were empty, when
// all indexes cost the same, it would keep an index that is not its best.
func (p *postgres) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return p.read(ctx, pgx.QueryExecModeCacheDescribe, sql, args, scan)
}

// read runs a reading statement. A connection that waited in the pool while the database
// went away shows it only when it is used: the statement is then run once more on another
// one, which is made anew.
func (p *postgres) read(
	ctx context.Context, mode pgx.QueryExecMode, sql string, args []any, scan func(row) error,
) error {
	scanned := false
	once := func() error {
		return p.readOnce(ctx, mode, sql, args, func(r row) error { scanned = true; return scan(r) })
	}

	err := once()
	if isLostConnection(err) && !scanned && ctx.Err() == nil {
		p.pool.Reset()
		err = once()
	}
	return classify(err)
}

func (p *postgres) readOnce(
	ctx context.Context, mode pgx.QueryExecMode, sql string, args []any, scan func(row) error,
) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()

	if isPooled(conn) {
		var pipeline pgx.Batch
		pipeline.Queue(sql, args...).Query(func(rows pgx.Rows) error { return scanRows(rows, scan) })
		return p.send(ctx, conn, &pipeline)
	}
	if mode != pgx.QueryExecModeCacheStatement { // Most reads are in pgx's default mode.
		args = append([]any{mode}, args...)
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return scanRows(rows, scan)
}

func scanRows(rows pgx.Rows, scan func(row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); errors.Is(err, errEnough) {
			break
		} else if err != nil {
			return err
		}
	}
	// What is left is read before it is known whether all went well.
	rows.Close()
	return rows.Err()
}

func (p *postgres) transact(ctx context.Context, fill func(changeSink) error) error {
	sink := &postgresSink{}
	if held, ok := leaseIn(ctx); ok {
		sink.batch.Queue(leaseHeld, int64(held.duty), held.fence)
	}
	if err := fill(sink); err != nil {
		return err
	}
	// The statements of a pipeline are one transaction.
	return p.commit(ctx, func(conn *pgxpool.Conn) error { return p.send(ctx, conn, &sink.batch) })
}

func (p *postgres) exec(ctx context.Context, sql string, args []any) (affected int64, err error) {
	err = p.commit(ctx, func(conn *pgxpool.Conn) error {
		var pipeline pgx.Batch
		pipeline.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
			affected = tag.RowsAffected()
			return nil
		})
		return p.send(ctx, conn, &pipeline)
	})
	return affected, err
}

func (p *postgres) migrate(ctx context.Context) error {
	db := stdlib.OpenDBFromPool(p.pool)
	return errors.Join(migrateUp(ctx, goose.DialectPostgres, db, "migrations/postgres"), db.Close())
}

// rescrub has nothing to do: VACUUM and the recycling of the log are the database's own.
func (p *postgres) rescrub(context.Context) error { return nil }
