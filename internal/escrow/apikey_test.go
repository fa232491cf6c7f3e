package escrow_test

import (
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// countingBits are the random bits 00 01 02 … 1f.
func countingBits() (bits [32]byte) {
	for i := range bits {
		bits[i] = byte(i)
	}
	return bits
}

// The vectors were computed by another program: base62 of the bits, and of the
// CRC-32 (IEEE) of all that stands before it.
func TestNewSecretIsPrefixBitsAndCheckSum(t *testing.T) {
	t.Parallel()
	allBits := [32]byte([]byte(strings.Repeat("\xff", 32)))
	for _, vector := range []struct {
		bits         [32]byte
		secret, hash string
	}{
		{
			[32]byte{},
			"egk_0000000000000000000000000000000000000000000" + "22Yo4H",
			"63eb6cff8a7de4f36254d38a821752c6cb3a6cb2206e13940f3abf413a9c6023",
		},
		{
			countingBits(), "egk_003AuLtjc7TJLctqJ2Unu3mfAGcxg9lrkrCWgKbidLF" + "0Axw14",
			"df444291351b4ff432d223bf118cae83eaae3165144c45540dd5c1d03f49fbe2",
		},
		{
			allBits, "egk_YHJSKWDa6oz1al1yMhwzwM8llg7hJNUca2J5RoW8xP1" + "42uyrU",
			"4c9c7611451164db4c91f6b813dfeadbf60bb8cd751a8947a460fd2e802a2c33",
		},
	} {
		if got := escrow.NewSecret(vector.bits); got != vector.secret {
			t.Errorf("the secret of %x is %s, want %s", vector.bits, got, vector.secret)
		}
		if err := escrow.CheckSecret(vector.secret); err != nil {
			t.Errorf("CheckSecret(%s): %v", vector.secret, err)
		}
		if got := escrow.HashSecret(vector.secret).String(); got != vector.hash {
			t.Errorf("the hash of %s is %s, want %s", vector.secret, got, vector.hash)
		}
	}
}

func TestEverySecretPassesItsCheckAndDiffersFromOthers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawBits(t, "a"), drawBits(t, "b")
		if err := escrow.CheckSecret(escrow.NewSecret(a)); err != nil {
			t.Errorf("CheckSecret(%s): %v", escrow.NewSecret(a), err)
		}
		if (escrow.NewSecret(a) == escrow.NewSecret(b)) != (a == b) {
			t.Errorf("the secrets of %x and %x are %s and %s", a, b, escrow.NewSecret(a), escrow.NewSecret(b))
		}
	})
}

func drawBits(t *rapid.T, label string) [32]byte {
	return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

func TestCheckSecretCatchesAMistypedOrCutSecret(t *testing.T) {
	t.Parallel()
	secret := escrow.NewSecret(countingBits())
	for i := range len(secret) {
		for _, other := range "0aZ9_ \x00é" {
			mistyped := secret[:i] + string(other) + secret[i+1:]
			if err := escrow.CheckSecret(mistyped); err == nil && mistyped != secret {
				t.Errorf("CheckSecret accepts %q", mistyped)
			}
		}
		if escrow.CheckSecret(secret[:i]) == nil || escrow.CheckSecret(secret[i+1:]) == nil {
			t.Errorf("CheckSecret accepts a secret that was cut at %d", i)
		}
		if i > 0 && secret[i] != secret[i-1] {
			swapped := secret[:i-1] + secret[i:i+1] + secret[i-1:i] + secret[i+1:]
			if escrow.CheckSecret(swapped) == nil {
				t.Errorf("CheckSecret accepts %s, with two characters swapped", swapped)
			}
		}
	}
}

func TestCheckSecretRefusesWhatNoSecretIs(t *testing.T) {
	t.Parallel()
	good := escrow.NewSecret([32]byte{})
	for name, text := range map[string]string{
		"nothing":              "",
		"the prefix":           "egk_",
		"white space round it": " " + good,
		"a line end":           good + "\n",
		"twice":                good + good,
		"another prefix":       "xgk_" + good[4:],
		"upper case":           strings.ToUpper(good),
		// Their check sums are right.
		"characters that are not base62": "egk_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!3xrEdp",
		"2^256, a bit too many":          "egk_YHJSKWDa6oz1al1yMhwzwM8llg7hJNUca2J5RoW8xP21h0P6g",
		"the highest of 43 digits":       "egk_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ4sPlNs",
	} {
		if err := escrow.CheckSecret(text); err == nil {
			t.Errorf("%s: CheckSecret(%q) accepts it", name, text)
		}
	}
}

func FuzzCheckSecret(f *testing.F) {
	f.Add(escrow.NewSecret([32]byte{}))
	f.Add(escrow.NewSecret(countingBits()))
	f.Add("egk_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!3xrEdp")
	f.Add("egk_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ4sPlNs")
	f.Add("egk_")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if escrow.CheckSecret(text) == nil && !isSecret(text) {
			t.Errorf("CheckSecret accepts %q", text)
		}
		// A fuzzer does not find check sums, so each text gets its own.
		if len(text) == 43 {
			body := "egk_" + text
			whole := body + inBase62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), 6)
			if got, want := escrow.CheckSecret(whole) == nil, isSecret(whole); got != want {
				t.Errorf("CheckSecret accepts %q: %t, want %t", whole, got, want)
			}
		}
	})
}

