package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type postgres struct {
	pool *pgxpool.Pool
	*cache
	ends endReader
}

// MinConnections is the least size of a pool of connections: enough for every
// committer to have two, which it takes to find out about a lost commit.
const MinConnections = 8

// openPostgres prepares a pool; it connects when it is first used, so that a
// server can start before its database.
func openPostgres(ctx context.Context, databaseURL string, connections int) (backend, error) {
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
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	config.ConnConfig.Tracer = postgresTracer{}
	maps.Copy(config.ConnConfig.RuntimeParams, map[string]string{
		"application_name": "escrowgrid",
		"timezone":         "UTC",
		// Every statement has one sensible plan: nested loops over an index. Planned
		// anew each time, a quarter of the database's time goes into it; planned once,
		// while the tables are still small, it would be a scan of the whole table ever
		// after, were the other ways not closed. See also list.
		"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off",
		"enable_mergejoin": "off", "enable_bitmapscan": "off",
		// Where a scan is the only way, as of a table of migrations, its price of being
		// switched off would have it compiled first.
		"jit": "off",
		// What an instance that was cut off still locks is given free.
		"idle_in_transaction_session_timeout": "15s",
	})
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// An acknowledged write survives a crash, whatever the server's default.
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		registerWireArrays(conn.TypeMap())
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
			WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	p := &postgres{pool: pool, cache: newCache()}
	p.ends.query = p.readEnds
	return p, nil
}

func (p *postgres) Name() string    { return "postgres" }
func (p *postgres) Exclusive() bool { return false }

func (p *postgres) Close() error {
	p.pool.Close()
	return nil
}

func (p *postgres) Connections() (open, used, limit int) {
	stat := p.pool.Stat()
	return int(stat.TotalConns()), int(stat.AcquiredConns()), int(stat.MaxConns())
}

// Space is the server's to know.
func (p *postgres) Space() (size, free int64, ok bool) { return 0, 0, false }

// moment asks the database, as other servers may write to it.
func (p *postgres) moment(ctx context.Context, institution escrow.InstitutionID) (moment, error) {
	head, found, err := p.ends.read(ctx, institution)
	if err != nil || !found {
		return moment{}, err
	}
	return p.learn(institution, head), nil
}

func (p *postgres) readEnds(
	ctx context.Context, institutions []escrow.InstitutionID,
) (map[escrow.InstitutionID]escrow.Head, error) {
	heads := make(map[escrow.InstitutionID]escrow.Head, len(institutions))
	err := p.query(ctx, "SELECT institution_id, sequence, last_at FROM journal_heads WHERE institution_id = ANY ($1::uuid[])",
		[]any{uuids(institutions)}, func(r row) error {
			var h head
			err := scanHead(r, &h)
			heads[h.institution] = h.Head
			return err
		})
	return heads, err
}

func (p *postgres) query(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return p.read(ctx, sql, args, scan)
}

// list has the statement planned anew: planned while the tables were empty, when
// all indexes cost the same, it would keep an index that is not its best.
func (p *postgres) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return p.read(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...), scan)
}

func (p *postgres) read(ctx context.Context, sql string, args []any, scan func(row) error) error {
	rows, err := p.pool.Query(ctx, sql, args...)
	if err != nil {
		return classify(err)
	}
	return classify(scanRows(rows, scan))
}

func scanRows(rows pgx.Rows, scan func(row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (p *postgres) transact(ctx context.Context, fill func(changeSink) error) error {
	sink := &postgresSink{}
	if err := fill(sink); err != nil {
		return err
	}
	// The statements of a pipeline are one transaction.
	return classify(p.pool.SendBatch(ctx, &sink.batch).Close())
}

func (p *postgres) exec(ctx context.Context, sql string, args []any) (int64, error) {
	tag, err := p.pool.Exec(ctx, sql, args...)
	return tag.RowsAffected(), classify(err)
}

// leaderClass is the first of the two numbers of the advisory locks; it spells
// "escr".
const leaderClass = 0x65736372

func (p *postgres) Lead(ctx context.Context, name LeaderName, work func(context.Context) error) (bool, error) {
	ran := false
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		// The lock ends with the transaction, also when this process dies.
		err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1, $2)", int32(leaderClass), name).Scan(&ran)
		if err != nil || !ran {
			return err
		}
		// The work is done on other connections, and may take its time.
		if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
			return err
		}
		return work(ctx)
	})
	return ran, classify(err)
}

