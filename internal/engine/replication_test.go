package engine_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

var partitions = flag.Int("partitions", 1, "how often a primary is cut off from its synchronous standby under load")

// replicated starts PostgreSQL with a synchronous standby.
func replicated(t *testing.T) (primary, standby *pgtest.Server, d database) {
	t.Helper()
	primary = pgtest.Start(t)
	d = newPostgres(t, primary)
	standby = primary.Standby(t)
	return primary, standby, d
}

// cancelWaits cancels the waits of commits for the standby until something is so.
func (d database) cancelWaits(t *testing.T, what string, is func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		d.exec(t, "", `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
			WHERE wait_event = 'SyncRep' AND application_name = 'escrowgrid'`)
		return is() || t.Failed()
	})
}

// A COMMIT that no synchronous standby confirmed, because its wait was cancelled, is there
// for all to see on the primary alone. Neither it, nor the look for it, nor a repetition
// under the same idempotency key acknowledges it until the standby has it.
func TestACommitThatNoStandbyConfirmedIsNotAcknowledged(t *testing.T) {
	_, standby, d := replicated(t)
	s := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor = time.Millisecond })
	of := s.institution()
	create := under("k", "position", root(of, createPosition(s.asset(of), "h", "10")))

	standby.Stop(t)
	for _, what := range []string{"command", "repetition"} {
		waiting := s.begin(t.Context(), create)
		d.cancelWaits(t, "the "+what+" is answered", waiting.ended)
		if code := waiting.code(); code != escrow.CodeOutcomeUnknown {
			t.Fatalf("a %s that no standby confirmed ends with %q, %v, want %s", what, code, waiting.err, escrow.CodeOutcomeUnknown)
		}
		if positions := s.tables(of).Positions; len(positions) != 1 {
			t.Fatalf("after the %s there are %d positions on the primary", what, len(positions))
		}
	}

	standby.Restart(t)
	accept[escrow.Position](s, create)
	if positions := s.tables(of).Positions; len(positions) != 1 {
		t.Errorf("there are %d positions", len(positions))
	}
	s.checkJournal(of)
}

// What is written for a duty, or beside the books, is not taken for written either.
func TestARowThatNoStandbyConfirmedIsNotTakenForWritten(t *testing.T) {
	_, standby, d := replicated(t)
	s := d.start(t, newClock())
	standby.Stop(t)
	for what, write := range map[string]func(context.Context) error{
		"a security event": func(ctx context.Context) error {
			return s.store.AddSecurityEvents(ctx, []escrow.SecurityEvent{{At: s.clock.now(), LastAt: s.clock.now(), Count: 1}})
		},
		"a lease": func(ctx context.Context) error {
			_, err := s.store.IfLeader(ctx, 1, func(context.Context) error { return nil })
			return err
		},
	} {
		done := make(chan error, 1)
		go func() { done <- write(t.Context()) }()
		d.cancelWaits(t, what+" is answered for", func() bool { return len(done) > 0 })
		if err := <-done; escrow.ErrorCode(store.Failure(err)) != escrow.CodeOutcomeUnknown {
			t.Fatalf("%s that no standby confirmed: %v", what, err)
		}
	}
}

// A primary is cut off from its standby under load, its sessions' waits are cancelled, and
// the standby takes over: everything that was acknowledged is there, once. More often with
//
//	go test ./internal/engine -run Partition -partitions 10
func TestAcknowledgedWritesOutliveAPartition(t *testing.T) {
	const clients = 8
	primary, standby, d := replicated(t)
	s := d.start(t, newClock())
	of := s.institution()
	asset := s.asset(of)
	made := make(map[string]escrow.PositionID)

	for round := range *partitions {
		s := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor, c.AttemptTimeout = 50*time.Millisecond, 5*time.Second })
		ctx, stop := context.WithCancel(t.Context())
		var acknowledged, failed atomic.Int64
		var keeping sync.Mutex
		var busy sync.WaitGroup
		for client := range clients {
			busy.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					holder := fmt.Sprintf("round-%d-client-%d-%d", round, client, i)
					answer, err := s.Do(ctx, under(holder, holder, root(of, createPosition(asset, holder, "10"))))
					if err != nil {
						failed.Add(1)
						continue
					}
					keeping.Lock()
					made[holder] = resource[escrow.Position](answer).ID
					keeping.Unlock()
					acknowledged.Add(1)
				}
			})
		}

		eventually(t, "clients are answered", func() bool { return acknowledged.Load() >= 100 })
		standby.Stop(t)
		before := acknowledged.Load()
		d.cancelWaits(t, "commits are not confirmed", func() bool {
			return failed.Load() >= 10*clients || acknowledged.Load() > before+100
		})
		stop()
		primary.Stop(t)
		busy.Wait()

		standby.Promote(t)
		d = d.on(t, standby)
		primary, standby = standby, standby.Standby(t)
	}

	s = d.start(t, newClock())
	held := make(map[string]escrow.PositionID)
	for _, position := range s.tables(of).Positions {
		if _, twice := held[position.HolderReference]; twice {
			t.Errorf("%s has two positions", position.HolderReference)
		}
		held[position.HolderReference] = position.ID
	}
	for holder, id := range made {
		if held[holder] != id {
			t.Errorf("%s was told of %s, and there is %s", holder, id, held[holder])
		}
	}
	t.Logf("%d positions were acknowledged, and %d are there", len(made), len(held))
	s.checkJournal(of)
}