// isSecret reads a secret apart from the domain: 256 bits in base62, with their
// check sum.
func isSecret(text string) bool {
	if len(text) != 53 || text[:4] != "egk_" {
		return false
	}
	number := new(big.Int)
	for _, digit := range []byte(text[4:47]) {
		value := strings.IndexByte(base62Digits, digit)
		if value < 0 {
			return false
		}
		number.Add(number.Mul(number, big.NewInt(62)), big.NewInt(int64(value)))
	}
	return number.BitLen() <= 256 && text[47:] == inBase62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(text[:47])))), 6)
}

const base62Digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func inBase62(number *big.Int, width int) string {
	digits, digit := make([]byte, width), new(big.Int)
	for i := range digits {
		number, digit = new(big.Int).QuoRem(number, big.NewInt(62), digit)
		digits[width-1-i] = base62Digits[digit.Int64()]
	}
	return string(digits)
}

// The vectors were computed by another program, with HMAC-SHA-256 alone.
func TestDeriveSecretIsHKDF(t *testing.T) {
	t.Parallel()
	parent := escrow.NewSecret(countingBits())
	for nonce, want := range map[string]string{
		"nonce-1": "c980e19b512f77e9c15eee7b0cef1c8e7dd29b7f66bb57632d3f436d68b31513",
		"":        "5ddb57c233402aa028a95730407c16d0ee77572c6ab6afb7d312a1ddae61ce2a",
	} {
		bits := escrow.DeriveSecret("the servers", parent, []byte(nonce))
		if got := hex.EncodeToString(bits[:]); got != want {
			t.Errorf("with the nonce %q the bits are %s, want %s", nonce, got, want)
		}
	}
}

func TestDeriveSecretDiffersWithEachSecretAndNonce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		serversA, serversB := rapid.String().Draw(t, "servers' a"), rapid.String().Draw(t, "servers' b")
		parentA, parentB := rapid.String().Draw(t, "parent a"), rapid.String().Draw(t, "parent b")
		nonceA, nonceB := drawBits(t, "nonce a"), drawBits(t, "nonce b")
		a, b := escrow.DeriveSecret(serversA, parentA, nonceA[:]), escrow.DeriveSecret(serversB, parentB, nonceB[:])
		if a != escrow.DeriveSecret(serversA, parentA, nonceA[:]) {
			t.Error("the same secrets and nonce give other bits")
		}
		if (a == b) != (serversA == serversB && parentA == parentB && nonceA == nonceB) {
			t.Errorf("%q, %q with %x and %q, %q with %x give %x and %x", serversA, parentA, nonceA, serversB, parentB, nonceB, a, b)
		}
	})
}

func TestCreateKeyKeepsTheHashAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	expiresAt := opening().Add(time.Hour)
	hash := escrow.HashSecret(escrow.NewSecret(countingBits()))
	id := subjectID[escrow.KeyID](d.accept(valid(escrow.NewCreateKey(escrow.KeyInput{
		Label: " Treasury ", Role: "read_only", ExpiresAt: new(escrow.FormatTime(expiresAt)),
	}, hash))))
	want := escrow.APIKey{
		ID: id, InstitutionID: d.books.InstitutionID(), Label: "Treasury", Role: escrow.RoleReadOnly, Hash: hash,
		CreatedAt: d.lastEntry().At, ExpiresAt: &expiresAt, Version: 1, CreatedBy: escrow.ActorRoot(),
	}
	if diff := cmp.Diff(want, d.getKey(id), exactly()); diff != "" {
		t.Errorf("key wanted (-) and made (+):\n%s", diff)
	}
}

