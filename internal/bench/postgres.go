package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// What a private PostgreSQL server is told: enough connections for the clients of a
// floor and the pools of some servers at once, and the memory that its manual recommends
// for a small machine, a quarter of 8 GB. Autovacuum looks for work more often than by
// default, so that it is soon known to have none left.
const (
	privateConnections = "400"
	privateBuffers     = "2GB"
	privateNaptime     = "5s"
)

// openPostgreSQL starts a private PostgreSQL server, unless the configuration names one, and
// reads its version. A server that may lose what it has acknowledged is an error; without an
// installed PostgreSQL, there is none.
func (b *bench) openPostgreSQL(ctx context.Context) error {
	if b.config.PostgreSQL == "" {
		if _, missing := pgcluster.Find(); missing != nil {
			fmt.Fprintln(b.config.Progress, "PostgreSQL is not installed: only SQLite is measured")
			return nil //nolint:nilerr // Said above.
		}

		cluster, err := pgcluster.Start(pgcluster.WithDurability(),
			pgcluster.WithSetting("max_connections", privateConnections),
			pgcluster.WithSetting("shared_buffers", privateBuffers),
			pgcluster.WithSetting("autovacuum_naptime", privateNaptime))
		if err != nil {
			return err
		}
		b.closers = append(b.closers, cluster.Close)
		b.config.PostgreSQL = cluster.URL("postgres")
	}

	settings, err := readSettings(ctx, b.config.PostgreSQL,
		"server_version", "fsync", "synchronous_commit", "full_page_writes")
	if err != nil {
		return fmt.Errorf("the PostgreSQL server: %w", err)
	}
	b.conditions.Machine.PostgreSQL = strings.Fields(settings["server_version"])[0]
	if settings["fsync"] != "on" || settings["synchronous_commit"] == "off" || settings["full_page_writes"] != "on" {
		return errors.New("the PostgreSQL server has fsync, synchronous_commit or full_page_writes off: " +
			"it acknowledges what it does not keep, and its figures mean nothing")
	}
	return nil
}

// readSettings reads settings of a PostgreSQL server, by name.
func readSettings(ctx context.Context, databaseURL string, names ...string) (_ map[string]string, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()

	values := make(map[string]string, len(names))
	for _, name := range names {
		var value string
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}

// database creates an empty database on the PostgreSQL server and returns its URL. The database
// is dropped when the experiment ends.
func (b *bench) database(ctx context.Context) (string, error) {
	b.databases++
	name := fmt.Sprintf("escrowgrid_bench_%d_%d", os.Getpid(), b.databases)
	if err := execute(ctx, b.config.PostgreSQL, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("create a database: %w", err)
	}
	b.closers = append(b.closers, func() error {
		ctx := context.WithoutCancel(ctx)
		return execute(ctx, b.config.PostgreSQL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})

	parsed, err := url.Parse(b.config.PostgreSQL)
	if err != nil {
		return "", err
	}
	parsed.Path = "/" + name
	return parsed.String(), nil
}

// execute runs statements on a connection of their own.
func execute(ctx context.Context, databaseURL, statements string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statements)
	return errors.Join(err, conn.Close(ctx))
}
