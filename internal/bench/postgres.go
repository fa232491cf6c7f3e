package bench

import (
	"bufio"
	"context"
	_ "embed" // for the scripts
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// database makes an empty database on the PostgreSQL server and returns its URL.
// It is dropped when the benchmarks end.
func (b *bench) database(ctx context.Context) (string, error) {
	b.databases++
	name := fmt.Sprintf("escrowgrid_bench_%d_%d", os.Getpid(), b.databases)
	if err := b.onServer(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	b.closers = append(b.closers, func() error {
		return b.onServer(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	})
	parsed, err := url.Parse(b.config.PostgreSQL)
	if err != nil {
		return "", err
	}
	parsed.Path = "/" + name
	return parsed.String(), nil
}

// onServer runs a statement that needs the whole cluster.
func (b *bench) onServer(ctx context.Context, statement string) error {
	return execute(ctx, b.config.PostgreSQL, statement)
}

func execute(ctx context.Context, databaseURL, statement string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// pgbench runs scripts with PostgreSQL's own benchmark program.
type pgbench struct {
	program, database, scratch string
}

//go:embed floor.sql
var floorSchema string

//go:embed pair.sql
var pairScript string

//go:embed insert.sql
var insertScript string

// startPgbench makes a database with the tables that the floor's scripts write to.
func (b *bench) startPgbench(ctx context.Context) (*pgbench, error) {
	database, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	return b.newPgbench(ctx, database, floorSchema, map[string]string{"pair.sql": pairScript, "insert.sql": insertScript})
}

// newPgbench prepares a database, and writes the scripts that are to run on it.
func (b *bench) newPgbench(ctx context.Context, database, statements string, scripts map[string]string) (*pgbench, error) {
	program, err := pgcluster.FindProgram("pgbench")
	if err != nil {
		return nil, err
	}
	if err := execute(ctx, database, statements); err != nil {
		return nil, fmt.Errorf("prepare the floor: %w", err)
	}
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(b.scratch, name), []byte(script), 0o600); err != nil {
			return nil, err
		}
	}
	return &pgbench{program, database, b.scratch}, nil
}

var (
	pgbenchRate  = regexp.MustCompile(`tps = ([0-9.]+)`)
	pgbenchCount = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
)

// run runs a script for whole seconds, or for so much work that each client has as much of
// it. With a rate above 0 its transactions arrive at random, so many a second, and take from
// their arrival to their end.
func (p *pgbench) run(ctx context.Context, script string, clients int, rate float64, t turn) (load, error) {
	seconds := max(1, int(t.duration.Round(time.Second).Seconds()))
	bound := "--time=" + strconv.Itoa(seconds)
	if t.work > 0 {
		bound = "--transactions=" + strconv.Itoa((t.work+clients-1)/clients)
	}
	prefix := filepath.Join(p.scratch, "pgbench_log")
	arguments := []string{
		"--no-vacuum", "--protocol=prepared", "--jobs=" + strconv.Itoa(min(2, clients)), "--client=" + strconv.Itoa(clients),
		bound, "--file=" + filepath.Join(p.scratch, script), "--log", "--log-prefix=" + prefix,
	}
	if rate > 0 {
		arguments = append(arguments, fmt.Sprintf("--rate=%g", rate))
	}
	command := exec.CommandContext(ctx, p.program, append(arguments, p.database)...) //nolint:gosec // PostgreSQL's own program.
	output, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("pgbench: %w: %s", err, output)
	}
	result := load{latency: newHistogram(), duration: time.Duration(seconds) * time.Second}
	tps, count := pgbenchRate.FindSubmatch(output), pgbenchCount.FindSubmatch(output)
	if count == nil {
		return load{}, fmt.Errorf("pgbench does not say what it did: %s", output)
	}
	result.done, _ = strconv.ParseInt(string(count[1]), 10, 64)
	// It says no rate where nothing was finished. Connecting is not counted, neither
	// here nor for the others.
	if tps != nil && result.done > 0 {
		rateSeen, _ := strconv.ParseFloat(string(tps[1]), 64)
		result.duration = time.Duration(float64(result.done) / rateSeen * float64(time.Second))
	}
	return result, p.readLatencies(prefix, result)
}

// readLatencies reads and removes the logs of a run: a line a transaction, its third
// field the microseconds it took.
func (p *pgbench) readLatencies(prefix string, into load) error {
	logs, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return err
	}
	for _, name := range logs {
		log, err := os.Open(name) //nolint:gosec // In our own directory.
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 3 {
				continue
			}
			us, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := into.latency.RecordValue(us); err != nil {
				return err
			}
		}
		if err := errors.Join(lines.Err(), log.Close(), os.Remove(name)); err != nil {
			return err
		}
	}
	return nil
}

// inLoop is a contender that runs a script as often as it can.
func (p *pgbench) inLoop(name, script string, clients int) contender {
	return contender{name, nil, func(ctx context.Context, t turn) (float64, load, error) {
		did, err := p.run(ctx, script, clients, 0, t)
		return did.rate(), did, err
	}}
}

// readSettings reads settings of a PostgreSQL server.
func readSettings(ctx context.Context, databaseURL string, names ...string) (values []string, err error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	values = make([]string, len(names))
	for i, name := range names {
		if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&values[i]); err != nil {
			return nil, err
		}
	}
	return values, nil
}