func (p *postgres) Migrate(ctx context.Context) error {
	db := stdlib.OpenDBFromPool(p.pool)
	return errors.Join(migrate(ctx, goose.DialectPostgres, db, "migrations/postgres"), db.Close())
}

// postgresBatch is a transaction on one connection. Where other servers write to
// its journals it takes a round trip to lock and load, one to write and commit.
// Where this one has been alone of late, the second is all: it checks that the
// ends of the journals are where they are known to be, and fails if not.
type postgresBatch struct {
	store *postgres
	needs batchNeeds
	books bookSet
	// conn holds the lock on the journals; nil while there is none.
	conn  *pgxpool.Conn
	ended bool
}

func (p *postgres) Begin(ctx context.Context, needs batchNeeds) (Batch, error) {
	p.begin(needs)
	books, opening := p.open(needs)
	batch := &postgresBatch{store: p, needs: needs, books: books}
	if opening.certain {
		return batch, nil
	}
	var err error
	if batch.conn, err = p.pool.Acquire(ctx); err != nil {
		batch.Rollback(ctx)
		return nil, classify(err)
	}
	if err := batch.load(ctx, opening); err != nil {
		batch.Rollback(ctx)
		return nil, classify(err)
	}
	return batch, nil
}

// load locks the journals and reads what is missing.
func (b *postgresBatch) load(ctx context.Context, opening opening) error {
	known := maps.Clone(b.books)
	var pipeline pgx.Batch
	pipeline.Queue(begin)
	b.queueLock(&pipeline).Query(func(rows pgx.Rows) error { return scanRows(rows, b.books.loadHead) })
	b.queueLoads(&pipeline, opening.missing)
	if err := b.conn.SendBatch(ctx, &pipeline).Close(); err != nil {
		return err
	}
	// Under the lock it shows whether what was counted on holds.
	moved := make(batchNeeds)
	for _, id := range opening.counted {
		if b.books[id] != known[id] {
			moved[id] = b.needs[id]
		}
	}
	if len(moved) == 0 {
		return nil
	}
	pipeline = pgx.Batch{}
	b.queueLoads(&pipeline, moved)
	return b.conn.SendBatch(ctx, &pipeline).Close()
}

// Reading after the lock must see what was committed before it, which a snapshot
// of the whole transaction would not.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

// queueLock queues the lock on the journals, in the order that all servers keep.
func (b *postgresBatch) queueLock(pipeline *pgx.Batch) *pgx.QueuedQuery {
	return pipeline.Queue(`SELECT institution_id, sequence, last_at FROM journal_heads
		WHERE institution_id = ANY ($1::uuid[]) ORDER BY institution_id FOR UPDATE`, uuids(sorted(b.needs)))
}