func TestNewCreateKeyTellsEveryFault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		input escrow.KeyInput
		want  []string
	}{
		{"an admin's", escrow.KeyInput{Label: "A", Role: "admin"}, nil},
		{"nothing", escrow.KeyInput{}, []string{"label is required", "role is required, unless there are permissions"}},
		{
			"everything wrong",
			escrow.KeyInput{Label: "\x00a", Role: "Root!", ExpiresAt: new("tomorrow")},
			[]string{
				"label must not contain control characters",
				"expiresAt must be an RFC 3339 time, like 2027-01-31T12:00:00Z",
				"role must be 1 to 63 small letters, digits and underscores, beginning with a letter",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateKey(test.input, escrow.SecretHash{})
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestCreateKeyThatHasExpiredIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.now = d.now.Add(time.Hour)
	for _, expiresAt := range []time.Time{d.now, d.now.Add(-time.Microsecond)} {
		in := escrow.KeyInput{Label: "A", Role: "admin", ExpiresAt: new(escrow.FormatTime(expiresAt))}
		refusal := d.refusal(valid(escrow.NewCreateKey(in, escrow.SecretHash{})), escrow.CodeInvalidInput)
		checkFaults(t, refusal.Faults, "expiresAt must be in the future")
	}
	d.key(escrow.RoleAdmin, new(d.now.Add(time.Microsecond)))
}

func TestKeyIsActiveUntilItExpiresOrIsRevoked(t *testing.T) {
	t.Parallel()
	now := opening()
	for _, test := range []struct {
		name string
		key  escrow.APIKey
		want bool
	}{
		{"without an end", escrow.APIKey{}, true},
		{"a microsecond before its end", escrow.APIKey{ExpiresAt: new(now.Add(time.Microsecond))}, true},
		{"at its end", escrow.APIKey{ExpiresAt: &now}, false},
		{"after its end", escrow.APIKey{ExpiresAt: new(now.Add(-time.Hour))}, false},
		{"revoked", escrow.APIKey{RevokedAt: &now}, false},
		{"revoked by a clock that is ahead", escrow.APIKey{RevokedAt: new(now.Add(time.Hour))}, false},
		{"revoked before its end", escrow.APIKey{ExpiresAt: new(now.Add(time.Hour)), RevokedAt: &now}, false},
	} {
		if got := test.key.Active(now); got != test.want {
			t.Errorf("%s: the key is active: %t", test.name, got)
		}
	}
}

func newRotation(key escrow.KeyID, overlap time.Duration) escrow.RotateKey {
	in := escrow.RotationInput{OverlapSeconds: new(int64(overlap / time.Second))}
	return valid(escrow.NewRotateKey(key, in, escrow.HashSecret("the new secret")))
}

func TestRotationGivesANewKeyAndEndsTheOldOneAfterTheOverlap(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	after := func(d time.Duration) *time.Time { return new(opening().Add(d)) }
	for _, test := range []struct {
		name          string
		expiresAt     *time.Time
		overlap       time.Duration
		wantNew, want *time.Time
	}{
		{"without an overlap the old key ends at once", nil, 0, nil, after(hour)},
		{"with an overlap both live", nil, 2 * hour, nil, after(3 * hour)},
		{"the longest overlap", nil, 30 * 24 * hour, nil, after(hour + 30*24*hour)},
		{"an expiry is inherited, and the old key's comes sooner", after(9 * hour), hour, after(9 * hour), after(2 * hour)},
		{"an overlap does not prolong the old key", after(2 * hour), 5 * hour, after(2 * hour), after(2 * hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			old := d.key(escrow.RoleReadOnly, test.expiresAt)
			before := d.getKey(old)
			d.now = opening().Add(hour)
			id := subjectID[escrow.KeyID](d.accept(newRotation(old, test.overlap)))
			wantNew := escrow.APIKey{
				ID: id, InstitutionID: before.InstitutionID, Label: before.Label, Role: before.Role,
				Hash: escrow.HashSecret("the new secret"), CreatedAt: d.now, ExpiresAt: test.wantNew, Version: 1,
				CreatedBy: escrow.ActorRoot(), Origin: old,
			}
			if diff := cmp.Diff(wantNew, d.getKey(id), exactly()); diff != "" {
				t.Errorf("new key wanted (-) and made (+):\n%s", diff)
			}
			wantOld := before
			wantOld.ExpiresAt, wantOld.RotatedTo, wantOld.Version = test.want, id, 2
			if diff := cmp.Diff(wantOld, d.getKey(old), exactly()); diff != "" {
				t.Errorf("old key wanted (-) and kept (+):\n%s", diff)
			}
			d.checkReplay()
		})
	}
}

func TestRotationWithoutAnOverlapGivenEndsTheOldKeyAtOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	old := d.key(escrow.RoleAdmin, nil)
	d.accept(valid(escrow.NewRotateKey(old, escrow.RotationInput{}, escrow.SecretHash{})))
	if at := d.lastEntry().At; d.getKey(old).Active(at) {
		t.Error("the old key is active at the moment of its rotation")
	}
}

func TestNewRotateKeyBoundsTheOverlap(t *testing.T) {
	t.Parallel()
	for seconds, fault := range map[int64]string{
		-1: "overlapSeconds must be from 0 to 2592000", 0: "", 2_592_000: "",
		2_592_001: "overlapSeconds must be from 0 to 2592000",
		1<<63 - 1: "overlapSeconds must be from 0 to 2592000",
	} {
		_, faults := escrow.NewRotateKey(escrow.KeyID{}, escrow.RotationInput{OverlapSeconds: &seconds}, escrow.SecretHash{})
		if fault == "" {
			checkFaults(t, faults)
		} else {
			checkFaults(t, faults, fault)
		}
	}
}

// What counts is how many keys are active at the moment: a key that is revoked, expired or
// replaced at once makes room.
func TestAnInstitutionHasABoundOnActiveKeys(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	expiring := d.key(escrow.RoleReadOnly, new(opening().Add(time.Hour)))
	for range escrow.MaxActiveKeys - 2 {
		d.key(escrow.RoleReadOnly, nil)
	}
	last := d.key(escrow.RoleAdmin, nil)
	another := valid(escrow.NewCreateKey(escrow.KeyInput{Label: "one more", Role: "admin"}, escrow.SecretHash{1}))
	d.refuse(another, escrow.CodeKeyLimit)
	d.refuse(newRotation(last, time.Minute), escrow.CodeKeyLimit)

	d.accept(newRotation(last, 0))
	d.refuse(another, escrow.CodeKeyLimit)
	d.accept(escrow.RevokeKey{Key: expiring})
	d.accept(another)
	d.refuse(another, escrow.CodeKeyLimit)
}

func TestRotationOfAKeyThatHasEndedIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	revoked := d.key(escrow.RoleAdmin, nil)
	d.accept(escrow.RevokeKey{Key: revoked})
	expired := d.key(escrow.RoleAdmin, new(opening().Add(time.Hour)))
	d.now = opening().Add(time.Hour)
	d.refuse(newRotation(revoked, 0), escrow.CodeKeyInactive)
	d.refuse(newRotation(expired, 0), escrow.CodeKeyInactive)
	d.refuse(newRotation(escrow.KeyID{1}, 0), escrow.CodeKeyNotFound)
}

