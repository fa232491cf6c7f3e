package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// throughProxy starts an engine that reaches PostgreSQL through a proxy.
func throughProxy(t *testing.T, options ...option) (database, *proxy, *server) {
	t.Helper()
	d := sharedPostgres(t)
	proxy, databaseURL := newProxy(t, d.url)
	through := d
	through.url = databaseURL
	return d, proxy, through.start(t, newClock(), options...)
}

// Where the answer to a COMMIT is lost, the engine finds out what became of it:
// the client is told the truth, and the command is done once, idempotency key or
// not.
func TestACommitWithoutAnAnswerIsLookedUp(t *testing.T) {
	for name, test := range map[string]struct {
		fate    int32
		retries int
	}{
		"committed, and the answer lost":  {loseAnswer, 0},
		"lost before the server had it":   {loseCommit, 1},
		"not broken, for the comparison":  {forward, 0},
		"committed by a server left with": {cutBehind, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, proxy, s := throughProxy(t)
			of := s.institution()
			asset := s.asset(of)
			before := len(s.journal(of, escrow.EntryFilter{}))
			unknown := 0
			for i := range 3 {
				proxy.next.Store(test.fate)
				position := accept[escrow.Position](s, root(of, createPosition(asset, "h", "10")))
				if got := must(s.WithEvents(t.Context(), must(s.Position(t.Context(), of, position.ID)))); got.Version != 1 || len(got.Events) != 1 {
					t.Errorf("the position is %+v", got)
				}
				if after := len(s.journal(of, escrow.EntryFilter{})); after != before+i+1 {
					t.Errorf("after %d commands there are %d entries more", i+1, after-before)
				}
				if test.fate != forward {
					unknown++
				}
			}
			if got, retries := s.metric("commits_unknown_total"), s.metric("group_retries_total"); got != unknown || retries != test.retries*unknown {
				t.Errorf("%d commits were looked up and %d batches tried again, want %d and %d", got, retries, unknown, test.retries*unknown)
			}
			s.checkJournal(of)
		})
	}
}

// The same for the making of an institution, whose entry is in a journal that
// nobody can have locked before.
func TestANewInstitutionWithoutAnAnswerIsLookedUp(t *testing.T) {
	for name, fate := range map[string]int32{"committed": loseAnswer, "lost": loseCommit} {
		t.Run(name, func(t *testing.T) {
			_, proxy, s := throughProxy(t)
			before := s.institutions()
			proxy.next.Store(fate)
			made := s.institution()
			if after := s.institutions(); len(after) != len(before)+1 || after[len(before)] != made {
				t.Errorf("there are %d institutions more, want the one that was acknowledged", len(after)-len(before))
			}
			if s.metric("commits_unknown_total") != 1 {
				t.Error("the commit was not looked up")
			}
		})
	}
}

// A commit that the server is still busy with when its client is cut off is
// neither lost nor done: the engine waits until it is one of the two.
func TestACommitUnderWayIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		table   string
		request func(*server) escrow.Request
	}{
		"position": {"positions", func(s *server) escrow.Request {
			of := s.institution()
			return root(of, createPosition(s.asset(of), "h", "10"))
		}},
		"institution": {"institutions", func(*server) escrow.Request {
			return root(escrow.InstitutionID{}, createInstitution())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d, proxy, s := throughProxy(t)
			request := test.request(s)
			if _, err := s.Do(t.Context(), request); err != nil { // Its statements are prepared.
				t.Fatal(err)
			}
			count := func() (count int) {
				if err := d.raw.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+test.table).Scan(&count); err != nil {
					t.Fatal(err)
				}
				return count
			}
			before := count()
			release := d.holdInserts(t, test.table)
			proxy.next.Store(cutBehind)
			a := s.begin(t.Context(), request)
			eventually(t, "the server waits with the commit, and the engine for the server", func() bool {
				return s.metric("commits_unknown_total") == 1 && d.waiting(t) == 2
			})
			release()
			if code := a.code(); code != "" || count() != before+1 || s.metric("group_retries_total") != 0 {
				t.Errorf("error %v; there are %d more in %s after %d retries, want the one that was under way",
					a.err, count()-before, test.table, s.metric("group_retries_total"))
			}
		})
	}
}