// queueLoads queues what the commands need, a statement a table.
func (b *postgresBatch) queueLoads(pipeline *pgx.Batch, needs batchNeeds) {
	queue := func(load func(row) error, sql string, args ...any) {
		pipeline.Queue(sql, args...).Query(func(rows pgx.Rows) error { return scanRows(rows, load) })
	}
	var refs references
	for _, id := range sorted(needs) {
		refs.add(id, needs[id])
	}
	if len(refs.institutions) > 0 {
		queue(b.books.loadInstitution, "SELECT "+institutionColumns+" FROM institutions WHERE id = ANY ($1::uuid[])", refs.institutions)
	}
	if len(refs.policies) > 0 {
		queue(b.books.loadPolicy, "SELECT "+policyColumns+" FROM policies WHERE institution_id = ANY ($1::uuid[])", refs.policies)
	}
	named := func(ids ref[[16]byte], load func(row) error, columns, from string) {
		if len(ids.of) > 0 {
			queue(load, "SELECT "+columns+" FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id) JOIN "+from, ids.of, ids.ids)
		}
	}
	named(refs.keys, b.books.loadKey, keyColumns, "api_keys USING (institution_id, id)")
	named(refs.templates, b.books.loadTemplate, templateColumns, "asset_templates USING (institution_id, id)")
	named(refs.assets, b.books.loadAsset, assetColumns, "assets USING (institution_id, id)")
	named(refs.assets, b.books.loadTemplate, prefixed("t", templateColumns),
		`assets AS a ON a.institution_id = n.institution_id AND a.id = n.id
		JOIN asset_templates AS t ON t.institution_id = a.institution_id AND t.id = a.template_id`)
	named(refs.positions, b.books.loadPosition, positionColumns, "positions USING (institution_id, id)")
	if len(refs.positions.of) > 0 {
		queue(b.books.loadEvent, `SELECT body FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, subject)
			JOIN journal_entries USING (institution_id, subject) ORDER BY institution_id, subject, sequence`,
			refs.positions.of, refs.subjects)
	}
	if len(refs.records.of) > 0 {
		queue(b.books.loadRecord, "SELECT "+recordColumns+` FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, key)
			JOIN idempotency_records USING (institution_id, key)`, refs.records.of, refs.records.ids)
	}
}

func (b *postgresBatch) Books(id escrow.InstitutionID) *escrow.Books { return b.books[id] }

func (b *postgresBatch) Commit(ctx context.Context) error {
	defer b.Rollback(ctx)
	locked := b.conn != nil
	var pipeline postgresSink
	if !locked {
		pipeline.batch.Queue(begin)
		if len(b.needs) > 1 {
			b.queueLock(&pipeline.batch)
		}
	}
	if err := writeBooks(&pipeline, b.books.list(), !locked); err != nil {
		return err
	}
	pipeline.batch.Queue("COMMIT")
	if !locked {
		var err error
		if b.conn, err = b.store.pool.Acquire(ctx); err != nil {
			return classify(err)
		}
	}
	err := b.conn.SendBatch(ctx, &pipeline.batch).Close()
	if err == nil {
		b.store.cache.keep(b.books, b.needs)
		b.conn.Release()
		b.conn = nil
		return nil
	}
	b.store.cache.Forget(sorted(b.needs)...)
	// The server's word that a statement failed means that the COMMIT behind it
	// was skipped. A severity above ERROR ends the connection, and says nothing of
	// a commit that was under way.
	server, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok || server.SeverityUnlocalized != "ERROR":
		return kinded{ErrOutcomeUnknown, err}
	case !locked && (server.ConstraintName == endMovedConstraint || server.ConstraintName == recordConstraint):
		return kinded{ErrStale, err}
	}
	return classify(err)
}

// The constraints that a batch without a lock fails by: the end of a journal was
// moved, or a record is there that the cache did not know.
const (
	endMovedConstraint = "journal_heads_sequence_check"
	recordConstraint   = "idempotency_records_pkey"
)

// rollbackTimeout bounds how long a batch that has failed is tidied up.
const rollbackTimeout = 2 * time.Second

func (b *postgresBatch) Rollback(ctx context.Context) {
	if !b.ended {
		b.ended = true
		b.store.end(b.needs)
	}
	if b.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := b.conn.Exec(ctx, "ROLLBACK"); err != nil {
		// A connection that is closed ends its transaction as well.
		_ = b.conn.Conn().Close(ctx)
	}
	b.conn.Release()
	b.conn = nil
}

// postgresSink queues one statement a table, with an array for each column.
type postgresSink struct{ batch pgx.Batch }

func (s *postgresSink) write(_, perSet string, wanted []bool, rows int, row func(int, columns) error) error {
	arrays := arrayWriter{cursor: cursor{wanted: wanted}, rows: rows}
	for i := range rows {
		arrays.begin()
		if err := row(i, &arrays); err != nil {
			return err
		}
	}
	arguments := make([]any, len(arrays.arrays))
	for i, array := range arrays.arrays {
		arguments[i] = array
	}
	s.batch.Queue(perSet, arguments...)
	return nil
}

func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, directory string) error {
	provider, err := newProvider(dialect, db, directory)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return classify(fmt.Errorf("migrate: %w", err))
	}
	return nil
}