// A second successor would end with the overlap of the first, and nobody would expect it to.
func TestAKeyIsRotatedOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	old := d.key(escrow.RoleAdmin, nil)
	id := subjectID[escrow.KeyID](d.accept(newRotation(old, time.Minute)))
	for _, moment := range []time.Duration{time.Second, time.Hour} {
		d.now = opening().Add(moment)
		refusal := d.refusal(newRotation(old, 0), escrow.CodeKeyRotated)
		if !strings.Contains(refusal.Detail, id.String()) {
			t.Errorf("the refusal does not name the new key: %s", refusal)
		}
	}
	d.accept(newRotation(id, 0))
}

func TestRevokingAKeyEndsItAndASecondTimeChangesNothing(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.key(escrow.RoleAdmin, nil)
	want := d.getKey(id)
	first := d.accept(escrow.RevokeKey{Key: id})
	want.RevokedAt, want.Version = new(d.lastEntry().At), 2
	if diff := cmp.Diff(want, d.getKey(id), exactly()); diff != "" {
		t.Errorf("key wanted (-) and kept (+):\n%s", diff)
	}
	entries := len(d.books.Entries)
	d.now = d.now.Add(time.Hour)
	second := d.accept(escrow.RevokeKey{Key: id})
	if len(d.books.Entries) != entries {
		t.Error("revoking a revoked key appended an entry")
	}
	if diff := cmp.Diff(first, second, exactly()); diff != "" {
		t.Errorf("the first answer (-) and the second (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(want, d.getKey(id), exactly()); diff != "" {
		t.Errorf("key wanted (-) and kept (+) after the second time:\n%s", diff)
	}
}

func TestAnExpiredKeyCanStillBeRevoked(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.key(escrow.RoleAdmin, new(opening().Add(time.Hour)))
	d.now = opening().Add(2 * time.Hour)
	d.accept(escrow.RevokeKey{Key: id})
	if d.getKey(id).RevokedAt == nil {
		t.Error("the key is not revoked")
	}
	d.refuse(escrow.RevokeKey{Key: escrow.KeyID{1}}, escrow.CodeKeyNotFound)
}

// A key that may not write is refused before anything else is looked at.
func TestAKeyWritesOnlyWhileItIsAnActiveAdmin(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(d *desk, key escrow.KeyID)
		role escrow.RoleName
		want escrow.Code
	}{
		{"an active admin writes", func(*desk, escrow.KeyID) {}, escrow.RoleAdmin, ""},
		{"a reader does not", func(*desk, escrow.KeyID) {}, escrow.RoleReadOnly, escrow.CodePermissionMissing},
		{"a revoked admin does not", func(d *desk, key escrow.KeyID) {
			d.accept(escrow.RevokeKey{Key: key})
		}, escrow.RoleAdmin, escrow.CodeInvalidKey},
		{"a revoked reader is not known any more", func(d *desk, key escrow.KeyID) {
			d.accept(escrow.RevokeKey{Key: key})
		}, escrow.RoleReadOnly, escrow.CodeInvalidKey},
		{"an admin that was rotated does not", func(d *desk, key escrow.KeyID) {
			d.accept(newRotation(key, 0))
		}, escrow.RoleAdmin, escrow.CodeInvalidKey},
		{"an admin writes during the overlap", func(d *desk, key escrow.KeyID) {
			d.accept(newRotation(key, time.Hour))
		}, escrow.RoleAdmin, ""},
		{"and not after it", func(d *desk, key escrow.KeyID) {
			d.accept(newRotation(key, time.Hour))
			d.now = d.now.Add(time.Hour + time.Second)
		}, escrow.RoleAdmin, escrow.CodeInvalidKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			key := d.key(test.role, nil)
			test.end(d, key)
			d.actor = escrow.ActorKey(key)
			if test.want == "" {
				d.accept(valid(escrow.NewSetPolicy("US", rules("", ""))))
				if got := d.lastEntry().Actor; got != d.actor {
					t.Errorf("the entry's actor is %s, want %s", got, d.actor)
				}
				return
			}
			d.refuse(valid(escrow.NewSetPolicy("US", rules("", ""))), test.want)
			d.refuse(escrow.RevokeKey{Key: escrow.KeyID{1}}, test.want)
		})
	}
}

func TestAnAdminThatRevokesItselfWritesNothingMore(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	key := d.key(escrow.RoleAdmin, nil)
	d.actor = escrow.ActorKey(key)
	d.accept(escrow.RevokeKey{Key: key})
	d.refuse(escrow.RevokeKey{Key: key}, escrow.CodeInvalidKey)
}

func TestAnActorThatIsNobodyWritesNothing(t *testing.T) {
	t.Parallel()
	for name, actor := range map[string]escrow.Actor{
		"an actor that was never set":        {},
		"a key that the institution has not": escrow.ActorKey(escrow.KeyID{1}),
		"the zero key":                       must(escrow.ParseActor(escrow.KeyID{}.String())),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			d.actor = actor
			d.refuse(valid(escrow.NewSetPolicy("US", rules("", ""))), escrow.CodeInvalidKey)
		})
	}
}
