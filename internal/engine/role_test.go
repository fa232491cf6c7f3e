package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const clerk = escrow.RoleName("clerk")

// setRole gives a role of an institution these permissions and no others.
func (s *server) setRole(of escrow.InstitutionID, name escrow.RoleName, permissions ...string) {
	s.t.Helper()
	accept[escrow.Role](s, root(of, valid(escrow.NewSetRole(string(name), escrow.RoleInput{Permissions: permissions}, nil))))
}

// may checks what a secret's key may do for a query, and for a command.
func (s *server) may(what, secret string, want ...escrow.Permission) {
	s.t.Helper()
	for _, mayBeOld := range []bool{false, true} {
		caller, err := s.Authenticate(context.Background(), secret, mayBeOld)
		if err != nil || !slices.Equal(caller.Rights.Permissions.List(), want) {
			s.t.Errorf("%s, with a record that may be old %t, the key may %v, %v; want %v",
				what, mayBeOld, caller.Rights.Permissions.List(), err, want)
		}
	}
}

// What a role has lost on one server nobody does on the other by it, from the moment that the
// change was acknowledged; and what it was given, everybody may.
func TestARolesLostPermissionEndsAtOnceOnEveryServer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		servers[0].setRole(of, clerk, "positions.create", "positions.read")
		key, secret := servers[0].key(of, clerk, nil)
		create := by(key, createPosition(asset, "h", "10"))
		repeated := under("once", "position", create)
		accept[escrow.Position](servers[1], repeated)
		for _, s := range servers {
			s.may("before", secret, escrow.PermissionPositionsRead, escrow.PermissionPositionsCreate)
		}

		for i := range servers {
			changing, other := servers[i], servers[1-i]
			for range 6 { // The first few find out that nobody else writes.
				accept[escrow.Position](other, create)
			}
			changing.setRole(of, clerk, "positions.read")
			before := len(other.journal(of, escrow.EntryFilter{}))
			for _, s := range []*server{other, changing} {
				refuse(s, create, escrow.CodePermissionMissing)
				refuse(s, repeated, escrow.CodePermissionMissing) // not even a replay
				s.may("when it has lost one", secret, escrow.PermissionPositionsRead)
			}
			if after := len(other.journal(of, escrow.EntryFilter{})); after != before {
				t.Errorf("the key added %d entries", after-before)
			}

			other.setRole(of, clerk, "positions.create")
			for _, s := range []*server{changing, other} {
				s.may("when it was given back", secret, escrow.PermissionPositionsCreate)
				accept[escrow.Position](s, create)
			}
		}
		servers[1].checkJournal(of)
	})
}

// However many use a role while it loses a permission: once that is acknowledged, nobody is let in
// by it, and nothing that was under way comes after.
func TestARoleThatChangesAmongManyUses(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		for range 5 {
			servers[0].setRole(of, clerk, "positions.create", "positions.read")
			key, secret := servers[0].key(of, clerk, nil)
			lost := make(chan struct{})
			var busy sync.WaitGroup
			for i := range 6 {
				busy.Go(func() {
					s := servers[i%2]
					for done := false; !done; {
						select {
						case <-lost:
							done = true
						default:
						}
						caller, err := s.Authenticate(t.Context(), secret, i%3 == 0)
						if done && (err != nil || caller.Rights.Permissions.Has(escrow.PermissionPositionsCreate)) {
							t.Errorf("server %d lets the key create after the loss was acknowledged: %v", i%2, err)
						}
						if _, err := s.Do(t.Context(), by(key, createPosition(asset, "h", "1"))); done && escrow.ErrorCode(err) != escrow.CodePermissionMissing {
							t.Errorf("server %d answers the key with %v after the loss was acknowledged", i%2, err)
						}
					}
				})
			}
			servers[0].setRole(of, clerk, "positions.read")
			close(lost)
			busy.Wait()
		}

		// In the journal nothing of a key follows the loss.
		mayCreate := false
		for _, entry := range servers[1].checkJournal(of) {
			switch {
			case entry.Kind == escrow.KindRoleSet:
				mayCreate = !mayCreate
			case entry.Actor != escrow.ActorRoot() && !mayCreate:
				t.Errorf("entry %d is of a key whose role may not", entry.Sequence)
			}
		}
	})
}

// A role is its institution's: another's of the same name gives nothing, and whoever does not ask for
// the roles, or has one that is nowhere, may do nothing.
func TestARoleIsItsInstitutionsOwn(t *testing.T) {
	eachPair(t, func(_ *testing.T, servers [2]*server) {
		of, other := servers[0].institution(), servers[0].institution()
		asset := servers[0].asset(of)
		servers[0].setRole(of, clerk, "positions.read")
		servers[0].setRole(other, clerk, "positions.create", "positions.read")
		key, secret := servers[0].key(of, clerk, nil)
		_, stranger := servers[0].key(other, clerk, nil)
		for i, s := range servers {
			s.may("of one", secret, escrow.PermissionPositionsRead)
			s.may("of another", stranger, escrow.PermissionPositionsRead, escrow.PermissionPositionsCreate)
			refuse(s, by(key, createPosition(asset, "h", "10")), escrow.CodePermissionMissing)
			input := escrow.KeyInput{Label: "k", Role: "teller"}
			refuse(s, root(of, valid(escrow.NewCreateKey(input, escrow.HashSecret(fmt.Sprint(of, i))))), escrow.CodeInvalidInput)
		}

		servers[0].setRole(of, clerk, "positions.create", "positions.read")
		for _, s := range servers {
			accept[escrow.Position](s, by(key, createPosition(asset, "h", "10")))
			unasked := by(key, createPosition(asset, "h", "10"))
			unasked.OwnRole = false
			refuse(s, unasked, escrow.CodePermissionMissing)
		}
	})
}