// A primary that was cut off shows entries that no standby has confirmed. Who has read them does
// not take their end for a loss, answers nothing of them afterwards, and has not signed them.
func TestEntriesThatNoStandbyConfirmedAreNoLoss(t *testing.T) {
	primary, standby, d := replicated(t)
	through := d
	proxy, databaseURL := newProxy(t, d.url)
	through.url = databaseURL
	writer := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor = time.Millisecond })
	reader := through.start(t, newClock(), lookingBack)
	of := writer.institution()
	asset := writer.asset(of)
	kept := accept[escrow.Position](writer, root(of, createPosition(asset, "kept", "10")))
	if _, err := reader.Position(t.Context(), of, kept.ID); err != nil {
		t.Fatal(err)
	}

	standby.Stop(t)
	waiting := writer.begin(t.Context(), root(of, createPosition(asset, "unconfirmed", "10")))
	d.cancelWaits(t, "the command is answered", waiting.ended)
	unconfirmed := writer.tables(of).Positions[1].ID
	if _, err := reader.Position(t.Context(), of, unconfirmed); err != nil {
		t.Fatalf("a primary that was cut off does not show what is on it: %v", err)
	}
	head := writer.journal(of, escrow.EntryFilter{})[3]
	err := reader.store.Confirm(t.Context(), of, escrow.Head{Sequence: head.Sequence, At: head.At})
	if err == nil {
		t.Error("an entry that no standby has is confirmed")
	}

	primary.Stop(t)
	standby.Promote(t)
	promoted, err := url.Parse(standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	proxy.server.Store(promoted.Host)
	proxy.closeAllBut(nil)
	if _, err := reader.Position(t.Context(), of, unconfirmed); escrow.ErrorCode(err) != escrow.CodePositionNotFound {
		t.Errorf("what no standby had confirmed is answered with %v", err)
	}
	accept[escrow.Position](reader, root(of, createPosition(asset, "afterwards", "10")))
	if _, err := reader.store.CheckHistory(t.Context()); err != nil || reader.metric("history_lost_institutions") != 0 {
		t.Errorf("%d institutions are halted, %v", reader.metric("history_lost_institutions"), err)
	}
	reader.checkJournal(of)
}

// Who has only read entries that a standby has knows of them.
func TestEntriesThatWereReadAndAreTakenAwayAreNoticed(t *testing.T) {
	_, _, d := replicated(t)
	servers := d.pair(t)
	writer, reader := servers[0], servers[1]
	of := writer.institution()
	position := accept[escrow.Position](writer, root(of, createPosition(writer.asset(of), "holder", "7")))
	if _, err := reader.Position(t.Context(), of, position.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // The first may have begun before it was read.
		if lost, err := reader.store.CheckHistory(t.Context()); lost != 0 || err != nil {
			t.Fatalf("%d are lost, %v", lost, err)
		}
	}

	its := fmt.Sprintf("institution_id = '%x'", of[:])
	d.exec(t, "",
		"ALTER TABLE journal_entries DISABLE TRIGGER ALL",
		"DELETE FROM journal_entries WHERE sequence > 3 AND "+its,
		"DELETE FROM positions WHERE "+its,
		"UPDATE journal_heads SET sequence = 3, last_at = last_at - interval '1 second' WHERE "+its,
	)
	if lost, err := reader.store.CheckHistory(t.Context()); lost != 1 || err != nil {
		t.Errorf("%d are lost, %v; want the one that was read", lost, err)
	}
}

// on is the same database on another server.
func (d database) on(t *testing.T, server *pgtest.Server) database {
	t.Helper()
	parsed, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	databaseURL := server.URL(strings.TrimPrefix(parsed.Path, "/"))
	raw, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return database{d.name, databaseURL, raw}
}

// ended reports whether an attempt has an answer.
func (a *attempt) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}