// While the outcome cannot be found out, the client is not told a guess.
func TestAnOutcomeThatStaysUnknownIsSaidToBe(t *testing.T) {
	d, proxy, s := throughProxy(t, func(c *engine.Config) { c.RetryFor = time.Millisecond })
	of := s.institution()
	create := root(of, createPosition(s.asset(of), "h", "10"))
	accept[escrow.Position](s, under("another", "position", create)) // Its statements are prepared.
	release := d.holdInserts(t, "positions")
	proxy.next.Store(cutOff)
	request := under("k", "position", create)
	refuse(s, request, escrow.CodeOutcomeUnknown)
	release()
	proxy.down.Store(false)
	// The client repeats its request, and finds out.
	var failed atomic.Int64
	position, err := s.client(t.Context(), request, &failed)
	if positions := s.tables(of).Positions; err != nil || len(positions) != 2 || position.ID != positions[1].ID {
		t.Errorf("the answer is %+v, %v; the positions are %+v", position, err, positions)
	}
}

// Connections whose other end has gone without a word, as behind a firewall that forgot
// them, are found out together: one that waited in the pool is asked, and none of the others.
func TestConnectionsThatWentSilentAreFoundOutTogether(t *testing.T) {
	d := newPostgres(t, pgtest.Shared(t))
	proxy, databaseURL := newProxy(t, d.url)
	d.url = databaseURL
	s := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor = time.Millisecond })
	of := s.institution()
	create := root(of, createPosition(s.asset(of), "h", "10"))

	for what, ask := range map[string]func() error{
		"readiness": func() error { return s.Ready(t.Context()) },
		"a query": func() error {
			_, err := s.Entries(t.Context(), of, escrow.EntryFilter{}, escrow.PageRequest{Limit: 1})
			return err
		},
		"a command": func() error { _, err := s.Do(t.Context(), create); return err },
	} {
		// One that is used just before it goes silent counts as fresh: then all is done again.
		haveWaited := func() bool {
			return d.sessions(t, "application_name = 'escrowgrid' AND clock_timestamp() - state_change < interval '1.1 seconds'") == 0
		}
		for silent := false; !silent; silent = haveWaited() {
			release := d.hold(t, "BEGIN", "LOCK TABLE journal_entries IN ACCESS EXCLUSIVE MODE")
			var reading sync.WaitGroup
			for range 4 {
				reading.Go(func() { _, _ = s.Entries(t.Context(), of, escrow.EntryFilter{}, escrow.PageRequest{Limit: 1}) })
			}
			eventually(t, "four connections are open", func() bool { return d.waiting(t) == 4 })
			release()
			reading.Wait()
			eventually(t, "the connections have waited in the pool", haveWaited)
			proxy.silenced.Add(1)
		}
		before := proxy.asked.Load()
		if err := ask(); err != nil {
			t.Errorf("%s after connections went silent: %v", what, err)
		}
		if asked := proxy.asked.Load() - before; asked != 1 {
			t.Errorf("%s asked %d silent connections, want 1", what, asked)
		}
	}
}

// A database that is read-only refuses commands and readiness, and answers queries. Once it
// can be written to again, everything works at once: sessions that began in between, which
// stay read-only, are not used to write.
func TestAReadOnlyDatabaseRecoversAtOnce(t *testing.T) {
	d := newPostgres(t, pgtest.Shared(t))
	before := d.start(t, newClock())
	of := before.institution()
	create := root(of, createPosition(before.asset(of), "h", "10"))

	d.exec(t, "", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
	s := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor = time.Millisecond })
	for range 2 {
		refuse(s, create, escrow.CodeStoreUnavailable)
		if err := s.Ready(t.Context()); escrow.ErrorCode(err) != escrow.CodeStoreUnavailable {
			t.Errorf("readiness: %v, want %s", err, escrow.CodeStoreUnavailable)
		}
		var reading sync.WaitGroup
		for range 8 { // Several sessions begin.
			reading.Go(func() {
				if _, err := s.Institution(t.Context(), of); err != nil {
					t.Errorf("a query: %v", err)
				}
			})
		}
		reading.Wait()
	}

	writing := must(d.raw.Conn(t.Context()))
	defer writing.Close()
	for _, statement := range []string{
		"SET default_transaction_read_only = off",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = off', current_database()); END $$",
	} {
		if _, err := writing.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("readiness of a database that can be written to again: %v", err)
	}
	for range 4 {
		accept[escrow.Position](s, create)
	}
	s.checkJournal(of)
}

