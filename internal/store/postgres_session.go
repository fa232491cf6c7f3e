package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connectTimeout = 5 * time.Second

	// silenceLimit is how long either end of a connection waits for a sign of life of the
	// other: what a server that vanished without a word has locked is free after it.
	silenceLimit = 15 * time.Second
	// probeInterval is how often an end that has nothing to send asks for such a sign, and
	// silentProbes is how many go without an answer.
	probeInterval = 5 * time.Second
	silentProbes  = int(silenceLimit/probeInterval) - 1
)

// applicationName is how EscrowGrid's sessions are known to the server.
const applicationName = "escrowgrid"

// sessionSettings has every session behave the same, whatever the server's defaults: pairs of a
// name and an expression.
var sessionSettings = [][2]string{
	{"timezone", "'UTC'"},

	// A commit that no standby confirmed shows by a warning alone.
	{"client_min_messages", "'warning'"},

	// Every statement has one sensible plan: nested loops over an index. Planned
	// anew each time, a quarter of the database's time goes into it; planned once,
	// while the tables are still small, it would be a scan of the whole table ever
	// after, were the other ways not closed. See also list.
	{"plan_cache_mode", "'force_generic_plan'"},
	{"enable_seqscan", "'off'"},
	{"enable_hashjoin", "'off'"},
	{"enable_mergejoin", "'off'"},
	{"enable_bitmapscan", "'off'"},

	// Where a scan is the only way, as of a table of migrations, its price of being
	// switched off would have it compiled first.
	{"jit", "'off'"},

	// What an instance that was cut off still locks is given free: between two
	// statements, while it is to send more, and while it is to take an answer.
	{"idle_in_transaction_session_timeout", milliseconds(silenceLimit)},
	{"tcp_keepalives_idle", seconds(probeInterval)},
	{"tcp_keepalives_interval", seconds(probeInterval)},
	{"tcp_keepalives_count", fmt.Sprintf("'%d'", silentProbes)},
	{"tcp_user_timeout", milliseconds(silenceLimit)},

	// An acknowledged write survives a crash, whatever the server's default.
	{"synchronous_commit", "CASE c.now WHEN 'off' THEN 'on' ELSE c.now END"},
}

// forSession and forTransaction are how long set_config sets something for.
const (
	forSession     = "false"
	forTransaction = "true"
)

// settingsFrom is the list of sessionSettings and more, as a part of a statement.
func settingsFrom(more ...[2]string) string {
	var values []string
	for _, setting := range slices.Concat(sessionSettings, more) {
		values = append(values, "('"+setting[0]+"', "+setting[1]+")")
	}
	return "(SELECT current_setting('synchronous_commit') AS now) AS c, LATERAL (VALUES " +
		strings.Join(values, ", ") + ") AS settings (name, value)"
}

// settingsOfSession is the statement that makes them.
var settingsOfSession = "SELECT set_config(name, value, " + forSession + ") FROM " + settingsFrom()

// watchInterval is how often a session sees to it, while it works or waits for a lock, that its
// client is still there. PostgreSQL 13 cannot do that, nor can later ones on some systems.
var watchInterval = [2]string{"client_connection_check_interval", "'5s'"}

// watchClient sets watchInterval where there is such a setting.
func watchClient(scope string) string {
	return "SELECT set_config(name, " + watchInterval[1] + ", " + scope + ") FROM pg_settings WHERE name = '" +
		watchInterval[0] + "'"
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("'%d'", d.Milliseconds()) }
func seconds(d time.Duration) string      { return fmt.Sprintf("'%d'", int(d.Seconds())) }

const (
	// idleTrust is how long a connection that waits in the pool is taken for alive, and
	// pingLimit how long one that waited longer may take to show that it is.
	idleTrust = time.Second
	pingLimit = 2 * time.Second
)

// configureSessions says how connections are made, and how they are prepared.
func (p *postgres) configureSessions(config *pgxpool.Config) {
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.DialFunc = dialer().DialContext
	config.ConnConfig.Tracer = postgresTracer{}
	config.ConnConfig.OnNotice = keepWarning
	config.ConnConfig.RuntimeParams["application_name"] = applicationName
	config.BeforeConnect = p.avoidPreparing
	config.AfterConnect = p.prepareSession
	// Who asks ShouldPing for one has it without a bound, and so one after the other of all
	// that wait in the pool.
	config.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) { return !conn.IsClosed(), nil }
}

