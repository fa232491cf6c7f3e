package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// watchful is an engine that looks for due positions all the time.
func watchful(c *engine.Config) { c.ExpiryInterval = 5 * time.Millisecond }

// step is a transition of a position that is not made yet.
type step struct {
	to     escrow.State
	amount string
}

// life is what a position has gone through when the clock strikes.
type life struct {
	expiresAt *time.Time
	steps     []step
	// expires says that it then expires, with so much refunded.
	expires  bool
	refunded money.Amount
}

// live makes a position and leads it through its life.
func (s *server) live(of escrow.InstitutionID, asset escrow.AssetID, l life) escrow.PositionID {
	s.t.Helper()
	in := escrow.PositionInput{AssetID: asset.String(), HolderReference: "h", Currency: "USD", Amount: "10"}
	if l.expiresAt != nil {
		in.ExpiresAt = new(escrow.FormatTime(*l.expiresAt))
	}
	id := accept[escrow.Position](s, root(of, valid(escrow.NewCreatePosition(in)))).ID
	for _, step := range l.steps {
		accept[escrow.Position](s, root(of, transition(id, step.to, step.amount)))
	}
	return id
}

// Every open position that has outlived its expiresAt is expired, once, by the
// system, and what it held goes back; the others stay as they are.
func TestDuePositionsExpire(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, watchful)
		s, clock := servers[0], servers[0].clock
		due, later := clock.now().Add(time.Hour), clock.now().Add(time.Hour+time.Microsecond)
		fund, some := step{escrow.StateFunded, ""}, step{escrow.StatePartiallyReleased, "4"}
		lives := []life{
			{&due, nil, true, 0},
			{&due, []step{fund}, true, 1000},
			{&due, []step{fund, some}, true, 600},
			{&due, []step{fund, some, some}, true, 200},
			{&due, []step{{escrow.StateCancelled, ""}}, false, 0},
			{&due, []step{fund, {escrow.StateCancelled, ""}}, false, 0},
			{&due, []step{fund, {escrow.StateReleased, ""}}, false, 0},
			{&later, []step{fund}, false, 0},
			{nil, []step{fund}, false, 0},
		}
		expected := make(map[escrow.PositionID]life)
		institutions := []escrow.InstitutionID{s.institution(), s.institution()}
		before := make(map[escrow.PositionID]escrow.Position)
		for _, of := range institutions {
			asset := s.asset(of)
			for _, life := range lives {
				expected[s.live(of, asset, life)] = life
			}
			for _, position := range s.tables(of).Positions {
				before[position.ID] = position
			}
		}

		// Nobody can have a position expire before its time in the system's name.
		for id, position := range before {
			refuse(s, escrow.Request{
				Institution: position.InstitutionID, Actor: escrow.ActorSystem(), RequestID: "r", Command: escrow.ExpirePosition(id),
			}, escrow.CodeInvalidTransition)
		}
		if t.Failed() {
			return // The clock has nothing left to do.
		}
		clock.advance(time.Hour)
		eventually(t, "the due positions are expired", func() bool {
			return total(servers, "positions_expired_total") >= 8
		})
		eventually(t, "a server has looked again and found none", func() bool {
			return total(servers, "positions_due") == 0
		})
		for _, of := range institutions {
			system := 0
			for _, entry := range s.checkJournal(of) {
				if entry.Actor == escrow.ActorSystem() {
					system++
				}
			}
			if system != 4 {
				t.Errorf("the system made %d entries, want 4", system)
			}
			for _, position := range s.tables(of).Positions {
				checkExpiry(t, expected[position.ID], before[position.ID], position)
			}
		}
	})
}

func checkExpiry(t *testing.T, l life, before, after escrow.Position) {
	t.Helper()
	if !l.expires {
		if diff := cmp.Diff(before, after, exactly()); diff != "" {
			t.Errorf("a position that was not due (-) became (+):\n%s", diff)
		}
		return
	}
	last := after.Events[len(after.Events)-1]
	if after.State != escrow.StateExpired || after.Refunded != l.refunded || after.Held != 0 || after.Version != before.Version+1 ||
		last.Actor != escrow.ActorSystem() || last.To != escrow.StateExpired || last.Amount != l.refunded {
		t.Errorf("after %v the position is %+v, want it EXPIRED by the system with %d refunded", l.steps, after, l.refunded)
	}
}

