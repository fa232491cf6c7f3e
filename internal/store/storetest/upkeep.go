package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

func testDuePositions(f *fixture) {
	one, other := f.institution(), f.institution()
	now := f.now.Add(time.Hour)
	s := samples{assets: []escrow.Asset{{}}}
	var want []escrow.DuePosition
	for i, overdue := range []time.Duration{time.Second, 0, -time.Microsecond, time.Hour, time.Microsecond, 24 * time.Hour} {
		for _, state := range escrow.States() {
			f.moment()
			p := withMoney(escrow.Position{
				ID: escrow.PositionID(f.uuid()), InstitutionID: pick([]escrow.InstitutionID{one, other}, i), HolderReference: "h",
				Currency: currencies()[0], Version: 1, CreatedAt: f.now, UpdatedAt: f.now,
				// States apart, so that the order is one.
				ExpiresAt: new(now.Add(-overdue - time.Duration(slices.Index(escrow.States(), state))*time.Minute)),
			}, state, 1000)
			if overdue < 0 {
				p.ExpiresAt = new(now.Add(-overdue))
			}
			if i == 3 {
				p = underHolds(p, 1) // It waits.
			}
			s.positions = append(s.positions, p)
			if overdue >= 0 && !state.Final() && i != 3 {
				want = append(want, escrow.DuePosition{InstitutionID: p.InstitutionID, PositionID: p.ID})
			}
		}
	}
	never := s.positions[0]
	f.moment()
	never.ID, never.ExpiresAt = escrow.PositionID(f.uuid()), nil
	s.positions = append(s.positions, never)
	for _, of := range []escrow.InstitutionID{one, other} {
		f.write(of, escrow.Needs{}, func(b *escrow.Books) {
			for _, p := range s.positions {
				if p.InstitutionID == of {
					b.Positions.Put(p.ID, p)
				}
			}
		})
	}
	expiry := make(map[escrow.PositionID]time.Time)
	for _, p := range s.positions[:len(s.positions)-1] {
		expiry[p.ID] = *p.ExpiresAt
	}
	slices.SortFunc(want, func(a, b escrow.DuePosition) int { return expiry[a.PositionID].Compare(expiry[b.PositionID]) })
	for _, limit := range []int{1, len(want) - 1, len(want), 1000} {
		got, err := f.DuePositions(f.t.Context(), now, limit)
		f.compare(fmt.Sprintf("due positions, at most %d", limit), want[:min(limit, len(want))], got, true, err)
	}
}

// purgeAll purges with a limit and returns how many rows went each time, until
// none does.
func (f *fixture) purgeAll(now time.Time, limit int) (rounds []int64) {
	f.t.Helper()
	for {
		removed, err := f.Purge(f.t.Context(), now, limit)
		if err != nil {
			f.t.Fatal(err)
		}
		if removed == 0 {
			return rounds
		}
		rounds = append(rounds, removed)
	}
}

func testPurgeRecords(f *fixture) {
	one, other := f.institution(), f.institution()
	now := f.now.Add(365 * 24 * time.Hour)
	kept := map[string]bool{}
	n := escrow.Needs{}
	for i, age := range []time.Duration{
		-time.Hour, 0, escrow.RecordRetention - time.Microsecond, escrow.RecordRetention,
		escrow.RecordRetention + time.Microsecond, 2 * escrow.RecordRetention, 3 * escrow.RecordRetention,
	} {
		record := escrow.Record{Key: age.String(), Subject: "s", RequestID: "r", CreatedAt: now.Add(-age)}
		kept[record.Key] = i <= 3
		n.Records = append(n.Records, record.Key)
		for _, of := range []escrow.InstitutionID{one, other} {
			f.write(of, escrow.Needs{}, func(b *escrow.Books) { b.Records.Put(record.Key, record) })
		}
	}
	equal(f.t, "records removed with each purge of at most 4", []int64{4, 2}, f.purgeAll(now, 4))
	for _, of := range []escrow.InstitutionID{one, other} {
		books := f.load(of, n)
		for key, want := range kept {
			if _, found := books.Records.Get(key); found != want {
				f.t.Errorf("the record of the age %s is there: %t, want %t", key, found, want)
			}
		}
	}
}

func testLead(f *fixture) {
	for name, want := range map[string]error{"success": nil, "failure": errors.New("it failed")} {
		calls := 0
		ran, err := f.IfLeader(f.t.Context(), store.DutyExpiry, func(context.Context) error { calls++; return want })
		if !ran || calls != 1 || !errors.Is(err, want) {
			f.t.Errorf("%s: ran is %t after %d calls, error %v", name, ran, calls, err)
		}
	}
}

