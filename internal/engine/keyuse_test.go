package engine_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

// The last use of a key is known to all servers once it is written, and written when a server ends.
func TestLastUsesOfKeysAreWritten(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		first := d.start(t, newClock())
		of, other := first.institution(), first.institution()
		used, _ := first.key(of, escrow.RoleAdmin, nil)
		never, _ := first.key(of, escrow.RoleAdmin, nil)
		strange, _ := first.key(other, escrow.RoleAdmin, nil)
		begun := first.clock.now()
		use := func(after time.Duration, from string) escrow.KeyUse {
			return escrow.KeyUse{InstitutionID: of, ID: used.ID, LastUsedAt: begun.Add(after), LastUsedFrom: address(from)}
		}
		check := func(what string, s *server, want ...escrow.KeyUse) {
			t.Helper()
			byKey := make(map[escrow.KeyID]escrow.KeyUse)
			for _, u := range want {
				byKey[u.ID] = u
			}
			got, err := s.KeyUses(t.Context(), of, []escrow.KeyID{used.ID, never.ID, strange.ID})
			if diff := cmp.Diff(byKey, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
				t.Errorf("%s: %v, the uses (-) are read as (+):\n%s", what, err, diff)
			}
		}
		// next is another server, whose clock stands so long after the beginning.
		next := func(s *server, after time.Duration) *server {
			t.Helper()
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.closeStore(); err != nil {
				t.Fatal(err)
			}
			clock := newClock()
			clock.micros.Store(begun.Add(after).UnixMicro())
			return d.start(t, clock)
		}

		// Whoever notes a use does not wait, whatever the database does.
		lock := []string{"BEGIN", "LOCK TABLE api_key_uses IN ACCESS EXCLUSIVE MODE"}
		if d.name == "sqlite" {
			lock = []string{"BEGIN IMMEDIATE"}
		}
		release := d.hold(t, lock...)
		first.NoteKeyUse(used, address("192.0.2.1"))
		first.clock.advance(time.Minute)
		first.NoteKeyUse(used, address("192.0.2.2"))
		first.NoteKeyUse(strange, address("192.0.2.9"))
		release()
		engine.FlushKeyUses(t.Context(), first.Engine)
		check("the last of two", first, use(time.Minute, "192.0.2.2"))

		first.clock.advance(9 * time.Minute)
		first.NoteKeyUse(used, address("2001:db8::1"))
		second := next(first, 5*time.Minute)
		check("after the server was closed", second, use(10*time.Minute, "2001:db8::1"))
		second.NoteKeyUse(used, address("192.0.2.3"))
		third := next(second, 15*time.Minute)
		check("after an earlier one of another server", third, use(10*time.Minute, "2001:db8::1"))
		third.NoteKeyUse(used, address("192.0.2.4"))
		check("after a later one, by the third", next(third, time.Hour), use(15*time.Minute, "192.0.2.4"))
	})
}

// What cannot be written is written later, unless there was a later use.
func TestLastUsesOfKeysWaitForTheDatabase(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		one, _ := s.key(of, escrow.RoleAdmin, nil)
		two, _ := s.key(of, escrow.RoleAdmin, nil)
		s.NoteKeyUse(one, address("192.0.2.1"))
		s.NoteKeyUse(two, address("192.0.2.1"))
		d.exec(t, "ALTER TABLE api_key_uses RENAME TO away", "ALTER TABLE api_key_uses RENAME TO away")
		engine.FlushKeyUses(t.Context(), s.Engine)
		if failures := s.metric("duty_failures_total"); failures == 0 {
			t.Error("no failure is counted")
		}
		d.exec(t, "ALTER TABLE away RENAME TO api_key_uses", "ALTER TABLE away RENAME TO api_key_uses")

		s.clock.advance(time.Second)
		s.NoteKeyUse(two, address("192.0.2.2"))
		engine.FlushKeyUses(t.Context(), s.Engine)
		uses, err := s.KeyUses(t.Context(), of, []escrow.KeyID{one.ID, two.ID})
		if err != nil || uses[one.ID].LastUsedFrom != address("192.0.2.1") || uses[two.ID].LastUsedFrom != address("192.0.2.2") ||
			!uses[two.ID].LastUsedAt.Equal(s.clock.now()) {
			t.Errorf("the uses are %+v, %v", uses, err)
		}
	})
}