// A round takes more positions than one look finds.
func TestManyDuePositionsExpire(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, watchful)
		const positions = 520 // A look finds 500.
		s, clock := servers[0], servers[0].clock
		of := s.institution()
		create := valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: s.asset(of).String(), HolderReference: "h", Currency: "USD", Amount: "10",
			ExpiresAt: new(escrow.FormatTime(clock.now().Add(time.Hour))),
		}))
		var attempts []*attempt
		for range positions {
			attempts = append(attempts, s.begin(t.Context(), root(of, create)))
		}
		for _, a := range attempts {
			if code := a.code(); code != "" {
				t.Fatal(a.err)
			}
		}
		clock.advance(time.Hour)
		eventually(t, "all are expired", func() bool { return total(servers, "positions_expired_total") >= positions })
		expired := 0
		for _, entry := range s.journal(of, escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindPositionStateChanged}}) {
			if entry.Actor == escrow.ActorSystem() {
				expired++
			}
		}
		if expired != positions {
			t.Errorf("%d entries expire %d positions", expired, positions)
		}
	})
}

// Every server looks for itself what is due: the one that has the duty may be frozen.
func TestEveryServerTellsWhatIsDue(t *testing.T) {
	d := newPostgres(t, pgtest.Shared(t))
	s := d.start(t, newClock(), watchful)
	of := s.institution()
	due := s.clock.now().Add(time.Hour)
	position := s.live(of, s.asset(of), life{expiresAt: &due})
	other, err := store.Open(t.Context(), d.url, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()

	took := false
	eventually(t, "another server has the duty, and does nothing", func() bool {
		took, err = other.IfLeader(t.Context(), store.DutyExpiry, func(context.Context) error {
			s.clock.advance(time.Hour)
			eventually(t, "the server sees that a position is due", func() bool { return s.metric("positions_due") == 1 })
			return nil
		})
		return took && err == nil
	})
	eventually(t, "it expires the position itself", func() bool {
		return must(s.Position(t.Context(), of, position)).State == escrow.StateExpired && s.metric("positions_due") == 0
	})
}

// An alert asks how a counter rose: one that is not there before its first event hides it.
func TestCountersOfAlertsBeginAtZero(t *testing.T) {
	s := newSQLite(t).start(t, newClock())
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, family := range families {
		series[family.GetName()] = len(family.GetMetric())
	}
	for name, want := range map[string]int{
		"escrowgrid_journal_entries_total": len(escrow.Kinds()), "escrowgrid_duty_failures_total": 9, "escrowgrid_commands_refused_total": 5,
	} {
		if series[name] != want {
			t.Errorf("%s has %d series, want %d", name, series[name], want)
		}
	}
	if size, free := s.metric("store_size_bytes"), s.metric("store_free_bytes"); size == 0 || free == 0 {
		t.Errorf("the file takes %d bytes, and %d are free", size, free)
	}
	if seconds, now := int64(s.metric("clock_seconds")), s.clock.now().Unix(); seconds != now {
		t.Errorf("escrowgrid_clock_seconds is %d, want %d", seconds, now)
	}
}

// Refused attempts reach the log without the request that made them waiting.
func TestRefusedAttemptsAreLogged(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		want := escrow.SecurityEvent{
			InstitutionID: of, Actor: "unknown", Code: escrow.CodeInvalidKey, Method: "POST", Path: "/positions", Client: "192.0.2.1", RequestID: "r",
		}
		stranger, customer := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
		logged := func(actor string) []escrow.SecurityEvent {
			return must(s.SecurityEvents(t.Context(), escrow.SecurityEventFilter{Institution: &of, Actor: actor}, escrow.PageRequest{Limit: 1000})).Items
		}
		s.NoteSecurityEvent(stranger, want)
		eventually(t, "the attempt is in the log", func() bool { return len(logged("unknown")) == 1 })
		want.At, want.LastAt, want.Count, want.ID = s.clock.now(), s.clock.now(), 1, logged("unknown")[0].ID
		if diff := cmp.Diff([]escrow.SecurityEvent{want}, logged("unknown")); diff != "" {
			t.Errorf("attempts made (-) and logged (+):\n%s", diff)
		}

		// A flood is one event, whatever it asks for, and hides nobody who has a key.
		const flood = 5000
		for i := range flood {
			again := want
			again.Path, again.RequestID = fmt.Sprint("/", i), fmt.Sprint(i)
			s.NoteSecurityEvent(stranger, again)
		}
		forbidden := make(map[string]bool)
		for i := range 60 {
			path := fmt.Sprint("/", i)
			forbidden[path] = true
			s.NoteSecurityEvent(customer, escrow.SecurityEvent{
				InstitutionID: of, Actor: "root", Code: "forbidden", Method: "POST", Path: path, Client: "192.0.2.2",
			})
		}
		eventually(t, "all are counted", func() bool {
			return len(logged("root")) == len(forbidden) && logged("unknown")[0].Count == 1+flood
		})
		for _, event := range logged("root") {
			delete(forbidden, event.Path)
		}
		if events := logged("unknown"); len(forbidden) > 0 || len(events) != 1 || events[0].Path != want.Path || events[0].RequestID != want.RequestID {
			t.Errorf("not logged are %v, and the strangers' are %+v", forbidden, events)
		}

		// From more addresses than there is room for, attempts are dropped and counted. A key's is kept
		// also then, and while the database takes none.
		lock := []string{"BEGIN", "LOCK TABLE security_events IN ACCESS EXCLUSIVE MODE"}
		if d.name == "sqlite" {
			lock = []string{"BEGIN IMMEDIATE"}
		}
		release := d.hold(t, lock...)
		for i := range flood {
			address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			s.NoteSecurityEvent(netip.PrefixFrom(address, 32), want)
		}
		if unlogged := s.metric("security_events_lost_total"); unlogged < flood/2 || unlogged >= flood {
			t.Errorf("of attempts from %d addresses %d were dropped", flood, unlogged)
		}
		last := escrow.SecurityEvent{InstitutionID: of, Actor: "root", Code: "forbidden", Method: "GET", Path: "/last"}
		s.NoteSecurityEvent(customer, last)
		release()
		eventually(t, "the last is logged", func() bool {
			return slices.ContainsFunc(logged("root"), func(e escrow.SecurityEvent) bool { return e.Path == last.Path })
		})
	})
}

// syncBuffer is a log that may be written and read at once.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A duty that hangs in the database ends with the engine, not with its own time.
func TestCloseEndsADutyThatHangs(t *testing.T) {
	d := sharedPostgres(t)
	var log syncBuffer
	s := d.start(t, newClock(), watchful, func(c *engine.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	release := d.hold(t, "BEGIN", "LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
	// What other tests have left in the database can be due, too.
	eventually(t, "a duty waits for the lock", func() bool { return d.waiting(t) >= 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err == nil {
		t.Error("close says that all was done")
	}
	release()
	if text := log.String(); strings.Contains(text, context.DeadlineExceeded.Error()) || !strings.Contains(text, context.Canceled.Error()) {
		t.Errorf("the duty ended by itself:\n%s", text)
	}
}

// waiting counts the connections that wait for a lock.
func (d database) waiting(t *testing.T) int {
	t.Helper()
	return d.sessions(t, "wait_event_type = 'Lock'")
}

// sessions counts the connections to the database of which something is so.
func (d database) sessions(t *testing.T, condition string) (count int) {
	t.Helper()
	err := d.raw.QueryRowContext(t.Context(),
		"SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND "+condition).Scan(&count)
	if err != nil {
		t.Fatal(err)
	}
	return count
}
