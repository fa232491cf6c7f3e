package bench

import (
	"bufio"
	"context"
	_ "embed" // for the scripts
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// pgbench runs scripts on a database with PostgreSQL's own benchmark program.
type pgbench struct {
	// program is the path of pgbench, database a URL, scratch the directory of the scripts.
	program, database, scratch string
}

//go:embed floor.sql
var floorSchema string

//go:embed pair.sql
var pairScript string

//go:embed insert.sql
var insertScript string

// startPgbench prepares a database that has the tables of the floor's scripts.
func (b *bench) startPgbench(ctx context.Context) (*pgbench, error) {
	database, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	return b.newPgbench(ctx, database, floorSchema, map[string]string{
		"pair.sql":   pairScript,
		"insert.sql": insertScript,
	})
}

// newPgbench prepares a database with statements, and writes the scripts that pgbench will run on
// it.
func (b *bench) newPgbench(
	ctx context.Context, database, statements string, scripts map[string]string,
) (*pgbench, error) {
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
	return &pgbench{program: program, database: database, scratch: b.scratch}, nil
}

// inLoop is a contender that runs a script as often as it can. Its figure is in runs per second.
func (p *pgbench) inLoop(name, script string, clients int) contender {
	return contender{name: name, run: func(ctx context.Context, t turn) (float64, load, error) {
		did, err := p.run(ctx, script, clients, 0, t)
		return did.rate(), did, err
	}}
}

// run runs a script for a turn, in whole seconds, or as often as the turn has pieces of work,
// rounded up so that each client has as many. With a rate above 0 its transactions arrive at
// random, at that rate per second, and their latency counts from their arrival.
func (p *pgbench) run(ctx context.Context, script string, clients int, rate float64, t turn) (load, error) {
	seconds := max(1, int(t.duration.Round(time.Second).Seconds()))
	bound := "--time=" + strconv.Itoa(seconds)
	if t.work > 0 {
		bound = "--transactions=" + strconv.Itoa((t.work+clients-1)/clients)
	}
	prefix := filepath.Join(p.scratch, "pgbench_log")
	arguments := []string{
		"--no-vacuum",
		"--protocol=prepared",
		"--jobs=" + strconv.Itoa(min(2, clients)),
		"--client=" + strconv.Itoa(clients),
		bound,
		"--file=" + filepath.Join(p.scratch, script),
		"--log",
		"--log-prefix=" + prefix,
	}
	if rate > 0 {
		arguments = append(arguments, fmt.Sprintf("--rate=%g", rate))
	}

	//nolint:gosec // It is PostgreSQL's own program.
	command := exec.CommandContext(ctx, p.program, append(arguments, p.database)...)
	output, err := command.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("pgbench: %w: %s", err, output)
	}

	result, err := parsePgbench(output, time.Duration(seconds)*time.Second)
	if err != nil {
		return load{}, err
	}
	return result, p.readLatencies(prefix, result)
}

var (
	pgbenchRate  = regexp.MustCompile(`tps = ([0-9.]+)`)
	pgbenchCount = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
)

// parsePgbench reads pgbench's report of a run. The run's duration counts unless pgbench gives a
// rate, which it does not when nothing was finished.
func parsePgbench(output []byte, duration time.Duration) (load, error) {
	result := load{latency: newHistogram(), duration: duration}
	count := pgbenchCount.FindSubmatch(output)
	if count == nil {
		return load{}, fmt.Errorf("pgbench does not say what it did: %s", output)
	}
	result.done, _ = strconv.ParseInt(string(count[1]), 10, 64)

	// The rate leaves out the time that connecting takes, as the other contenders' figures do.
	if tps := pgbenchRate.FindSubmatch(output); tps != nil && result.done > 0 {
		rate, _ := strconv.ParseFloat(string(tps[1]), 64)
		result.duration = time.Duration(float64(result.done) / rate * float64(time.Second))
	}
	return result, nil
}

// readLatencies reads the logs of a run into a load's histogram, and removes them.
func (p *pgbench) readLatencies(prefix string, into load) error {
	logs, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return err
	}

	for _, name := range logs {
		if err := readLatencyLog(name, into.latency); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// readLatencyLog reads a log of pgbench's. It has a line for each transaction, whose third field
// is the latency in microseconds.
func readLatencyLog(name string, into *histogram) (err error) {
	log, err := os.Open(name) //nolint:gosec // It is in our own directory.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			continue
		}
		us, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return err
		}
		if err := into.RecordValue(us); err != nil {
			return err
		}
	}
	return lines.Err()
}
