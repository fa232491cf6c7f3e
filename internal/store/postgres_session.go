package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// sessionSettings has every session behave the same, whatever the server's defaults.
var sessionSettings = func() string {
	settings := [][2]string{
		{"timezone", "UTC"},

		// A commit that no standby confirmed shows by a warning alone.
		{"client_min_messages", "warning"},

		// Every statement has one sensible plan: nested loops over an index. Planned
		// anew each time, a quarter of the database's time goes into it; planned once,
		// while the tables are still small, it would be a scan of the whole table ever
		// after, were the other ways not closed. See also list.
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_bitmapscan", "off"},

		// Where a scan is the only way, as of a table of migrations, its price of being
		// switched off would have it compiled first.
		{"jit", "off"},

		// What an instance that was cut off still locks is given free: between two
		// statements, while it is to send more, and while it is to take an answer.
		{"idle_in_transaction_session_timeout", milliseconds(silenceLimit)},
		{"tcp_keepalives_idle", seconds(probeInterval)},
		{"tcp_keepalives_interval", seconds(probeInterval)},
		{"tcp_keepalives_count", fmt.Sprint(silentProbes)},
		{"tcp_user_timeout", milliseconds(silenceLimit)},
	}

	values := make([]string, len(settings))
	for i, setting := range settings {
		values[i] = "('" + setting[0] + "', '" + setting[1] + "')"
	}
	return "SELECT set_config(name, value, false) FROM (VALUES " + strings.Join(values, ", ") +
		") AS settings (name, value)"
}()

const (
	// An acknowledged write survives a crash, whatever the server's default.
	commitsWait = `SELECT set_config('synchronous_commit', 'on', false)
	WHERE current_setting('synchronous_commit') = 'off'`

	// A session notices while it works, or waits for a lock, that its client has gone.
	// PostgreSQL 13 cannot do that, nor can later ones on some systems.
	clientWatched = `SELECT set_config(name, '5s', false) FROM pg_settings
	WHERE name = 'client_connection_check_interval'`
)

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
func seconds(d time.Duration) string      { return fmt.Sprint(int(d.Seconds())) }

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

// prepareSession prepares a new connection.
func (p *postgres) prepareSession(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	registerWireArrays(conn.TypeMap())

	var readOnly bool
	if err := conn.QueryRow(ctx, isReadOnly, pgx.QueryExecModeSimpleProtocol).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		markReadOnly(conn)
	}

	if _, err := conn.Exec(ctx, sessionSettings+"; "+commitsWait); err != nil {
		return err
	}
	// It may lead to another database than those before.
	var identity string
	if err := conn.QueryRow(ctx, identityQuery).Scan(&identity); err != nil {
		return err
	}
	p.history.noteIdentity(identity)

	_, err := conn.Exec(ctx, clientWatched)
	if server, ok := errors.AsType[*pgconn.PgError](err); ok && server.Code == "22023" { // invalid parameter value
		return nil
	}
	return err
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
