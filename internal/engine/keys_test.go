package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// authenticate checks that a secret is accepted, or refused, in both forms.
func (s *server) authenticate(t *testing.T, what, secret string, want bool) {
	t.Helper()
	for _, mayBeOld := range []bool{false, true, false} {
		s.authenticateIf(t, what, secret, mayBeOld, want)
	}
}

func (s *server) authenticateIf(t *testing.T, what, secret string, mayBeOld, want bool) {
	t.Helper()
	key, err := s.Authenticate(context.Background(), secret, mayBeOld)
	if want != (err == nil) || err != nil && escrow.ErrorCode(err) != escrow.CodeInvalidKey {
		t.Errorf("%s, with a record that may be old %t: %+v, %v; want it accepted: %t", what, mayBeOld, key, err, want)
	}
}

func TestAuthenticateFindsTheKeyOfASecret(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		key, secret := servers[0].key(of, escrow.RoleReadOnly, nil)
		want := &engine.Caller{Key: key, Rights: escrow.RightsOfKey(key, nil)}
		for _, s := range servers {
			for range 2 { // from the database, and from memory
				got, err := s.Authenticate(t.Context(), secret, true)
				if diff := cmp.Diff(want, got, exactly()); diff != "" || err != nil {
					t.Errorf("error %v; the key (-) is found as (+):\n%s", err, diff)
				}
			}
			s.authenticate(t, "another secret", escrow.NewSecret([32]byte{1}), false)
			s.authenticate(t, "a secret with a typing error", secret[:len(secret)-1]+"!", false)
			s.authenticate(t, "nothing", "", false)
		}
	})
}

// A key that was revoked on one server writes and reads nothing on the other,
// from the moment that the revocation was acknowledged.
func TestARevokedKeyEndsAtOnceOnEveryServer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		for name, end := range map[string]func(escrow.KeyID) escrow.Command{
			"revoked": func(id escrow.KeyID) escrow.Command { return escrow.RevokeKey{Key: id} },
			"rotated": func(id escrow.KeyID) escrow.Command {
				return valid(escrow.NewRotateKey(id, escrow.RotationInput{}, escrow.HashSecret("new")))
			},
		} {
			key, secret := servers[0].key(of, escrow.RoleAdmin, nil)
			create := under("by "+name, "position", by(key, createPosition(asset, "h", "10")))
			for _, s := range servers {
				s.authenticate(t, "before it was "+name, secret, true)
				accept[escrow.Position](s, by(key, createPosition(asset, "h", "10")))
			}
			accept[escrow.Position](servers[1], create)
			accept[escrow.APIKey](servers[0], root(of, end(key.ID)))
			// The journal's time is ahead of a clock that stands still.
			servers[0].clock.advance(time.Millisecond)

			before := len(servers[0].journal(of, escrow.EntryFilter{}))
			for i, s := range servers {
				refuse(s, by(key, createPosition(asset, "h", "10")), escrow.CodeInvalidKey)
				refuse(s, create, escrow.CodeInvalidKey) // not even a replay
				s.authenticateIf(t, fmt.Sprintf("%s, on server %d", name, i), secret, false, false)
			}
			// The server that did it knows, too, without asking.
			servers[0].authenticate(t, name, secret, false)
			if after := len(servers[0].journal(of, escrow.EntryFilter{})); after != before {
				t.Errorf("%s: the key added %d entries", name, after-before)
			}
		}
	})
}

// A record that was read before a revocation, and is kept after it, lets nobody read, and
// nobody write.
func TestARecordReadBeforeARevocationIsNotBelieved(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		key, secret := servers[0].key(of, escrow.RoleAdmin, nil)
		accept[escrow.APIKey](servers[0], root(of, escrow.RevokeKey{Key: key.ID}))
		servers[0].clock.advance(time.Millisecond)
		for _, s := range servers {
			engine.RememberKey(s.Engine, key)
			refuse(s, by(key, createPosition(asset, "h", "10")), escrow.CodeInvalidKey)
			s.authenticate(t, "a key that was revoked", secret, false)
		}
	})
}

// However many servers make keys at the same time, an institution has no more than it may; one
// that expires or is revoked makes room, and no other.
func TestTheBoundOnKeysHoldsOverAllServers(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		servers[0].key(of, escrow.RoleAdmin, new(servers[0].clock.now().Add(time.Hour)))
		revoked, _ := servers[0].key(of, escrow.RoleAdmin, nil)
		create := func(place int) escrow.Request {
			input := escrow.KeyInput{Label: "one of many", Role: "admin"}
			return root(of, valid(escrow.NewCreateKey(input, escrow.HashSecret(fmt.Sprint(place)))))
		}

		const tooMany = 40
		var accepted atomic.Int64
		var creating sync.WaitGroup
		for place := range escrow.MaxActiveKeys - 2 + tooMany {
			creating.Go(func() {
				_, err := servers[place%2].Do(t.Context(), create(place))
				if err == nil {
					accepted.Add(1)
				} else if escrow.ErrorCode(err) != escrow.CodeKeyLimit {
					t.Error(err)
				}
			})
		}
		creating.Wait()
		if want := int64(escrow.MaxActiveKeys - 2); accepted.Load() != want {
			t.Errorf("%d keys were made beside the first two, want %d", accepted.Load(), want)
		}

		accept[escrow.APIKey](servers[1], root(of, escrow.RevokeKey{Key: revoked.ID}))
		accept[escrow.APIKey](servers[0], create(-1))
		refuse(servers[1], create(-2), escrow.CodeKeyLimit)
		servers[0].clock.advance(2 * time.Hour)
		accept[escrow.APIKey](servers[1], create(-2))
		refuse(servers[0], create(-3), escrow.CodeKeyLimit)
	})
}