// expiring are keys that a server has made a year before they are looked at.
type expiring struct {
	of          escrow.InstitutionID
	soon, later escrow.APIKey
	clock       *clock
}

const day = 24 * time.Hour

// keysThatEnd makes a key that ends 13 days after a year, one that ends in 16, and others of which
// nobody is to be told. The server has closed when a year has gone by.
func keysThatEnd(t *testing.T, d database) expiring {
	t.Helper()
	s := d.start(t, newClock())
	e := expiring{of: s.institution(), clock: s.clock}
	const year = 365 * day
	key := func(after time.Duration) escrow.APIKey {
		made, _ := s.key(e.of, escrow.RoleAdmin, new(e.clock.now().Add(after)))
		return made
	}
	e.soon, e.later = key(year+13*day), key(year+16*day)
	revoked := key(year + 13*day)
	key(time.Hour)
	accept[escrow.APIKey](s, root(e.of, escrow.RevokeKey{Key: revoked.ID}))
	s.key(e.of, escrow.RoleAdmin, nil)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.closeStore(); err != nil {
		t.Fatal(err)
	}
	e.clock.advance(year)
	return e
}

// told counts the lines of a log that tell of a key.
func (e expiring) told(log *syncBuffer, key escrow.APIKey) (lines int) {
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "event=key.expiring institution_id="+e.of.String()+" key_id="+key.ID.String()) {
			lines++
		}
	}
	return lines
}

// Of keys that end soon a server tells when it starts and once a day, and says how many there are.
func TestKeysThatEndSoonAreTold(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		e := keysThatEnd(t, d)
		var log, others syncBuffer
		logged := func(b *syncBuffer) option {
			return func(c *engine.Config) { c.Logger = slog.New(slog.NewTextHandler(b, nil)) }
		}
		s := d.start(t, e.clock, logged(&log))
		eventually(t, "the server that starts tells of the key", func() bool { return e.told(&log, e.soon) == 1 })
		eventually(t, "it has ended its look", func() bool {
			return must(s.store.IfLeader(t.Context(), store.DutyKeyExpiry, func(context.Context) error { return nil }))
		})

		told := map[escrow.KeyID]time.Time{e.soon.ID: e.clock.now()}
		check := func(what string, count, ofSoon, ofLater int) {
			t.Helper()
			if err := engine.LookForExpiringKeys(t.Context(), s.Engine, told); err != nil {
				t.Error(err)
			}
			got, soon, later := s.metric("api_keys_expiring"), e.told(&log, e.soon), e.told(&log, e.later)
			if got != count || soon != ofSoon || later != ofLater {
				t.Errorf("%s: %d keys are counted, want %d, and told of %d and %d times, want %d and %d:\n%s",
					what, got, count, soon, later, ofSoon, ofLater, log.String())
			}
			if total := strings.Count(log.String(), "key.expiring"); total != ofSoon+ofLater {
				t.Errorf("%s: the log has %d lines of keys", what, total)
			}
		}
		check("again", 1, 1, 0)
		e.clock.advance(day - time.Minute)
		check("within a day", 1, 1, 0)
		e.clock.advance(2 * time.Minute)
		check("a day later", 1, 2, 0)
		e.clock.advance(day)
		check("when the next one ends soon", 2, 3, 1)

		if d.name == "postgres" {
			// Whoever looks at its log alone must know, too.
			other := d.start(t, e.clock, logged(&others))
			eventually(t, "another server tells of them, and counts them", func() bool {
				return e.told(&others, e.soon) == 1 && e.told(&others, e.later) == 1 && other.metric("api_keys_expiring") == 2
			})
		}
		accept[escrow.APIKey](s, root(e.of, escrow.RevokeKey{Key: e.soon.ID}))
		accept[escrow.APIKey](s, root(e.of, escrow.RevokeKey{Key: e.later.ID}))
		check("when they are revoked", 0, 3, 1)
	})
}