// A server that vanishes in the middle of a transaction, of which the database hears
// nothing, holds the lock on a journal. The others end its session, and write on.
func TestAServerThatVanishedWithALockKeepsNobodyFromWriting(t *testing.T) {
	d, proxy, vanished := throughProxy(t)
	of := vanished.institution()
	create := root(of, createPosition(vanished.asset(of), "h", "10"))
	accept[escrow.Position](vanished, create) // Its statements are prepared.

	proxy.next.Store(freeze)
	lost := vanished.begin(t.Context(), create)
	eventually(t, "the lock is held in the middle of a transaction", func() bool {
		return d.sessions(t, "application_name = 'escrowgrid' AND state = 'active' AND wait_event = 'ClientRead'") == 1
	})

	s := d.start(t, newClock(), func(c *engine.Config) { c.AbandonedAfter = 50 * time.Millisecond })
	accept[escrow.Position](s, create)
	// A slow session may be ended with it, as much as 50 ms are on a busy machine.
	eventually(t, "the session that was ended is counted", func() bool { return s.metric("abandoned_sessions_ended_total") >= 1 })

	// It comes back, and learns that nothing was done: its command is begun anew.
	if code := lost.code(); code != "" {
		t.Errorf("the server that had vanished answers %s, %v", code, lost.err)
	}
	s.checkJournal(of)
}

// Who holds a lock because its own commit takes long is left alone.
func TestAServerThatIsHeardOfKeepsItsSession(t *testing.T) {
	d := sharedPostgres(t)
	servers := d.pair(t)
	of := servers[0].institution()
	create := root(of, createPosition(servers[0].asset(of), "h", "10"))
	release := d.holdInserts(t, "positions")
	first := servers[0].begin(t.Context(), create)
	eventually(t, "the first holds the journal's lock and waits", func() bool { return d.waiting(t) == 1 })
	second := servers[1].begin(t.Context(), create)
	eventually(t, "the second waits for the first", func() bool { return d.waiting(t) == 2 })
	if ended, err := servers[1].store.EndAbandoned(t.Context(), 0); ended != 0 || err != nil {
		t.Errorf("%d sessions were ended, %v; want none", ended, err)
	}
	release()
	if first.code() != "" || second.code() != "" {
		t.Errorf("errors %v and %v", first.err, second.err)
	}
}

// client carries out a request under its idempotency key until it is answered.
func (s *server) client(ctx context.Context, r escrow.Request, failed *atomic.Int64) (escrow.Position, error) {
	for {
		answer, err := s.Do(ctx, r)
		switch code := escrow.ErrorCode(err); {
		case err == nil:
			return resource[escrow.Position](answer), nil
		case code != escrow.CodeStoreUnavailable && code != escrow.CodeOutcomeUnknown:
			return escrow.Position{}, err
		}
		failed.Add(1)
	}
}