func TestAnExpiredKeyEnds(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		clock := servers[0].clock
		of := servers[0].institution()
		asset := servers[0].asset(of)
		key, secret := servers[0].key(of, escrow.RoleAdmin, new(clock.now().Add(time.Hour)))
		clock.advance(time.Hour - time.Millisecond)
		for _, s := range servers {
			s.authenticate(t, "before its end", secret, true)
			accept[escrow.Position](s, by(key, createPosition(asset, "h", "10")))
		}
		clock.advance(time.Millisecond)
		for _, s := range servers {
			s.authenticate(t, "at its end", secret, false)
			refuse(s, by(key, createPosition(asset, "h", "10")), escrow.CodeInvalidKey)
		}
	})
}

// A rotated key lives beside its successor for the overlap, and no longer.
func TestARotatedKeyEndsAfterItsOverlap(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		old, oldSecret := servers[0].key(of, escrow.RoleAdmin, nil)
		secret := escrow.NewSecret([32]byte{7})
		for _, s := range servers {
			s.authenticate(t, "before the rotation", oldSecret, true)
		}
		accept[escrow.APIKey](servers[0], by(old, valid(escrow.NewRotateKey(
			old.ID, escrow.RotationInput{OverlapSeconds: new(int64(60))}, escrow.HashSecret(secret)))))
		for _, s := range servers {
			s.authenticate(t, "the old key in the overlap", oldSecret, true)
			s.authenticate(t, "the new key", secret, true)
		}
		servers[0].clock.advance(time.Minute + time.Millisecond)
		servers[0].authenticate(t, "the old key after the overlap", oldSecret, false)
		servers[1].authenticateIf(t, "the old key after the overlap", oldSecret, false, false)
		servers[1].authenticate(t, "the new key after the overlap", secret, true)
	})
}

func TestAReadOnlyKeyWritesNothing(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of, other := s.institution(), s.institution()
		asset := s.asset(of)
		reader, _ := s.key(of, escrow.RoleReadOnly, nil)
		stranger, _ := s.key(other, escrow.RoleAdmin, nil)
		before := len(s.journal(of, escrow.EntryFilter{}))
		refuse(s, by(reader, createPosition(asset, "h", "10")), escrow.CodePermissionMissing)
		// A key acts in its own institution only, and nobody is not the operator.
		stranger.InstitutionID = of
		refuse(s, by(stranger, createPosition(asset, "h", "10")), escrow.CodeInvalidKey)
		refuse(s, by(escrow.APIKey{InstitutionID: of}, createPosition(asset, "h", "10")), escrow.CodeInvalidKey)
		if after := len(s.journal(of, escrow.EntryFilter{})); after != before {
			t.Errorf("%d entries were added", after-before)
		}
	})
}

// However many read a key while it is revoked: once that is acknowledged, no
// reader is let in, and no writer from before it comes after.
func TestARevocationAmongManyReaders(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		for range 10 {
			key, secret := servers[0].key(of, escrow.RoleAdmin, nil)
			revoked := make(chan struct{})
			var busy sync.WaitGroup
			for i := range 6 {
				busy.Go(func() {
					s := servers[i%2]
					for done := false; !done; {
						select {
						case <-revoked:
							done = true
						default:
						}
						if _, err := s.Authenticate(t.Context(), secret, false); done && err == nil {
							t.Errorf("server %d lets the key read after its end was acknowledged", i%2)
						}
						if i < 2 {
							if _, err := s.Do(t.Context(), by(key, createPosition(asset, "h", "1"))); done && err == nil {
								t.Errorf("server %d lets the key write after its end was acknowledged", i%2)
							}
						}
					}
				})
			}
			accept[escrow.APIKey](servers[0], root(of, escrow.RevokeKey{Key: key.ID}))
			close(revoked)
			busy.Wait()
			servers[0].authenticate(t, "after it was revoked", secret, false)
		}
		// In the journal nothing of a key follows its end.
		ended := make(map[escrow.Actor]bool)
		for _, entry := range servers[1].checkJournal(of) {
			if ended[entry.Actor] {
				t.Errorf("entry %d is of a key that was revoked", entry.Sequence)
			}
			if entry.Kind == escrow.KindKeyRevoked {
				ended[must(escrow.ParseActor(entry.Subject))] = true
			}
		}
	})
}
