package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// test is a load test while it runs.
type test struct {
	config  Config
	profile Profile
	tool    *k6
}

// runAll adds the results of all runs to a summary. After a run that could not be carried out
// there is no other one. It returns an error if no load was sent at all.
func (t *test) runAll(ctx context.Context, summary *Summary) error {
	repeat := max(t.config.Repeat, 1)
	for i := range repeat {
		directory := t.config.Directory
		if repeat > 1 {
			directory = filepath.Join(directory, fmt.Sprintf("run-%d", i+1))
			fmt.Fprintf(t.config.Progress, "run %d of %d\n", i+1, repeat)
		}

		run, err := t.runOnce(ctx, directory)
		summary.Interrupted = ctx.Err() != nil
		if err != nil && i == 0 {
			return err
		}
		// What the runs before have shown is reported nevertheless.
		if err != nil {
			summary.Problems = append(summary.Problems, fmt.Sprintf("run %d: %s", i+1, err))
			break
		}
		if summary.Runs = append(summary.Runs, run); len(run.Problems) > 0 {
			break
		}
	}
	return nil
}

// runOnce runs the profile once, with an institution of its own and, unless there is a target, a
// server of its own. Once there is load it returns what came of it, whatever becomes of the
// server. An error says that there was none.
func (t *test) runOnce(ctx context.Context, directory string) (result *RunResult, err error) {
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return nil, err
	}
	server, err := t.openServer(ctx, directory)
	if err != nil {
		return nil, err
	}
	runID := "lt" + time.Now().UTC().Format("0102-150405.000")
	defer func() { err = errors.Join(err, result.leave(server.Close())) }()
	tenants, err := server.MakeTenants(ctx, runID, max(t.profile.institutions, 1))
	if err != nil {
		return nil, err
	}

	for i := range tenants {
		if !t.profile.withChecker {
			break
		}
		if err := tenants[i].AskChecker(ctx, server, []string{"positions.release"}, nil); err != nil {
			return nil, errors.Join(err, server.RevokeKeys(context.WithoutCancel(ctx), tenants))
		}
	}

	// The private server's end is the end of the load.
	watched, unwatch := watch(ctx, server)
	defer unwatch()
	r := k6Run{
		id:        runID,
		profile:   t.profile,
		server:    server,
		tenants:   tenants,
		directory: filepath.Join(directory, k6Folder),
	}
	if !t.config.Keep {
		// Keys are also revoked when the test was interrupted; where their server has ended, they expire.
		defer func() {
			if !hasEnded(server) {
				err = errors.Join(err, result.leave(result.revoke(ctx, r)))
			}
		}()
	}

	result, err = t.sendLoad(watched, r)
	// The data of a private server goes with it.
	if result != nil && !t.config.Keep && !server.Private() {
		var failure error
		result.Cleanup, failure = t.cleanUp(watched, r, result.Correctness)
		err = errors.Join(err, result.leave(failure))
	}
	return result, err
}

// revoke revokes the keys of a run, of which there may be no result.
func (r *RunResult) revoke(ctx context.Context, run k6Run) error {
	err := run.server.RevokeKeys(context.WithoutCancel(ctx), run.tenants)
	if err == nil && r != nil && r.Cleanup != nil {
		for _, tenant := range run.tenants {
			r.Cleanup.Revoked += len(tenant.KeyIDs())
		}
	}
	return err
}

// leave adds an error of cleaning up to a run's problems. Where there is no result it returns the
// error.
func (r *RunResult) leave(err error) error {
	if r == nil || err == nil {
		return err
	}
	r.addProblem("%s", err)
	return nil
}