// ending is a context that ends after it was asked so many times whether it has.
type ending struct {
	context.Context //nolint:containedctx // It is a context.

	left atomic.Int64
}

func (e *ending) Err() error {
	if e.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A read whose time runs out is an error, never an answer that lacks what was not
// read any more.
func testEndedContext(f *fixture) {
	of := f.institution()
	s := f.samples(of)
	f.writeSamples(of, s)
	for asked := range int64(60) {
		ctx := &ending{Context: f.t.Context()}
		ctx.left.Store(asked)
		if page, err := f.Positions(ctx, of, escrow.PositionFilter{}, everything()); err == nil {
			equal(f.t, "positions", s.positions, page.Items)
		}
		ctx.left.Store(asked)
		if tx, err := f.tryBegin(ctx, needs{of: needsOf(s)}); err == nil {
			equal(f.t, "rows in the books", wanted(s, needsOf(s)), held(tx.Books(of), of, s))
			tx.Rollback(f.t.Context())
		}
	}

	ended, end := context.WithCancel(f.t.Context())
	end()
	for name, call := range map[string]func() error{
		"Begin":        func() error { _, err := f.tryBegin(ended, needs{of: {}}); return err },
		"Position":     func() error { _, _, err := found(f.Position(ended, of, s.positions[0].ID)); return err },
		"WithEvents":   func() error { _, err := f.WithEvents(ended, s.positions[0]); return err },
		"KeyByHash":    func() error { _, _, err := found(f.KeyByHash(ended, s.keys[0].Hash)); return err },
		"Entries":      func() error { _, err := f.Entries(ended, of, escrow.EntryFilter{}, everything()); return err },
		"DuePositions": func() error { _, err := f.DuePositions(ended, f.now, 1); return err },
		"Purge":        func() error { _, err := f.Purge(ended, f.now, 1); return err },
		"User":         func() error { _, err := f.User(ended, of, s.users[0].ID); return err },
		"UserByIdentity": func() error {
			_, _, err := f.UserByIdentity(ended, of, s.users[0].Identity)
			return err
		},
		"IdentityProvider": func() error { _, err := f.IdentityProvider(ended, of); return err },
		"ProvidersOf":      func() error { _, err := f.ProvidersOf(ended, "https://id.example"); return err },
		"Secret":           func() error { _, _, err := f.Secret(ended, of, s.secrets[1].SecretName); return err },
		"SecretKeys":       func() error { _, err := f.SecretKeys(ended); return err },
		"SessionByHash":    func() error { _, err := f.SessionByHash(ended, s.keys[0].Hash); return err },
		"AddSession": func() error {
			return f.AddSession(ended, escrow.Session{InstitutionID: of, Actor: escrow.ActorKey(s.keys[0].ID)})
		},
		"EndSession":   func() error { _, err := f.EndSession(ended, of, escrow.SessionID{}); return err },
		"NoteSessions": func() error { return f.NoteSessions(ended, []escrow.Session{{InstitutionID: of}}) },
		"Roles":        func() error { _, err := f.Roles(ended, of); return err },
		"KeyUses":      func() error { _, err := f.KeyUses(ended, of, []escrow.KeyID{s.keys[0].ID}); return err },
		"NoteKeyUses":  func() error { return f.NoteKeyUses(ended, []escrow.KeyUse{{InstitutionID: of}}) },
		"ExpiringKeys": func() error { _, err := f.ExpiringKeys(ended, f.now, f.now, 1); return err },
		"CountExpiringKeys": func() error {
			_, err := f.CountExpiringKeys(ended, f.now, f.now)
			return err
		},
		"CheckSchema": func() error { return f.CheckSchema(ended) },
		"Committed":   func() error { _, err := f.Committed(ended, escrow.Entry{InstitutionID: of}); return err },
		"AddSecurityEvents": func() error {
			return f.AddSecurityEvents(ended, []escrow.SecurityEvent{{ID: escrow.EntryID(f.uuid()), Count: 1}})
		},
	} {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			f.t.Errorf("%s with a context that has ended says %v, want %v", name, err, store.ErrUnavailable)
		}
	}

	// A query that several share is not ended with the context of one of them.
	const patience = 10 * time.Minute // The machine may be busy.
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, used, _ := f.Connections(); used != 0; _, used, _ = f.Connections() {
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatalf("%d connections are in use by nobody", used)
		}
	}
}