// probe pings a connection that has waited in the pool for long. Where one is silent, all that
// wait with it are taken for lost: the network between has changed, and each of them would
// cost as much time.
func (p *postgres) probe(ctx context.Context, waited pgxpool.ShouldPingParams) (pingAgain bool) {
	if waited.IdleDuration <= idleTrust {
		return false
	}

	silent := time.AfterFunc(pingLimit, func() { _ = waited.Conn.PgConn().Conn().Close() })
	defer silent.Stop()
	if err := waited.Conn.Ping(ctx); err != nil && ctx.Err() == nil {
		p.pool.Reset()
	}
	return false
}

// dialer makes connections that break when the other end is silent for silenceLimit.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     probeInterval,
			Interval: probeInterval,
			Count:    silentProbes,
		},
		Control: boundSilence,
	}
}

// sessionState is what a new connection asks: whether it is read-only, and what the session's number is.
const sessionState = isReadOnly + ", pg_backend_pid()"

// ErrEncoding means that the database's encoding is not UTF8. Texts that it has no characters
// for could not be written to it, and verification would find others different.
var ErrEncoding = errors.New("the database's encoding is not UTF8")

// checkEncoding refuses a session whose database is in another encoding, which the server has
// told with its greeting.
func checkEncoding(conn *pgx.Conn) error {
	encoding := conn.PgConn().ParameterStatus("server_encoding")
	if encoding == "UTF8" {
		return nil
	}
	return kinded{ErrUnavailable, fmt.Errorf(
		"%w, but %s: make another with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", ErrEncoding, encoding)}
}

// prepareSession prepares a new connection.
func (p *postgres) prepareSession(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	registerWireArrays(conn.TypeMap())
	if err := checkEncoding(conn); err != nil {
		return err
	}

	var readOnly bool
	var session uint32
	state := conn.QueryRow(ctx, sessionState, pgx.QueryExecModeSimpleProtocol)
	if err := state.Scan(&readOnly, &session); err != nil {
		return err
	}
	if readOnly {
		markReadOnly(conn)
	}
	// A pooler makes a number of its own up for what a client is to cancel by.
	if session != conn.PgConn().PID() {
		return p.preparePooled(ctx, conn)
	}

	if _, err := conn.Exec(ctx, settingsOfSession); err != nil {
		return err
	}
	// It may lead to another database than those before.
	if err := p.noteIdentity(conn.QueryRow(ctx, identityQuery)); err != nil {
		return err
	}

	if _, err := conn.Exec(ctx, watchClient(forSession)); !isInvalidValue(err) {
		return err
	}
	return nil
}

// abandonedEnded ends the sessions of EscrowGrid that hold a lock which another one of this
// role waits for, and that have waited for their clients for too long, where TCP still says
// that those are there: a server that is frozen, or cut off behind a proxy.
const abandonedEnded = `SELECT pg_terminate_backend(holder.pid) FROM pg_stat_activity AS holder
	WHERE holder.usename = current_user AND holder.datname = current_database()
		AND holder.application_name = $1 AND holder.wait_event_type = 'Client'
		AND holder.state_change < clock_timestamp() - $2 * interval '1 microsecond'
		AND holder.pid IN (
			SELECT unnest(pg_blocking_pids(waiter.pid)) FROM pg_stat_activity AS waiter
			WHERE waiter.usename = current_user AND waiter.datname = current_database()
				AND waiter.application_name = $1 AND waiter.wait_event_type = 'Lock')`

// otherSessions counts the sessions of EscrowGrid with the database, but for some.
const otherSessions = `SELECT count(*) FROM pg_stat_activity
	WHERE datname = current_database() AND application_name = $1 AND pid <> ALL ($2::bigint[])`

// others counts the sessions that are not in the pool, all of which must be idle. A pooler has
// sessions of its own, for anybody.
func (p *postgres) others(ctx context.Context) (count int64, err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return 0, classify(err)
	}
	defer conn.Release()
	if isPooled(conn) {
		return 0, nil
	}

	own := []int64{int64(conn.Conn().PgConn().PID())}
	for _, idle := range p.pool.AcquireAllIdle(ctx) {
		own = append(own, int64(idle.Conn().PgConn().PID()))
		idle.Release()
	}
	err = conn.QueryRow(ctx, otherSessions, applicationName, own).Scan(&count)
	return count, classify(err)
}

func (p *postgres) endAbandoned(ctx context.Context, after time.Duration) (ended int, err error) {
	err = p.query(ctx, abandonedEnded, []any{applicationName, after.Microseconds()}, func(r row) error {
		var signalled bool
		err := r.Scan(&signalled)
		if signalled {
			ended++
		}
		return err
	})
	return ended, err
}