// PostgreSQL crashes under load and comes back, more than once: the engines carry
// on by themselves, and everything that was acknowledged is there, once.
func TestAcknowledgedWritesOutliveCrashesOfPostgreSQL(t *testing.T) {
	const clients, each = 8, 15
	postgres := pgtest.Start(t, pgcluster.WithDurability())
	d := newPostgres(t, postgres)
	servers := d.pair(t, func(c *engine.Config) { c.RetryFor, c.AttemptTimeout = 50*time.Millisecond, 5*time.Second })
	of := servers[0].institution()
	asset := servers[0].asset(of)

	var acknowledged, failed atomic.Int64
	made := make([]map[string]escrow.PositionID, clients)
	var busy sync.WaitGroup
	for client := range clients {
		made[client] = make(map[string]escrow.PositionID)
		busy.Go(func() {
			for i := range each {
				holder := fmt.Sprintf("client-%d-%d", client, i)
				position, err := servers[client%2].client(t.Context(), under(holder, holder, root(of, createPosition(asset, holder, "10"))), &failed)
				if err != nil {
					t.Errorf("%s: %v", holder, err)
					return
				}
				made[client][holder] = position.ID
				acknowledged.Add(1)
			}
		})
	}
	for _, after := range []int64{20, 70} {
		eventually(t, "clients are answered", func() bool { return acknowledged.Load() >= after || t.Failed() })
		before := failed.Load()
		postgres.Stop(t)
		eventually(t, "clients notice that the database is gone", func() bool { return failed.Load() > before || t.Failed() })
		postgres.Restart(t)
	}
	busy.Wait()

	held := make(map[string]escrow.PositionID)
	for _, position := range servers[0].tables(of).Positions {
		if other, twice := held[position.HolderReference]; twice {
			t.Errorf("%s has two positions, %s and %s", position.HolderReference, other, position.ID)
		}
		held[position.HolderReference] = position.ID
	}
	for _, positions := range made {
		for holder, id := range positions {
			if held[holder] != id {
				t.Errorf("%s was told of %s, and there is %s", holder, id, held[holder])
			}
		}
	}
	if len(held) != clients*each || acknowledged.Load() != clients*each {
		t.Errorf("%d positions were acknowledged and %d are there, want %d", acknowledged.Load(), len(held), clients*each)
	}
	servers[1].checkJournal(of)
}

// Without a database a command fails, and is not carried out when it comes back.
func TestACommandWithoutADatabaseHasNoEffect(t *testing.T) {
	postgres := pgtest.Start(t)
	d := newPostgres(t, postgres)
	s := d.start(t, newClock(), func(c *engine.Config) { c.RetryFor = time.Millisecond })
	of := s.institution()
	asset := s.asset(of)
	key, secret := s.key(of, escrow.RoleAdmin, nil)
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	postgres.Stop(t)
	refuse(s, by(key, createPosition(asset, "h", "10")), escrow.CodeStoreUnavailable)
	_, authenticated := s.Authenticate(t.Context(), secret, false)
	_, read := s.Institution(t.Context(), of)
	for what, err := range map[string]error{"readiness": s.Ready(t.Context()), "authentication": authenticated, "a query": read} {
		if escrow.ErrorCode(err) != escrow.CodeStoreUnavailable {
			t.Errorf("%s: %v, want %s", what, err, escrow.CodeStoreUnavailable)
		}
	}
	postgres.Restart(t)
	eventually(t, "the engine is ready again", func() bool { return s.Ready(t.Context()) == nil })
	if positions := s.tables(of).Positions; len(positions) != 0 {
		t.Errorf("there are %+v", positions)
	}
	accept[escrow.Position](s, by(key, createPosition(asset, "h", "10")))
	s.checkJournal(of)
}

// Connections that waited while the database was restarted are noticed when they are used:
// a read is answered nevertheless.
func TestAReadOutlivesARestartOfPostgreSQL(t *testing.T) {
	postgres := pgtest.Start(t)
	d := newPostgres(t, postgres)
	s := d.start(t, newClock())
	of := s.institution()
	position := accept[escrow.Position](s, root(of, createPosition(s.asset(of), "h", "10"))).ID

	for range 3 {
		// Several connections are open and idle.
		var reading sync.WaitGroup
		for range 8 {
			reading.Go(func() { _, _ = s.Entries(t.Context(), of, escrow.EntryFilter{}, escrow.PageRequest{Limit: 10}) })
		}
		reading.Wait()
		postgres.Restart(t)
		if page, err := s.Entries(t.Context(), of, escrow.EntryFilter{}, escrow.PageRequest{Limit: 10}); err != nil || len(page.Items) == 0 {
			t.Errorf("right after a restart there are %d entries, %v", len(page.Items), err)
		}
		if _, err := s.Position(t.Context(), of, position); err != nil {
			t.Errorf("right after a restart the position is not answered: %v", err)
		}
	}
}