// Whoever has a built-in role, or a list of permissions, pays nothing for what roles there are: they
// are not asked for.
func TestBuiltInRolesAskForNoRoles(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		asset := s.asset(of)
		s.setRole(of, clerk, "positions.create")
		admin, secret := s.key(of, escrow.RoleAdmin, nil)
		listed, listedSecret := s.keyWith(of, escrow.KeyInput{Label: "k", Permissions: &[]string{"positions.create"}})
		own, ownSecret := s.key(of, clerk, nil)
		d.exec(t, "ALTER TABLE roles RENAME TO away", "ALTER TABLE roles RENAME TO away")

		all := []*server{s}
		if d.name == "postgres" {
			all = append(all, d.start(t, s.clock)) // It remembers nothing.
		}
		for i, s := range all {
			for key, secret := range map[*escrow.APIKey]string{&admin: secret, &listed: listedSecret} {
				s.authenticate(t, key.Label, secret, true)
				accept[escrow.Position](s, by(*key, createPosition(asset, "h", "10")))
			}
			caller, err := s.Authenticate(t.Context(), ownSecret, true)
			if remembers := i == 0; !remembers && (err == nil || caller.Rights.Permissions != 0) {
				t.Errorf("without roles a key of one is %+v, %v", caller, err)
			}
			if _, err := s.AssetsOf(t.Context(), of, nil); err != nil {
				t.Error(err)
			}
		}
		if own.Role != clerk {
			t.Errorf("the key is %+v", own)
		}
		d.exec(t, "ALTER TABLE away RENAME TO roles", "ALTER TABLE away RENAME TO roles")
	})
}

// The assets of positions, which a command of a key that is restricted to templates asks for, are
// those of one's own institution.
func TestAKeyThatIsRestrictedToTemplates(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of, other := servers[0].institution(), servers[0].institution()
		seen, hidden, strange := servers[0].asset(of), servers[0].asset(of), servers[0].asset(other)
		template := must(servers[0].Asset(t.Context(), of, seen)).TemplateID
		key, _ := servers[0].keyWith(of, escrow.KeyInput{
			Label: "k", Role: "operator", Restrict: &escrow.RestrictionInput{TemplateIDs: &[]string{template.String()}},
		})
		position := func(of escrow.InstitutionID, asset escrow.AssetID) escrow.PositionID {
			return accept[escrow.Position](servers[0], root(of, createPosition(asset, "h", "10"))).ID
		}
		ours, theirs, stranger := position(of, seen), position(of, hidden), position(other, strange)
		for _, s := range servers {
			assets := must(s.AssetsOf(t.Context(), of, []escrow.PositionID{ours, theirs, ours, stranger, {15: 1}}))
			want := []escrow.AssetID{seen, hidden}
			slices.SortFunc(want, escrow.AssetID.Compare)
			if !slices.Equal(assets, want) {
				t.Errorf("the assets are %v, want %v", assets, want)
			}

			accept[escrow.Position](s, by(key, createPosition(seen, "h", "10")))
			refuse(s, by(key, createPosition(hidden, "h", "10")), escrow.CodeAssetNotFound)
			fund := func(id escrow.PositionID) escrow.Request {
				r := by(key, transition(id, escrow.StateCancelled, ""))
				r.Assets = must(s.AssetsOf(t.Context(), of, []escrow.PositionID{id}))
				return r
			}
			refuse(s, fund(theirs), escrow.CodePositionNotFound)
			refuse(s, fund(stranger), escrow.CodePositionNotFound)
			refuse(s, by(key, transition(ours, escrow.StateFunded, "")), escrow.CodePositionNotFound) // Nobody has looked.
			accept[escrow.Position](s, fund(position(of, seen)))
		}
	})
}

// What is answered before a command, the dry run of an erasure and what an earlier one came to, is
// answered to nobody who has lost the permission on another server.
func TestAnErasureIsNotAnsweredToWhoMayNoLongerErase(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		servers[0].setRole(of, clerk, "positions.erase")
		key, _ := servers[0].key(of, clerk, nil)
		request := under("once", "erasure", by(key, escrow.RecordErasure{}))
		erase := func(dryRun bool) error {
			_, err := servers[1].EraseHolder(t.Context(), engine.HolderErasure{Request: request, HolderReference: "h", DryRun: dryRun})
			return err
		}
		if err := erase(false); err != nil {
			t.Fatal(err)
		}

		for _, lose := range []struct {
			by   func()
			want escrow.Code
		}{
			{func() { servers[0].setRole(of, clerk, "positions.read") }, escrow.CodePermissionMissing},
			{func() { accept[escrow.APIKey](servers[0], root(of, escrow.RevokeKey{Key: key.ID})) }, escrow.CodeInvalidKey},
		} {
			lose.by()
			for _, dryRun := range []bool{false, true} {
				if err := erase(dryRun); escrow.ErrorCode(err) != lose.want {
					t.Errorf("with dry run %t the erasure is answered with %v, want %s", dryRun, err, lose.want)
				}
			}
		}
	})
}