// sendLoad has k6 send the load, and reads back what it left on the server.
func (t *test) sendLoad(ctx context.Context, r k6Run) (*RunResult, error) {
	operations := newOperations(t.config.Progress)
	// The sampler stops before the result is read back, which is not part of the load.
	sampler := startSampler(ctx, r.server)
	r.started = sampler.watchGenerator
	startedAt := time.Now()
	outcome, err := t.tool.run(ctx, r, operations)
	samples := sampler.stop()
	if err != nil {
		return nil, err
	}

	operations.finish()
	result := &RunResult{
		RunID:     r.id,
		StartedAt: startedAt.UTC().Truncate(time.Millisecond),
		Duration:  outcome.elapsed,
		Server: ServerInfo{
			URL:     r.server.URL,
			Version: r.server.Version,
			Store:   r.server.Store,
			Private: r.server.Private(),
		},
		Samples:   samples,
		generator: outcome,
	}
	result.summarize(operations)
	if err := context.Cause(ctx); err != nil {
		result.addProblem("%s", problemOf(err))
	} else if problem := outcome.problem(); problem != "" {
		result.addProblem("%s", problem)
	}

	summary, err := readSummary(filepath.Join(r.directory, summaryFile), r.id, outcome)
	if err != nil {
		result.addProblem("%s", err)
	}
	result.addSummary(summary)
	result.Correctness = t.readBack(ctx, r, operations)
	counted := result.Counts.OperationsOK + result.Counts.OperationsWaiting
	if found := &result.Correctness; found.Passed && counted > found.Acknowledged {
		found.deny("k6 counts %d acknowledged operations, of which its log has %d", counted, found.Acknowledged)
	}
	if ended, ok := errors.AsType[*endedError](context.Cause(ctx)); ok {
		result.Server.EndedAt = &ended.at
	}
	return result, nil
}

// readBack verifies the results of a run, unless the run was broken off.
func (t *test) readBack(ctx context.Context, r k6Run, operations *operations) Correctness {
	acknowledged := operations.acknowledged()
	outcomes := operations.outcomes()
	unknown := Correctness{
		Acknowledged: acknowledged,
		Waiting:      outcomes[outcomeWaiting],
		Refused:      outcomes[outcomeRefused],
	}
	if err := context.Cause(ctx); err != nil {
		unknown.deny("%s", problemOf(err))
		return unknown
	}

	fmt.Fprintf(t.config.Progress, "reading back the results of %d acknowledged operations\n", acknowledged)
	found, err := verify(ctx, r.server, r.tenants, operations)
	if err == nil {
		return found
	}
	if r.server.Private() {
		// The connections of a server that ends are gone a moment before its process is.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		unknown.deny("%s", problemOf(cause))
	} else {
		unknown.deny("the results could not be read back: %s", err)
	}
	return unknown
}

// endedError is the end of a private server in the middle of a test.
type endedError struct {
	at  time.Time
	how string
}

func (e *endedError) Error() string {
	return fmt.Sprintf("the server ended at %s %s", e.at.Format("15:04:05 MST"), e.how)
}

// problemOf says in words why a test's context has ended.
func problemOf(cause error) string {
	if ended, ok := errors.AsType[*endedError](cause); ok {
		return ended.Error()
	}
	return "the test was interrupted"
}

// watch returns a context that ends when a private server does, with an endedError as its cause.
func watch(ctx context.Context, server *testbed.Server) (context.Context, context.CancelFunc) {
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-server.Ended():
			cancel(&endedError{at: time.Now().UTC(), how: server.HowEnded()})
		case <-watched.Done():
		}
	}()
	return watched, func() { cancel(nil) }
}

// hasEnded reports whether a private server has ended.
func hasEnded(server *testbed.Server) bool {
	select {
	case <-server.Ended():
		return true
	default:
		return false
	}
}

// openServer starts a private server, or attaches to the target.
func (t *test) openServer(ctx context.Context, directory string) (*testbed.Server, error) {
	if t.config.Target != "" {
		client := apiclient.New(strings.TrimRight(t.config.Target, "/"))
		client.InsecureHTTP = t.config.InsecureHTTP
		if transport, ok := http.DefaultTransport.(*http.Transport); ok {
			transport = transport.Clone()
			transport.MaxIdleConnsPerHost = erasers
			client.HTTP.Transport = transport
		}
		return testbed.Attach(ctx, client, t.config.RootKey)
	}
	return testbed.Start(ctx, testbed.Options{
		Executable: t.config.Executable,
		Database:   t.config.Database,
		Keep:       t.config.Keep,
		// The limit of the root key would bound a load that is sent with it.
		Environment: []string{"RATE_LIMIT_ENABLED=" + strconv.FormatBool(!t.profile.asOperator)},
		Log:         filepath.Join(directory, serverLog),
		Progress:    t.config.Progress,
	})
}
