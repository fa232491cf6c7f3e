package storetest

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// What is noted of a key is read back, unless a later use is known already, whoever has noted it.
func testKeyUses(f *fixture) {
	one, other := f.institution(), f.institution()
	use := func(of escrow.InstitutionID, id escrow.KeyID, at time.Time, from string) escrow.KeyUse {
		return escrow.KeyUse{InstitutionID: of, ID: id, LastUsedAt: at, LastUsedFrom: netip.MustParseAddr(from)}
	}
	first, second, never := escrow.KeyID(f.uuid()), escrow.KeyID(f.uuid()), escrow.KeyID(f.uuid())
	earlier, later := f.moment(), f.moment()
	check := func(what string, of escrow.InstitutionID, want ...escrow.KeyUse) {
		f.t.Helper()
		byKey := make(map[escrow.KeyID]escrow.KeyUse)
		for _, u := range want {
			byKey[u.ID] = u
		}
		got, err := f.KeyUses(f.t.Context(), of, []escrow.KeyID{first, second, never})
		f.compare(what, byKey, got, true, err)
	}
	note := func(uses ...escrow.KeyUse) {
		f.t.Helper()
		if err := f.NoteKeyUses(f.t.Context(), uses); err != nil {
			f.t.Fatal(err)
		}
	}

	check("before all uses", one)
	note()
	note(use(one, first, earlier, "192.0.2.1"), use(one, second, later, "2001:db8::1"), use(other, first, later, "192.0.2.9"))
	check("after the first", one, use(one, first, earlier, "192.0.2.1"), use(one, second, later, "2001:db8::1"))
	check("those of another institution", other, use(other, first, later, "192.0.2.9"))

	note(use(one, first, later, "192.0.2.2"), use(one, second, earlier, "192.0.2.3"))
	want := []escrow.KeyUse{use(one, first, later, "192.0.2.2"), use(one, second, later, "2001:db8::1")}
	check("after a later and an earlier one", one, want...)
	note(use(one, first, later, "192.0.2.4"))
	check("after one of the same time", one, want...)

	some, err := f.KeyUses(f.t.Context(), one, []escrow.KeyID{second})
	f.compare("of one that is asked for", map[escrow.KeyID]escrow.KeyUse{second: want[1]}, some, true, err)
	none, err := f.KeyUses(f.t.Context(), one, nil)
	f.compare("of none", map[escrow.KeyID]escrow.KeyUse{}, none, true, err)
}

func testExpiringKeys(f *fixture) {
	one, other := f.institution(), f.institution()
	now := f.now.Add(time.Hour)
	before := now.Add(escrow.KeyExpiryNotice)
	key := func(of escrow.InstitutionID, expiresAt, revokedAt *time.Time) escrow.APIKey {
		return escrow.APIKey{
			ID: f.uuid(), InstitutionID: of, Label: "k", Role: escrow.RoleAdmin, CreatedAt: f.moment(), Version: 1,
			ExpiresAt: expiresAt, RevokedAt: revokedAt,
		}
	}
	want := []escrow.APIKey{
		key(one, new(now.Add(time.Microsecond)), nil), key(other, new(now.Add(time.Hour)), nil),
		key(one, new(before.Add(-time.Hour)), nil), key(other, &before, nil),
	}
	others := []escrow.APIKey{
		key(one, nil, nil), key(one, &now, nil), key(one, new(now.Add(-time.Hour)), nil),
		key(one, new(before.Add(time.Microsecond)), nil), key(one, new(now.Add(time.Hour)), &now),
	}
	for _, of := range []escrow.InstitutionID{one, other} {
		f.write(of, escrow.Needs{}, func(b *escrow.Books) {
			for _, k := range slices.Concat(others, want) {
				if k.InstitutionID == of {
					b.Keys.Put(k.ID, k)
				}
			}
		})
	}

	for _, limit := range []int{1, len(want) - 1, len(want), 1000} {
		got, err := f.ExpiringKeys(f.t.Context(), now, before, limit)
		f.compare(fmt.Sprintf("keys that end soon, at most %d", limit), want[:min(limit, len(want))], got, true, err)
	}
	count, err := f.CountExpiringKeys(f.t.Context(), now, before)
	f.compare("their number", int64(len(want)), count, true, err)
}
